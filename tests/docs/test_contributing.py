"""The worked examples of CONTRIBUTING.md: they are applied to a copy of the code, where their tests then pass."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from code_blocks import ROOT, blocks, package

PAGE = ROOT / "CONTRIBUTING.md"
PACKAGES = ("mfst_jax", "weight_port")
SECTIONS = dict(re.findall(r"^## (Add [^\n]*)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE))


def apply(changes: str, folder: Path) -> None:
    """Changes the files as a unified diff without line numbers says: what it takes away stands there once."""
    for name, lines in re.findall(r"^--- (.+)\n((?:(?!--- ).*\n)+)", changes, re.MULTILINE):
        path = folder / name
        text = path.read_text(encoding="utf-8")
        for hunk in re.split(r"^@@\n", lines, flags=re.MULTILINE):
            before, after = ("".join(re.findall(rf"^[{signs}](.*\n)", hunk, re.MULTILINE)) for signs in (" -", " +"))
            assert text.count(before) == 1, f"{name} holds {text.count(before)} times:\n{before}"
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code and its tests, without what was made of them, and of the tools that tests import."""
    for source in (*map(package, PACKAGES), ROOT / "tests", ROOT / "tools"):
        shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_there_is_a_worked_example_for_each_thing_that_people_add():
    assert list(SECTIONS) == ["Add a backbone", "Add a checkpoint format", "Add a data set"]


@pytest.mark.parametrize("title", SECTIONS)
def test_a_worked_example_has_less_than_60_lines(title: str):
    assert len(SECTIONS[title].splitlines()) < 60


def test_the_tests_of_the_worked_examples_pass_with_their_changes(copy: Path):
    names, count = [], 0
    for section in SECTIONS.values():
        (changes,), (test,) = blocks(section, "diff"), blocks(section, "python")
        apply(changes, copy)
        names.append(test.splitlines()[0].removeprefix("# "))
        (copy / names[-1]).write_text(test, encoding="utf-8")
        count += test.count("def test_")
    if ruff := shutil.which("ruff", path=str(Path(sys.executable).parent)):
        subprocess.run([ruff, "check", "--quiet", "."], cwd=copy, check=True)
        subprocess.run([ruff, "format", "--quiet", "--check", "."], cwd=copy, check=True)
    # Without the options of the whole suite, two workers and checked types, which take longer than these tests.
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-q", *names]
    environment = os.environ | {"PYTHONPATH": str(copy)}
    process = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout
    assert f"{count} passed" in process.stdout


def test_the_commands_are_those_that_ci_runs():
    commands = "\n".join(blocks(PAGE.read_text("utf-8"), "sh"))
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    for each in (
        "ruff check .",
        "ruff format",
        "pyrefly check",
        "python -m pytest",
        "python -m pytest -m slow",
        "[dev]",
    ):
        assert each in commands
        assert each.removeprefix("python ").replace("ruff", 'ruff"').replace("pyrefly", 'pyrefly"') in script


def test_ci_runs_all_tests_of_beam_and_of_the_toolkits_where_these_are_installed():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    needed = re.compile(r"importorskip\(\s*\"(apache_beam|colorama|got10k\.experiments|trax)\"")
    found = {
        path.relative_to(ROOT).as_posix(): needed.findall(path.read_text("utf-8"))
        for path in (ROOT / "tests").rglob("test_*.py")
    }
    found = {name: modules for name, modules in found.items() if modules}
    assert {*found} == {*re.findall(r"tests/\S+\.py", script.partition("others=")[2])}
    imported = re.search(r"-c 'import (apache_beam.*)'", script)
    assert imported is not None
    assert {*imported[1].split(", ")} == {module for modules in found.values() for module in modules}


def test_ci_takes_along_all_that_stands_beside_the_packages():
    copied = re.search(r"^cp -r (.*\n.*)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    assert copied is not None
    for name in ("tests", "docs", "examples", "tools", "benchmarks", ".github", "pyproject.toml", "./*.md"):
        assert name in copied[1].split()
    assert not {*PACKAGES} & {*copied[1].split()}
