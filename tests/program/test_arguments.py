"""How commands end, and what they print where the terminal or the file cannot show it."""

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest

import weight_port.__main__
from mfst_jax import cli
from mfst_jax.errors import InputError
from mfst_jax.program.arguments import exit_status
from mfst_jax.train import command as train_command

NAME = "跟踪 é"


def show() -> int:
    """Prints a name."""
    print(NAME)
    return 0


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., io.BytesIO]:
    """Makes standard output one of this encoding, and gives what arrives there."""

    def make(encoding: str, errors: str = "strict") -> io.BytesIO:
        arrived = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(arrived, encoding, errors, write_through=True))
        return arrived

    return make


@pytest.mark.parametrize("main", [cli.main, train_command.main])
def test_help_begins_with_what_the_command_is_and_has_no_gaps(main: Callable[..., int], capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "The command `mfst" in shown
    assert "\n\n\n" not in shown


@pytest.mark.parametrize(
    ("module", "function", "arguments"),
    [
        (cli, "info", ["info"]),
        (cli, "track", ["track"]),
        (cli, "evaluate", ["eval"]),
        (cli, "score", ["score"]),
        (cli, "bench", ["bench"]),
        (cli, "demo", ["demo"]),
        (weight_port.__main__, "inspect", ["inspect"]),
        (weight_port.__main__, "convert", ["convert"]),
        (train_command, "run", []),
        (train_command, "fit", ["fusion"]),
    ],
)
def test_characters_that_the_output_lacks_are_replaced(
    monkeypatch: pytest.MonkeyPatch,
    printed: Callable[..., io.BytesIO],
    module: object,
    function: str,
    arguments: Sequence[str],
):
    monkeypatch.setattr(module, function, show)
    arrived = printed("cp1252")
    assert module.main(arguments) == 0  # type: ignore[attr-defined]
    assert arrived.getvalue().decode("cp1252").splitlines() == ["?? é"]


@pytest.mark.parametrize("module", [cli, weight_port.__main__, train_command])
@pytest.mark.parametrize("encoding", ["ascii", "cp437", "cp1252"])
def test_help_can_be_printed_anywhere(printed: Callable[..., io.BytesIO], module: object, encoding: str):
    arrived = printed(encoding)
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])  # type: ignore[attr-defined]
    assert ended.value.code == 0
    assert "usage" in arrived.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("encoding", "errors", "expected"),
    [
        ("ascii", "surrogateescape", "?? ?"),
        ("utf-8", "strict", NAME),
        ("ascii", "xmlcharrefreplace", "&#36319;&#36394; &#233;"),  # somebody's own choice
    ],
)
def test_only_what_would_fail_is_replaced(
    printed: Callable[..., io.BytesIO], encoding: str, errors: str, expected: str
):
    arrived = printed(encoding, errors)
    assert exit_status(show, program="mfst") == 0
    assert arrived.getvalue().decode(encoding) == expected + "\n"
    assert isinstance(sys.stdout, io.TextIOWrapper)
    assert sys.stdout.errors == errors


def test_names_that_are_no_text_can_be_printed(printed: Callable[..., io.BytesIO]):
    arrived = printed("utf-8")
    assert exit_status(lambda: print("a\udcfc.mp4") or 0, program="mfst") == 0
    assert arrived.getvalue() == b"a?.mp4\n"


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_any_kind_of_output_will_do(monkeypatch: pytest.MonkeyPatch, stream: object):
    monkeypatch.setattr(sys, "stdout", stream)
    assert exit_status(show, program="mfst") == 0


def test_unusable_input_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]):
    def fail() -> int:
        raise InputError(f"video {NAME}: expected more")

    assert exit_status(fail, program="mfst") == 2
    assert capsys.readouterr().err == f"mfst: video {NAME}: expected more\n"


SCRIPT = """
import os, sys
from mfst_jax.program.arguments import exit_status
def command():
    sys.stdout.write("x" * int(sys.argv[1]))
    if sys.argv[2:]:
        os.write(os.open(sys.argv[2], os.O_WRONLY), b"x")
    return 1
sys.exit(exit_status(command, program="mfst"))
"""


def ended(output: int, *arguments: str, unbuffered: bool = False) -> tuple[int, list[str]]:
    """Exit status and standard error of a process that prints to an open file."""
    command = [sys.executable, *(["-u"] if unbuffered else []), "-c", SCRIPT, *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", [True, False])
@pytest.mark.parametrize("length", ["1", "100000"])
def test_an_output_without_room_is_one_line_and_status_2(length: str, unbuffered: bool):
    with Path("/dev/full").open("wb") as full:
        told = "mfst: standard output: expected to write, found No space left on device"
        assert ended(full.fileno(), length, unbuffered=unbuffered) == (2, [told])


@pytest.mark.parametrize("unbuffered", [True, False])
@pytest.mark.parametrize("length", ["1", "100000"])
def test_an_output_that_nobody_reads_any_more_is_no_error(length: str, unbuffered: bool):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert ended(writing, length, unbuffered=unbuffered) == (0, [])
    finally:
        os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_another_file_without_room_is_an_error_still():
    status, told = ended(subprocess.DEVNULL, "1", "/dev/full")
    assert status == 1
    assert told[-1] == "OSError: [Errno 28] No space left on device"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_another_file_without_room_is_an_error_where_nobody_reads_the_output_too():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        status, told = ended(writing, "0", "/dev/full")
    finally:
        os.close(writing)
    assert status == 1
    assert told[-1] == "OSError: [Errno 28] No space left on device"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["info"]])
def test_a_full_disk_behind_standard_output_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], unbuffered: bool
):
    with (
        Path("/dev/full").open("wb", buffering=0 if unbuffered else -1) as file,
        io.TextIOWrapper(file, "utf-8", write_through=unbuffered) as stream,
    ):
        monkeypatch.setattr(sys, "stdout", stream)
        assert cli.main(arguments) == 2
        assert not stream.closed
    assert capsys.readouterr().err == "mfst: standard output: expected to write, found No space left on device\n"


@pytest.mark.parametrize(("error", "status"), [(InputError("no"), 2), (KeyboardInterrupt(), 130)])
def test_the_status_says_what_happened_where_the_terminal_is_gone(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "write", Mock(side_effect=OSError(errno.EIO, os.strerror(errno.EIO))))
    monkeypatch.setattr(sys, "stderr", terminal)
    assert exit_status(Mock(side_effect=error), program="mfst") == status
