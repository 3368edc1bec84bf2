"""The command `mfst doctor`: what this installation consists of, and whether the tracker can work with it."""

import json
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import jax
import jaxlib
import tyro

from mfst_jax.cache import CACHE_VARIABLE, cache_folder, content, keep_compilations, size_in_words
from mfst_jax.checkpoints import known_weights
from mfst_jax.checkpoints.files import known_contents
from mfst_jax.errors import InputError, reason
from mfst_jax.jax_release import BAD_RELEASES
from mfst_jax.program import installation
from mfst_jax.program import licences as licences_of_all
from mfst_jax.program.jax_health import backend_problem, computes_rightly
from mfst_jax.version import __version__

VARIABLES = ("JAX_", "MFST_", "XLA_")
"""Prefixes of the environment variables that are shown."""
OTHER_VARIABLES = ("CUDA_VISIBLE_DEVICES", "XDG_CACHE_HOME")
_DEVELOPERS = ("dev", "test")
"""Extras that users of the tracker do not need."""


@dataclass
class Finding:
    """Result of one check.

    Attributes:
      lines: Lines for people to read.
      data: Values for programs, as JSON values.
      problems: What keeps the tracker from working, a line each.
    """

    lines: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def doctor(*, licences: bool = False, as_json: Annotated[bool, tyro.conf.arg(name="json")] = False) -> int:
    """Say what this installation consists of, and whether the tracker can work with it.

    The exit status is 0 if it can, and 1 if something that it needs is missing, damaged or computes wrongly. An extra
    that is not installed is no such thing.

    Args:
        licences: In the place of all that, list the licences of every package that mfst_jax and its extras need, and
            of the weights that it can download. The exit status is 1 where one is unknown.
        as_json: Print JSON, for reports.
    """
    if licences:
        return licences_of_all.report(as_json=as_json)
    findings = {name: _examine(check) for name, check in CHECKS.items()}
    problems = [problem for finding in findings.values() for problem in finding.problems]
    if as_json:
        parts = {name: finding.data for name, finding in findings.items()}
        print(json.dumps({"ok": not problems, "problems": problems, **parts}, indent=2))
        return 1 if problems else 0
    for name, finding in findings.items():
        for number, line in enumerate(finding.lines):
            print(f"{'' if number else name:<14}{line}")
    for number, line in enumerate(problems or ["none"]):
        print(f"{'' if number else 'problems':<14}{line}")
    return 1 if problems else 0


def _examine(check: Callable[[], Finding]) -> Finding:
    """Finding of a check. Where the check itself fails, that is the problem, and the other checks go on."""
    try:
        return check()
    except Exception as error:
        text = f"{type(error).__name__}: {reason(error):.300}"
        name = check.__name__.removeprefix("check_")
        return Finding([f"could not be checked ({text})"], {"error": text}, [f"{name}: could not be checked: {text}"])


