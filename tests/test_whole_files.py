"""Faults while files are written: whatever fails, whenever, each file is the old one or the whole new one."""

import errno
import fcntl
import gc
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import KINDS, failing, files_of_at_most
from writers import LIGHT, WRITERS, Writer, content, is_whole_part, visible

import mfst_jax
from mfst_jax import cli, locks, whole_files
from mfst_jax.errors import InputError, system_errors
from mfst_jax.whole_files import replacing, working_folder, working_name, write_atomically
from weight_port import __main__ as port

ALL = [name if name in LIGHT else pytest.param(name, marks=pytest.mark.slow) for name in WRITERS]


def written(folder: Path, writer: Writer, version: int) -> dict[str, object]:
    folder.mkdir()
    writer.write(folder, version)
    return {name: content(folder / name) for name in writer.names}


def assert_whole(folder: Path, writer: Writer, old: dict[str, object], new: dict[str, object], failed: str) -> None:
    """Each is the old one or the new one; of several, none is there unless its index is."""
    found = {name: content(folder / name) for name in writer.names}
    if writer.goes_first and found[writer.names[1]] is None:
        return
    if writer.keeps_frames and found not in (old, new):
        (name,) = writer.names
        whole = new[name]
        assert isinstance(whole, bytes)
        assert is_whole_part(folder / name, whole), failed
        return
    parts = writer.names[:-1] if writer.goes_first else writer.names  # the last one of a bundle is about its folder
    assert [found[name] for name in parts] in ([old[name] for name in parts], [new[name] for name in parts]), failed


@pytest.fixture(autouse=True)
def what_orbax_left_goes_with_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Coroutines that were never awaited are warnings where they are found, which could be in any later test."""
    yield
    if "Orbax" in request.node.name:
        gc.collect()


# Orbax leaves coroutines of its own behind where its folder cannot be written.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("name", ALL)
def test_whatever_fails_the_file_is_the_old_one_or_the_new_one(tmp_path: Path, name: str):
    writer = WRITERS[name]
    old, new = (written(tmp_path / f"version {version}", writer, version) for version in (0, 1))
    for moment, kind in itertools.product(range(1000), KINDS):
        folder = tmp_path / f"{moment} {kind}"
        folder.mkdir()
        writer.write(folder, 0)
        said = ""
        with failing(folder, moment, kind) as faults:
            try:
                writer.write(folder, 1)
            except InputError as error:
                said = str(error)
        if not faults.failed:
            assert (folder / writer.names[0]).exists()
            assert moment >= 3
            return
        assert "\n" not in said
        assert not said or os.strerror(kind) in said, (faults.failed, said)
        assert_whole(folder, writer, old, new, f"{faults.failed}: {said}")
        writer.write(folder, 1)
        assert {each: content(folder / each) for each in writer.names} == new
        assert visible(folder) == visible(tmp_path / "version 1")
        assert {path.name for path in folder.iterdir()} == visible(folder), f"{faults.failed}: something is left"
        shutil.rmtree(folder)
    raise AssertionError("so many changes are not expected")


# Orbax's threads and loops end as they please where a write fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ALL)
def test_where_there_is_no_room_for_all_the_old_file_stays(tmp_path: Path, name: str):
    writer = WRITERS[name]
    old, new = (written(tmp_path / f"version {version}", writer, version) for version in (0, 1))
    whole = tmp_path / "version 1" / writer.names[0]
    sizes = [path.stat().st_size for path in ([whole] if whole.is_file() else whole.rglob("*")) if path.is_file()]
    largest = max(sizes)
    for number, limit in enumerate((0, 1, largest // 3, largest * 2 // 3, largest - 1)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        writer.write(folder, 0)
        said = ""
        with files_of_at_most(limit):
            try:
                writer.write(folder, 1)
            except InputError as error:
                said = str(error)
        assert "\n" not in said
        assert "File too large" in said or (name == "page" and limit >= largest // 3), (limit, said)
        assert_whole(folder, writer, old, new, f"at most {limit} bytes: {said}")
        assert {path.name for path in folder.iterdir()} == visible(tmp_path / "version 1")
        writer.write(folder, 1)
        assert {each: content(folder / each) for each in writer.names} == new


@pytest.mark.parametrize("told", ["RESOURCE_EXHAUSTED: x [os_error_code='28']", "I/O error: No space (os error 28)"])
def test_what_libraries_tell_of_the_system_in_words_is_an_error_of_the_system(told: str):
    with pytest.raises(OSError, match="No space left on device") as error, system_errors():
        raise ValueError(told)
    assert error.value.errno == errno.ENOSPC
    with pytest.raises(ValueError, match="another one"), system_errors():
        raise ValueError("another one")


HOLD = """
import sys, time
from pathlib import Path
from mfst_jax.whole_files import replacing

with replacing(Path(sys.argv[1])) as new:
    new.write_text("half of it")
    print("here", flush=True)
    time.sleep(600)
