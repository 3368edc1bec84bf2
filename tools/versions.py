"""Other versions of Python and of our packages: makes environments with them, runs the tests there, prints a table.

    python tools/versions.py make oldest newest312 newest313 --in DIR
    python tools/versions.py test oldest --in DIR [--only numerics]
    python tools/versions.py table --in DIR

`make` copies the last commit to DIR/project and installs it with `uv`, which has to be on the PATH; `test` runs the
default tests of that copy, a pytest for each folder of tests and one for each single file, and keeps what it found in
DIR/NAME.results, so that a run that was stopped goes on. `table` prints what was found, failures after it. The
environment `forbidden` has a jaxlib that is refused; its tests need MFST_ALLOW_ANY_JAX=1.
"""

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

ROOT = Path(__file__).parents[1]
PACKAGES = ("jax", "flax", "orbax-checkpoint", "numpy", "jaxtyping")
"""Packages whose versions the table has."""
NUMERICS = (
    *("parity/test_golden_case.py", "test_crops.py", "test_fusion.py", "test_localisation.py", "test_tracker*.py"),
    *("fast/test_*.py", "parity/test_*.py", "bench/test_*.py"),
)
"""What `--only numerics` runs, from `tests`: golden trajectories, stages of a step, laws, parity. Folders whose files
are named here are not run again as folders."""
_ASK = """
import json, platform
from importlib.metadata import version
print(json.dumps({"python": platform.python_version(), **{name: version(name) for name in %r}}))
"""


@dataclass(frozen=True)
class Environment:
    """How an environment is made.

    Attributes:
      python: Version of Python, as `uv` takes it.
      resolution: Which of the allowed versions are taken of the packages that we ask for, in uv's words.
      forced: Packages that are installed in the end, whatever we ask for.
    """

    python: str
    resolution: str = "highest"
    forced: tuple[str, ...] = ()


ENVIRONMENTS = {
    "oldest": Environment("3.11", "lowest-direct"),
    "newest311": Environment("3.11"),
    "newest312": Environment("3.12"),
    "newest313": Environment("3.13"),
    "forbidden": Environment("3.11", forced=("jax==0.10.2", "jaxlib==0.10.2")),
}


Name = Literal["oldest", "newest311", "newest312", "newest313", "forbidden"]
Names = Annotated[Positional[tuple[Name, ...]], arg(metavar="NAME ...")]
Folder = Annotated[Path, arg(name="in", metavar="DIR")]


def make(name: str, folder: Path, python: str | None, more: list[str]) -> None:
    """Makes an environment anew, with `more` packages. `python` is an interpreter to take in place of what uv finds."""
    chosen, project, place = ENVIRONMENTS[name], folder / "project", folder / name
    install = ["uv", "pip", "install", "--quiet", "--python", str(place / "bin" / "python")]
    run("uv", "venv", "--quiet", "--clear", "--python", python or chosen.python, str(place))
    run(*install, "--resolution", chosen.resolution, "--editable", f"{project}[dev]")
    if chosen.forced:
        run(*install, "--no-deps", *chosen.forced)
    if more:
        run(*install, *more)
    (folder / f"{name}.json").write_text(run(place / "bin" / "python", "-c", _ASK % (PACKAGES,)))


def copy_project(folder: Path) -> None:
    """Copies the last commit to `folder`/project, where nobody edits it while its tests run."""
    project = folder / "project"
    project.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "-x", "-C", str(project)], input=archive, check=True)


