"""The campaign of `tools/fuzz_parsers.py` in small, and that it notices what must not happen."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mfst_jax.errors import InputError

TOOLS = Path(__file__).parents[1] / "tools"


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOLS / "fuzz_parsers.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


FEW = ("weights: npz", "data set: VOT", "image: PNG", "table: CSV")


def test_some_parsers_read_or_refuse_damaged_files():
    run = fuzz("--inputs", "10000", "--seed", "20", "--only", *FEW)
    assert run.returncode == 0, run.stdout + run.stderr
    assert all(f"| {name} | " in run.stdout for name in FEW)


@pytest.mark.slow
def test_inputs_that_reach_new_code_are_kept_and_go_on(tmp_path: Path):
    pytest.importorskip("atheris", reason="atheris is not installed")
    guided = [sys.executable, str(TOOLS / "fuzz_guided.py"), "--state", str(tmp_path), "--only", "table: MOT"]
    for inputs in ("10000", "30000"):
        run = subprocess.run([*guided, "--inputs", inputs], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
    assert len([*tmp_path.glob("*.corpus/*")]) > 5
    again = subprocess.run([*guided, "--table"], capture_output=True, text=True, check=False)
    assert again.stdout == run.stdout
    assert "| table: MOTChallenge's text | " in run.stdout


@pytest.mark.slow
def test_every_parser_reads_or_refuses_damaged_files(tmp_path: Path):
    run = fuzz("--inputs", "40000", "--seed", "21", "--minutes", "3", "--state", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("\n| ") > 55


def multiply() -> None:
    np.float32(1e38) * np.float32(1e38)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another exception": (lambda folder: {}["x"], "KeyError in"),
    "a warning of NumPy's": (lambda folder: multiply(), "RuntimeWarning in"),
    "an end of the process": (lambda folder: os._exit(3), "ended with status 3"),
    "a crash": (lambda folder: os.kill(os.getpid(), 9), "ended with SIGKILL"),
    "a hang": (lambda folder: [None for _ in iter(int, 1)], "more than 0.3 s"),
    "much memory": (lambda folder: np.ones(2**24), "more than 64 MiB of memory"),
    "too much memory": (lambda folder: refuse(lambda: np.ones(2**40)), "MemoryError in"),
    "a program": (lambda folder: subprocess.run(["true"], check=False), "subprocess.Popen was called"),
    "a shell": (lambda folder: os.system("true"), "os.system was called"),
    "a file elsewhere": (lambda folder: (folder / "../../../../../x").write_text("x"), "a file was written elsewhere"),
    "a file removed": (
        lambda folder: Path("/tmp/no/such/file").unlink(missing_ok=True),
        "os.remove was called elsewhere",
    ),
    "a connection": (lambda folder: connect(), "a connection was opened"),
    "a long message": (lambda folder: say("x" * 5000), "a message of more than 2200 characters from"),
    "a message of two lines": (lambda folder: say("a\nb"), "a message of several lines from"),
    "a control character": (lambda folder: say("a\x1bb"), "a message with characters that cannot be printed from"),
}
"""What may not happen, by what does it and the words in which it is reported."""


def refuse(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception:
        raise InputError("x: expected something, found nothing") from None


def say(words: str) -> None:
    error = InputError("x")
    error.args = (words,)
    raise error


def connect() -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as sender, suppress(OSError):
        sender.connect("/no/such/socket")


@pytest.mark.parametrize("fault", FAULTS)
def test_what_must_not_happen_is_noticed_and_the_next_input_comes(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(TOOLS))
    from fuzzing import campaign, feeding
    from fuzzing.outcomes import load
    from fuzzing.parser import Parser

    act, words = FAULTS[fault]
    sound = {"x": b"sound" * 20}

    def read(folder: Path) -> None:
        if (folder / "x").read_bytes() != sound["x"]:
            act(folder)

    monkeypatch.setattr(feeding, "SECONDS", 0.3 if fault == "a hang" else 20)
    monkeypatch.setattr(feeding, "MEMORY", 2**26)
    parser = Parser("x", read, (lambda: sound,))
    started = time.monotonic()
    campaign.run(tmp_path, parser, 2, 0, deadline=time.time() + 60)
    outcome = load(tmp_path, parser)
    assert outcome.inputs == 2
    assert len(outcome.failures) == 1, outcome.failures
    (cause,) = outcome.failures
    assert cause.startswith(words)
    assert outcome.failures[cause] == {"count": 2, "numbers": [0, 1]}
    assert campaign.again(parser, 1, 0) is not None
    assert time.monotonic() - started < 60


def test_inputs_are_the_same_in_every_campaign_and_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    from fuzzing import campaign
    from fuzzing.outcomes import load
    from fuzzing.parser import Parser

    def read(folder: Path) -> None:
        if len((folder / "x").read_bytes()) % 2:
            raise InputError("x: expected an even number of bytes, found an odd one")

    parser = Parser("x", read, (lambda: {"x": "1,2,3\n4,5,6\n"},), text=0.5)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    campaign.run(tmp_path / "a", parser, 60, 0)
    for until in (7, 30, 60):
        campaign.run(tmp_path / "b", parser, until, 0)
    whole, parts = (load(tmp_path / name, parser) for name in ("a", "b"))
    assert (whole.inputs, whole.read, whole.refused) == (parts.inputs, parts.read, parts.refused)
    assert whole.read > 5
    assert whole.refused > 5
    assert whole.failed == 0