"""


def test_a_second_process_is_refused_by_name_and_what_a_killed_one_left_goes(tmp_path: Path):
    path = tmp_path / "boxes.csv"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
            with pytest.raises(InputError, match=r"csv: expected no other process that writes it, found ") as error:
                write_atomically(path, "mine")
            if Path("/proc/locks").exists():
                assert str(error.value).endswith((f"found process {process.pid}", "found one"))
            write_atomically(tmp_path / "other.csv", "mine")
        finally:
            process.send_signal(signal.SIGKILL)
    assert sorted(each.name for each in tmp_path.iterdir()) == [".boxes.csv.part", "other.csv"]
    write_atomically(path, "mine")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["boxes.csv", "other.csv"]


def test_without_locks_nobody_is_refused_and_each_file_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_locks(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    path = tmp_path / "boxes.csv"
    with replacing(path) as one:
        one.write_text("one")
        write_atomically(path, "two")
        assert path.read_text() == "two"
    assert path.read_text() == "one"
    assert [*tmp_path.iterdir()] == [path]
    monkeypatch.setattr(locks, "EXIST", False)
    write_atomically(path, "three")
    assert (path.read_text(), [*tmp_path.iterdir()]) == ("three", [path])


def test_one_that_waits_gets_its_turn(tmp_path: Path):
    path, found = tmp_path / "a", []

    def wait() -> None:
        with replacing(path, wait=True) as new:
            found.append(path.read_text())
            new.write_text("mine")

    with replacing(path) as new:
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.2)
        assert found == []
        new.write_text("the first one's")
    thread.join()
    assert (found, path.read_text()) == (["the first one's"], "mine")
    assert [*tmp_path.iterdir()] == [path]


def test_a_folder_that_a_killed_process_had_moved_away_comes_back(tmp_path: Path):
    """Where two folders cannot be exchanged in one step."""
    place = tmp_path / "weights"
    (working_name(place) / "old").mkdir(parents=True)
    (working_name(place) / "old" / "a").write_text("old")
    (working_name(place) / "new").mkdir()
    with pytest.raises(ZeroDivisionError), replacing(place):
        raise ZeroDivisionError
    assert (place / "a").read_text() == "old"
    assert [*tmp_path.iterdir()] == [place]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="exchanges folders on Linux alone")
def test_a_folder_is_exchanged_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = tmp_path / "weights"
    place.mkdir()
    (place / "a").write_text("old")
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("it was not there for a moment"))
    with replacing(place) as new:
        new.mkdir()
        (new / "a").write_text("new")
    assert (place / "a").read_text() == "new"
    assert [*tmp_path.iterdir()] == [place]


def test_a_link_in_the_place_of_the_working_folder_leads_nowhere(tmp_path: Path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a").write_text("theirs")
    working_name(tmp_path / "b").symlink_to(tmp_path / "theirs")
    write_atomically(tmp_path / "b", "mine")
    assert (tmp_path / "theirs" / "a").read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "theirs"]


def test_a_folder_that_vanishes_meanwhile_is_named(tmp_path: Path):
    for name in LIGHT:
        writer, folder = WRITERS[name], tmp_path / name
        folder.mkdir()
        plain = whole_files.put

        def vanish(new: Path, path: Path, folder: Path = folder, plain=plain) -> None:
            folder.rename(tmp_path / "elsewhere")
            plain(new, path)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(whole_files, "put", vanish)
            patch.setattr("weight_port.exporting.put", vanish)
            with pytest.raises(InputError, match="No such file or directory") as error:
                writer.write(folder, 0)
        assert str(folder) in str(error.value)
        assert not folder.exists()
        for path in sorted((tmp_path / "elsewhere").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (tmp_path / "elsewhere").rmdir()
        writer.write(folder if folder.exists() else folder.parent, 0)


def test_two_locks_of_one_process_are_two(tmp_path: Path):
    with working_folder(tmp_path / "a"), pytest.raises(InputError, match="no other process"):
        working_folder(tmp_path / "a").__enter__()


def test_every_command_refuses_a_file_that_another_one_writes_before_it_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for called in (
        "mfst_jax.following.quick_start.begin",
        "weight_port.conversion.merge",
        "weight_port.exporting.merge",
    ):
        monkeypatch.setattr(called, lambda *_, **__: pytest.fail("it went to work"))
    clip = Path(mfst_jax.__file__).parent / "assets" / "demo.mp4"
    commands = {
        "boxes.csv": (cli.main, ["track", str(clip), "--box", "158,208,61,44", "--boxes"]),
        "out.mp4": (cli.main, ["track", str(clip), "--box", "158,208,61,44", "--out"]),
        "page.html": (cli.main, ["track", str(clip), "--box", "158,208,61,44", "--page"]),
        "a.stablehlo": (cli.main, ["export", "--to", "stablehlo", "--out"]),
        "weights": (port.main, ["convert", "builtin", "--out"]),
        "net.pth": (port.main, ["export", "builtin", "--to", "torchvision-alexnet", "--out"]),
    }
    for name, (main, words) in commands.items():
        with working_folder(tmp_path / name):
            assert main([*words, str(tmp_path / name)]) == 2, name
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert f"{name}: expected no other process that writes it, found " in said
    assert [*tmp_path.iterdir()] == []