def check_system() -> Finding:
    """Finding on this package, Python, and the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    data = {
        "mfst_jax": __version__,
        "folder": str(Path(__file__).parents[1]),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": cores,
        "memory": _memory(),
    }
    memory = f", {data['memory'] / 2**30:.1f} GiB" if data["memory"] else ""
    lines = [
        f"mfst_jax {__version__} in {data['folder']}",
        f"Python {data['python']} on {data['platform']}; {cores} cores{memory}",
    ]
    return Finding(lines, data)


def check_packages() -> Finding:
    """Finding on the packages that the tracker always needs."""
    found = Finding()
    names = ["flax", "jax", "numpy"]
    if installation.version(installation.PACKAGE) is None:
        found.lines.append("what is needed is not known, as mfst_jax is not installed as a package")
    else:
        names = [each.name for each in installation.requirements() if each.extra is None]
        found.problems = [
            f"packages: expected {each.name}{each.versions}, found {each.found or 'none'}"
            for each in installation.unmet(None)
        ]
    found.data = {name: installation.version(name) for name in sorted({*names, "jaxlib"})}
    found.lines.insert(0, ", ".join(f"{name} {version or '(not installed)'}" for name, version in found.data.items()))
    return found


def check_devices() -> Finding:
    """Finding on the devices that JAX computes on."""
    if (problem := backend_problem()) is not None:
        return Finding(["none"], {"backend": None, "devices": []}, [f"devices: {problem}"])
    devices = jax.devices()
    kinds = [f"{device.platform} ({device.device_kind})" for device in devices]
    data = {"backend": jax.default_backend(), "devices": kinds}
    lines = [", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))]
    if data["backend"] == "cpu" and Path("/proc/driver/nvidia/version").exists():
        lines.append("an NVIDIA card is here that JAX does not use: pip install 'mfst-jax[cuda12]'")
    return Finding(lines, data)


def check_arithmetic() -> Finding:
    """Finding on whether JAX computes rightly."""
    if backend_problem() is not None:
        return Finding(["not tried, for lack of a device"], {"right": None, "known_fault": None})
    known, right = BAD_RELEASES.get(jaxlib.__version__), computes_rightly()
    found = Finding(data={"right": right, "known_fault": known})
    if not right:
        found.problems.append(
            f"arithmetic: jaxlib {jaxlib.__version__} computes a small example wrongly: install another one"
        )
    elif known is not None:
        found.problems.append(f"arithmetic: jaxlib {jaxlib.__version__} is known for {known}: install another one")
    found.lines.append("right, in an example that some JAX gets wrong" if right else "WRONG")
    return found


def check_video() -> Finding:
    """Finding on what reads and writes video files."""
    from mfst_jax.media.writers import CODECS

    version = installation.version("av")
    if version is None:
        line = "PyAV is missing, so no video files and webcams, only images: pip install 'mfst-jax[video]'"
        return Finding([line], {"pyav": None})
    import av

    encoders: dict[str, bool] = {}
    for codec in dict.fromkeys(codec for codec, _ in CODECS.values()):
        try:
            encoders[codec] = av.Codec(codec, "w") is not None
        except ValueError:
            encoders[codec] = False
    writes = {suffix: codec for suffix, (codec, _) in CODECS.items()}
    libraries = {name: ".".join(map(str, numbers)) for name, numbers in av.library_versions.items()}
    usable = [f"{suffix} ({codec})" for suffix, codec in writes.items() if encoders[codec]]
    lines = [f"PyAV {version} with FFmpeg's libavcodec {libraries.get('libavcodec')}", f"writes {', '.join(usable)}"]
    if lacking := [f"{suffix} ({codec})" for suffix, codec in writes.items() if not encoders[codec]]:
        lines.append(f"cannot write {', '.join(lacking)}: this FFmpeg has no such encoder")
    return Finding(lines, {"pyav": version, "ffmpeg": libraries, "encoders": encoders, "writes": writes})


def check_extras() -> Finding:
    """Finding on which extras are installed."""
    found = Finding()
    if installation.version(installation.PACKAGE) is None:
        return Finding(["not known, as mfst_jax is not installed as a package"])
    for extra in installation.extras():
        unmet = list(installation.unmet(extra))
        found.data[extra] = [each.name for each in unmet]
        if extra not in _DEVELOPERS and unmet:
            lacking = [each.name if each.found is None else f"{each.name}{each.versions}" for each in unmet]
            found.lines.append(f"{extra} lacks {', '.join(lacking)}: pip install 'mfst-jax[{extra}]'")
    complete = [extra for extra, lacking in found.data.items() if not lacking]
    found.lines.insert(0, f"installed: {', '.join(complete) or 'none'}")
    return found


def check_weights() -> Finding:
    """Finding on the known weights: whether they are here, and undamaged."""
    found = Finding()
    for name, known in known_weights.KNOWN.items():
        try:
            path = known_weights.place(name)
        except InputError:  # no cache, which another check reports
            continue
        contents, problem = known_contents(name)
        if problem is not None:
            again = f"; download them again: mfst weights get {name}" if known.sources else "; install mfst_jax again"
            found.problems.append(f"weights {name}: {problem}{again}")
        state = "damaged" if problem else ("not here" if contents is None else "here")
        found.data[name] = {"path": str(path), "state": state}
        how = f" (mfst weights get {name})" if state == "not here" else ""
        found.lines.append(f"{name}: {state}{how}")
    return found


def check_caches() -> Finding:
    """Finding on the user's cache folder, and on JAX's compilation cache."""
    kept = keep_compilations()
    data: dict[str, Any] = {"folder": None, "compilations": kept and {"folder": str(kept), **_measure(kept)}}
    try:
        folder = cache_folder()
    except RuntimeError:
        return Finding([f"no folder: there is no home, and {CACHE_VARIABLE} names none"], data)
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    writable, free = os.access(there, os.W_OK), shutil.disk_usage(there).free
    parts = {part.name: _measure(part) for part in sorted(folder.iterdir())} if folder.is_dir() else {}
    lines = [
        f"{folder}: {size_in_words(free)} free" + ("" if writable else f"; it cannot be written to ({CACHE_VARIABLE})")
    ]
    lines += [f"{name}: {_in_words(size)}" for name, size in parts.items()]
    if kept is None:
        lines.append("compilations are not kept")
    else:
        elsewhere = "" if folder in kept.parents else f": {_in_words(data['compilations'])}"
        lines.append(f"compilations are kept in {kept}{elsewhere}")
    return Finding(lines, {**data, "folder": str(folder), "writable": writable, "free": free, "parts": parts})


def check_environment() -> Finding:
    """Finding on the environment variables that change what JAX and this package do."""
    data = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(VARIABLES) or name in OTHER_VARIABLES
    }
    return Finding([f"{name}={value}" for name, value in data.items()] or ["no variable that counts is set"], data)


CHECKS: dict[str, Callable[[], Finding]] = {
    "system": check_system,
    "packages": check_packages,
    "devices": check_devices,
    "arithmetic": check_arithmetic,
    "video": check_video,
    "extras": check_extras,
    "weights": check_weights,
    "caches": check_caches,
    "environment": check_environment,
}
"""All checks, in the order in which they are reported."""


def _measure(folder: Path) -> dict[str, int]:
    files, size = content(folder)
    return {"files": files, "bytes": size}


def _in_words(size: dict[str, int]) -> str:
    return f"{size_in_words(size['bytes'])} in {size['files']} file{'s' * (size['files'] != 1)}"


def _memory() -> int | None:
    """Memory of this machine in bytes; None where that is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
