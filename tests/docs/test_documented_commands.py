"""Every command in README.md and docs/ is one that the programs take; none of them is run."""

import importlib
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import tyro
from code_blocks import OURS, PAGES, ROOT, commands

from mfst_jax import cli

COMMANDS = sorted({command for page in PAGES for command in commands(page)})
NEEDED = {"torch": "the extra parity", "cv2": "OpenCV", "onnxruntime": "onnxruntime", "got10k": "the toolkit got10k"}


@pytest.fixture
def only_parsing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Command lines are parsed as ever, and what they would have called is noted, not called."""
    called: list[str] = []

    def idle(function: Callable[..., Any]) -> Callable[..., int]:
        @wraps(function)
        def note(*args: Any, **kwargs: Any) -> int:
            called.append(function.__name__)
            return 0

        return note

    parse, parse_one_of = tyro.cli, tyro.extras.subcommand_cli_from_dict
    monkeypatch.setattr(tyro, "cli", lambda function, **options: parse(idle(function), **options))
    monkeypatch.setattr(
        tyro.extras,
        "subcommand_cli_from_dict",
        lambda functions, **options: parse_one_of({name: idle(each) for name, each in functions.items()}, **options),
    )
    return called


@contextmanager
def suppress_success() -> Generator[None]:
    """A script may end by itself with status 0."""
    try:
        yield
    except SystemExit as end:
        if end.code:
            raise


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, in this process."""
    match words:
        case ["mfst", *arguments]:
            assert cli.main(arguments) == 0
        case ["python", "-m", module, *arguments]:
            program = importlib.import_module(module)
            if hasattr(program, "__path__"):  # a package
                program = importlib.import_module(f"{module}.__main__")
            assert program.main(arguments) == 0
        case ["python", script, *arguments]:
            monkeypatch.setattr(sys, "argv", [script, *arguments])
            monkeypatch.syspath_prepend((ROOT / script).parent)
            try:
                with suppress_success():
                    runpy.run_path(str(ROOT / script), run_name="__main__")
            except ModuleNotFoundError as error:
                if error.name not in NEEDED:
                    raise
                pytest.skip(f"{NEEDED[error.name]} is not installed")
        case _:
            pytest.fail(f"no program of ours: {words}")


def test_there_are_commands():
    assert len(COMMANDS) > 50
    assert any(command.startswith("mfst track ") for command in COMMANDS)


@pytest.mark.parametrize("command", [each for each in COMMANDS if OURS.match(each)])
def test_a_command_is_one_that_the_program_takes(
    command: str, only_parsing: list[str], monkeypatch: pytest.MonkeyPatch
):
    words = shlex.split(command)
    if "..." in words:  # stands for what every such command needs
        at = words.index("...")
        words[at : at + 1] = ["--data", "DATA", "--weights", "WEIGHTS"]
    run(words, monkeypatch)
    assert len(only_parsing) == 1


@pytest.mark.parametrize("command", [each for each in COMMANDS if not OURS.match(each)])
def test_a_command_that_sets_up_names_what_there_is(command: str):
    words = shlex.split(command)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    match words:
        case ["python3", "-m", "venv", ".venv"] | [".", ".venv/bin/activate"]:
            pass
        case [".venv/bin/pip", "install", *wanted]:
            for each in wanted:
                extras = re.fullmatch(r"\.(?:\[([\w,-]+)\])?", each)
                assert extras is not None
                assert set((extras[1] or "").split(",")) - {""} <= set(project["optional-dependencies"])
        case [program, *_] if program.startswith(".venv/bin/"):
            name = Path(program).name
            assert name == "python" or name in project["scripts"]
        case _:
            pytest.fail(f"no known step: {command}")