def run(*command: str | Path) -> str:
    """Output of a program. Ends this one where it fails."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {done.returncode}")
    return done.stdout


def groups(project: Path, only: str | None) -> list[str]:
    """What each pytest is given: folders of tests, then single files, from the project; the numerics come first."""
    tests = project / "tests"
    numerics = [path for pattern in NUMERICS for path in sorted(tests.glob(pattern))]
    folders = [path for path in sorted(tests.iterdir()) if path.is_dir() and [*path.rglob("test_*.py")]]
    rest = [path for path in folders if path not in {file.parent for file in numerics}]
    rest += sorted(tests.glob("test_*.py"))
    found = numerics if only else [*numerics, *rest]
    return [path.relative_to(project).as_posix() for path in dict.fromkeys(found)]


def test(name: str, folder: Path, only: str | None, again: bool) -> None:
    """Runs the tests that have no result yet in one environment."""
    project, results = folder / "project", folder / f"{name}.results"
    results.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": "",
        "JAX_COMPILATION_CACHE_DIR": str(folder / f"{name}.compilations"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    for group in groups(project, only):
        report = results / f"{group.replace('/', '.')}.xml"
        if report.exists() and not again:
            continue
        unfinished, start = report.with_suffix(".unfinished"), time.monotonic()
        command = [folder / name / "bin" / "python", "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", group]
        # A release that is let pass; and old packages mind new ones, as matplotlib 3.9 does pyparsing 3.3.
        command += ["-W", "ignore:mfst_jax:RuntimeWarning", "-W", "ignore::DeprecationWarning"]
        with report.with_suffix(".log").open("w") as log:
            done = subprocess.run(
                [*command, f"--junitxml={unfinished}", "-o", "junit_family=xunit1"],
                cwd=project,
                env=environment,
                stdout=log,
                stderr=log,
            )
        if not unfinished.exists():  # pytest itself broke, or was killed
            unfinished.write_text(f'<testsuites><testcase name="{group}"><error/></testcase></testsuites>')
        unfinished.replace(report)
        print(f"{name} {group}: exit status {done.returncode}, {time.monotonic() - start:.0f} s", flush=True)


def outcome(results: Path) -> dict[str, Any]:
    """What the reports of one environment say: counts, names of failed tests, largest differences that tests noted."""
    found: dict[str, Any] = {"passed": 0, "failed": 0, "skipped": 0, "failures": [], "differences": {}}
    for path in sorted(results.glob("*.xml")):
        for case in ET.parse(path).iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                found["failed"] += 1
                found["failures"].append(f"{path.stem}: {case.get('classname')} {case.get('name')}")
            else:
                found["skipped" if case.find("skipped") is not None else "passed"] += 1
            for entry in case.iter("property"):
                if (key := entry.get("name", "")).startswith("largest difference"):
                    value = float(entry.get("value", "nan"))
                    found["differences"][key] = max(value, found["differences"].get(key, 0.0))
    return found


def table(folder: Path) -> Iterator[str]:
    """Lines of the table in Markdown, then those of what failed."""
    yield f"| environment | Python | {' | '.join(PACKAGES)} | passed | failed | skipped | boxes, px | maps |"
    yield f"| --- | --- |{' --- |' * len(PACKAGES)} --- | --- | --- | --- | --- |"
    failures = []
    for name in ENVIRONMENTS:
        if not (folder / f"{name}.json").exists():
            continue
        versions = json.loads((folder / f"{name}.json").read_text())
        found = outcome(folder / f"{name}.results")
        cells = [name, versions["python"], *(versions[package] for package in PACKAGES)]
        cells += [str(found[key]) for key in ("passed", "failed", "skipped")]
        for what in ("boxes", "maps"):
            value = found["differences"].get(f"largest difference of {what}")
            cells.append("-" if value is None else f"{value:.1e}")
        yield f"| {' | '.join(cells)} |"
        failures += [f"{name}: {line}" for line in found["failures"]]
    yield from failures


def make_all(
    names: Names,
    /,
    *,
    folder: Folder,
    python: str | None = None,
    more: Annotated[tuple[str, ...], arg(name="with")] = (),
) -> int:
    """Make environments anew, with a copy of the last commit.

    Args:
        names: Environments; by default all.
        folder: Where all of it lies.
        python: The interpreter to take, where uv finds another one or none.
        more: Packages to install beside, as torch.
    """
    copy_project(folder.absolute())
    for name in names or ENVIRONMENTS:
        make(name, folder.absolute(), python, list(more))
    return 0


def run_tests(names: Names, /, *, folder: Folder, only: Literal["numerics"] | None = None, again: bool = False) -> int:
    """Run the default tests that have no result yet.

    Args:
        names: Environments; by default all.
        folder: Where all of it lies.
        only: Golden trajectories, stages of a step, laws and parity alone.
        again: Also what has a result already.
    """
    for name in names or ENVIRONMENTS:
        test(name, folder.absolute(), only, again)
    return 0


def print_table(*, folder: Folder) -> int:
    """Print what was found, as a table in Markdown, and what failed after it.

    Args:
        folder: Where all of it lies.
    """
    print(*table(folder.absolute()), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(
        tyro.extras.subcommand_cli_from_dict(
            {"make": make_all, "test": run_tests, "table": print_table}, description=__doc__
        )
    )
