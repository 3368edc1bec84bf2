"""Licences of this package, of every package that it and its extras need, and of the weights that it can download.

Packages say it in their metadata, and only installed ones have any. What a wheel contains beside the package's own code
is not in its metadata; of FFmpeg, which comes within PyAV, the library itself says it.
"""

import importlib
import json
import re
from collections import deque
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from mfst_jax.checkpoints.known_weights import PUBLISHED
from mfst_jax.program import installation

_CLASSIFIER = "License :: "
_GPL = ("libx264", "libx265")
"""Libraries under the GPL, version 2 or later, that an FFmpeg may be built with."""
_LONGEST = 60
"""Number of characters above which a licence's name is its text."""


@dataclass(frozen=True)
class Licensed:
    """Package that is needed, and its licence.

    Attributes:
      name: Name of the package.
      version: Installed version; None where it is not installed.
      extras: Extras of mfst_jax that need it; none where it is always needed.
      licence: Licence in the words of the package's metadata; None where they say nothing.
      files: Paths of the licence's texts, as far as they are installed.
      contents: Licences of what it uses beside its own code, as far as that is known, a line each.
    """

    name: str
    version: str | None
    extras: tuple[str, ...]
    licence: str | None
    files: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()


def needed() -> list[Licensed]:
    """Packages that this one and its extras need, directly or through others, by name.

    What only some platforms or versions of Python need counts where it is installed. What a package needs that is not
    installed is not known.

    Raises:
      metadata.PackageNotFoundError: mfst_jax is not installed as a package.
    """
    always = _closure(None)
    by_extra = {extra: _closure(extra) for extra in installation.extras()}
    names = always.union(*by_extra.values()) - {_normal(installation.PACKAGE)}
    found = []
    for name in sorted(names):
        extras = () if name in always else tuple(extra for extra, names in by_extra.items() if name in names)
        version = installation.version(name)
        if version is None:
            found.append(Licensed(name, None, extras, None))
        else:
            package = metadata.distribution(name)
            contents = _ffmpeg() if name == "av" else ()
            found.append(Licensed(name, version, extras, licence_of(package), _files(package), contents))
    return found


def licence_of(package: metadata.Distribution) -> str | None:
    """Licence of a package in the words of its metadata; None where they say nothing.

    The SPDX expression goes first, then a name in the field `License`, the classifiers, and the first line of a text in
    that field.
    """
    fields: Any = package.metadata
    text = (fields.get("License") or "").strip()
    text = "" if text.upper() == "UNKNOWN" else text
    classified = [
        each.rsplit(" :: ", 1)[-1] for each in fields.get_all("Classifier") or () if each.startswith(_CLASSIFIER)
    ]
    is_name = text and "\n" not in text and len(text) <= _LONGEST
    first = next((line.strip() for line in text.splitlines() if re.search("[A-Za-z]", line)), "")
    return (
        fields.get("License-Expression") or (text if is_name else " or ".join(classified) or first[:_LONGEST]) or None
    )


def report(*, as_json: bool = False) -> int:
    """Prints all licences. The exit status is 1 where an installed package has none that is known, else 0."""
    try:
        own, packages = metadata.distribution(installation.PACKAGE), needed()
    except metadata.PackageNotFoundError:
        print("not known, as mfst_jax is not installed as a package")
        return 1
    unknown = [each.name for each in packages if each.version is not None and each.licence is None]
    missing = [each.name for each in packages if each.version is None]
    weights = {name: {"url": each.url, "about": each.about, "terms": each.terms} for name, each in PUBLISHED.items()}
    if as_json:
        parts = {"licence": licence_of(own), "files": _files(own), "packages": [asdict(each) for each in packages]}
        print(json.dumps({**parts, "weights": weights, "unknown": unknown, "not_installed": missing}, indent=2))
        return 1 if unknown else 0
    print(f"mfst_jax {own.version}: {licence_of(own)}")
    print("\npackages that it or its extras need, and their licences as they say themselves")
    here = [each for each in packages if each.version is not None]
    rows = [(f"{each.name} {each.version}", ", ".join(each.extras), each.licence or "UNKNOWN") for each in here]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for each, (name, extras, licence) in zip(here, rows, strict=True):
        print(f"  {name:<{widths[0]}}  {extras:<{widths[1]}}  {licence}")
        print("".join(f"    with {line}\n" for line in each.contents), end="")
    print("\nweights that it can download, and their terms")
    for name, each in weights.items():
        print(f"  {name}: {each['about']}: {each['terms']}")
    print(f"\nunknown: {', '.join(unknown) or 'none'}")
    if missing:
        print(f"not installed, so not known, as is what they need: {', '.join(missing)}")
    return 1 if unknown else 0


def _closure(extra: str | None) -> set[str]:
    """Names of the packages that an extra needs, directly or through others; those always needed where it is None."""
    waiting = deque([(installation.PACKAGE, extra)])
    seen = {*waiting}
    while waiting:
        package, wanted = waiting.popleft()
        if installation.version(package) is None:
            continue
        for each in installation.requirements(package, everywhere=False):
            if each.extra == wanted and (each.everywhere or each.found is not None):
                # An extra of this package alone, without what is always needed, where it asks for another of its own.
                own = _normal(each.name) == _normal(installation.PACKAGE)
                for inner in each.extras if own else (None, *each.extras):
                    if (place := (_normal(each.name), inner)) not in seen:
                        seen.add(place)
                        waiting.append(place)
    return {name for name, _ in seen}


def _normal(name: str) -> str:
    """Name of a package as indices write it: `Jinja2` -> `jinja2`, `ml_dtypes` -> `ml-dtypes`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _files(package: metadata.Distribution) -> tuple[str, ...]:
    """Paths of a package's licence texts, in its folder of metadata."""
    files = [file for file in package.files or () if ".dist-info" in file.parts[0]]
    texts = [file for file in files if re.match(r"(LICEN[CS]E|COPYING|NOTICE)", file.name, re.IGNORECASE)]
    return tuple(str(package.locate_file(file)) for file in texts)


def _ffmpeg() -> tuple[str, ...]:
    """Licence of the FFmpeg that PyAV uses, as that says itself, and which libraries under the GPL it is built with."""
    try:
        core: Any = importlib.import_module("av._core")
        codecs = core.library_meta["libavcodec"]
        licence, built = codecs["license"], [each for each in _GPL if f"--enable-{each}" in codecs["configuration"]]
    except (ImportError, AttributeError, KeyError):  # no promise of PyAV's
        return ("FFmpeg, whose licence this PyAV does not say",)
    return (f"FFmpeg: {licence}", *(f"{each}: GPL-2.0-or-later" for each in built))
