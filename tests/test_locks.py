"""Locks: who is refused or waits, what is left, and what ends it."""

import errno
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from mfst_jax import cli, locks
from mfst_jax.errors import InputError
from mfst_jax.locks import alone_in, claimed, exclusive
from mfst_jax.whole_files import working_name

HOLD = """
import sys, time
from pathlib import Path
from mfst_jax.locks import alone_in

with alone_in(Path(sys.argv[1])):
    print("here", flush=True)
    time.sleep(600)
"""


def test_a_second_one_is_refused_and_nothing_is_left(tmp_path: Path):
    folder = tmp_path / "new" / "out"
    with alone_in(folder):
        with pytest.raises(InputError) as error, alone_in(folder):
            pytest.fail("a second one was let in")
        assert str(error.value).startswith(f"{folder}: expected no other process at work in it, found ")
        with alone_in(tmp_path / "other"):
            pass
    with alone_in(folder):
        assert [*folder.iterdir()] == []


def test_a_block_that_fails_lets_the_next_one_in(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path):
        raise ZeroDivisionError
    with alone_in(tmp_path):
        pass


def test_another_process_is_named_and_one_that_is_killed_holds_nothing(tmp_path: Path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
            with pytest.raises(InputError) as error, alone_in(tmp_path):
                pytest.fail("a second one was let in")
            if Path("/proc/locks").exists():
                assert str(error.value).endswith((f"found process {process.pid}", "found one"))
        finally:
            process.send_signal(signal.SIGKILL)
    with alone_in(tmp_path):
        pass


def test_without_locks_a_warning_says_that_nobody_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def no_locks(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with exclusive(tmp_path / "lock"):
        pass
    with caplog.at_level(logging.WARNING), alone_in(tmp_path), alone_in(tmp_path):
        pass
    assert [record.message for record in caplog.records] == [
        f"{tmp_path}: cannot be locked (No locks available): see that no other process works in it"
    ] * 2


def test_a_file_in_its_place_is_refused(tmp_path: Path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match=r"out: expected a folder or a place for one, found File exists"):
        alone_in(tmp_path / "out").__enter__()
    assert (tmp_path / "out").read_text() == "mine"


def test_an_evaluation_in_the_folder_of_another_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    sequence = tmp_path / "root" / "Deer"
    (sequence / "img").mkdir(parents=True)
    (sequence / "img" / "0001.jpg").write_bytes(b"")
    (sequence / "groundtruth_rect.txt").write_text("1,1,10,10\n")
    out = tmp_path / "out"
    with alone_in(out):
        for more in ([], ["--ablation", "table1"]):
            words = ["eval", str(sequence.parent), "--protocol", "folder", "--no-report", "--out", str(out), *more]
            assert cli.main(words) == 2
            assert f"mfst: {out}: expected no other process at work in it" in capsys.readouterr().err
        assert [*out.iterdir()] == []


def test_a_training_in_the_folder_of_another_is_refused(tmp_path: Path):
    pytest.importorskip("optax")
    from mfst_jax.train.run_folder import open_run

    with alone_in(tmp_path), pytest.raises(InputError, match="no other process at work in it"):
        open_run(tmp_path, {}).__enter__()
    assert [*tmp_path.iterdir()] == []


def test_a_training_that_was_killed_at_its_very_start_begins_anew(tmp_path: Path):
    pytest.importorskip("optax")
    from mfst_jax.train.run_folder import _identify

    path = tmp_path / "run.json"
    working_name(path).mkdir()
    (working_name(path) / "new.json").write_text("{")
    _identify(tmp_path, path, {"seed": 1}, {})
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]
    path.rename(tmp_path / "other.json")
    with pytest.raises(InputError, match="an empty folder or a place for one, found something else"):
        _identify(tmp_path, path, {"seed": 1}, {})


def test_one_at_a_time_holds_a_lock(tmp_path: Path):
    inside, most = 0, 0

    def one() -> None:
        nonlocal inside, most
        for _ in range(50):
            with exclusive(tmp_path / "lock"):
                inside += 1
                most = max(most, inside)
                os.sched_yield()
                inside -= 1

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert [*tmp_path.iterdir()] == []


def test_a_lock_that_a_killed_process_left_is_free(tmp_path: Path):
    (tmp_path / "lock").write_text("")
    with exclusive(tmp_path / "lock", waiting=lambda: pytest.fail("nobody holds it")):
        pass
    assert [*tmp_path.iterdir()] == []


def test_who_waits_for_a_lock_is_told_and_gets_it(tmp_path: Path):
    told, found = threading.Event(), []

    def wait() -> None:
        with exclusive(tmp_path / "lock", told.set):
            found.append("inside")

    with exclusive(tmp_path / "lock"):
        thread = threading.Thread(target=wait)
        thread.start()
        assert told.wait(60)
        assert found == []
    thread.join()
    assert found == ["inside"]
    assert [*tmp_path.iterdir()] == []


def test_a_claim_is_one_holders_and_its_file_is_gone_afterwards(tmp_path: Path):
    path = tmp_path / "piece.lock"
    with claimed(path) as mine:
        assert mine
        with claimed(path) as again:
            assert not again
        assert path.exists()  # whoever was refused has left it alone
    assert not path.exists()
    path.touch()  # as a killed process leaves it
    with pytest.raises(ZeroDivisionError), claimed(path):
        raise ZeroDivisionError
    assert not path.exists()


def test_without_locks_everybody_has_the_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with claimed(tmp_path / "piece.lock") as one, claimed(tmp_path / "piece.lock") as other:
        assert one
        assert other


def test_a_system_without_locks_makes_no_file_that_it_could_not_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "EXIST", False)
    path = tmp_path / "lock"
    with exclusive(path, waiting=lambda: pytest.fail("nobody holds it")), claimed(path) as mine, claimed(path) as again:
        assert mine
        assert again
        assert not path.exists()
    with alone_in(tmp_path), alone_in(tmp_path):
        assert [*tmp_path.iterdir()] == []


def test_who_locks_a_file_of_the_same_number_on_another_device_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    about = tmp_path.stat()
    major, minor = os.major(about.st_dev), os.minor(about.st_dev)
    lines = [
        f"1: FLOCK  ADVISORY  WRITE 41 {major:02x}:{minor + 1:02x}:{about.st_ino} 0 EOF",
        f"2: POSIX  ADVISORY  WRITE 42 {major:02x}:{minor:02x}:{about.st_ino} 0 EOF",
        f"3: FLOCK  ADVISORY  WRITE 43 {major:02x}:{minor:02x}:{about.st_ino} 0 EOF",
    ]
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        for count, expected in ((3, "process 43"), (2, "one")):
            monkeypatch.setattr(Path, "read_text", Mock(return_value="\n".join(lines[:count])))
            assert locks.holder(handle) == expected
    finally:
        os.close(handle)


def test_a_folder_that_is_shared_is_said_to_have_no_locks_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def none(*_: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", none)
    with alone_in(tmp_path, shared=True):
        assert not caplog.records
    with alone_in(tmp_path):
        assert len(caplog.records) == 1
