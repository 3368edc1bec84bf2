"""`mfst track-all` by several processes that share a folder: one that is killed in the middle changes no byte."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from one_layer import CHEAP
from short_clips import NAMES, content, track_all, write_clips

from mfst_jax.many import command
from mfst_jax.program import sharing

STUCK = """
import sys, time
from mfst_jax import cli
from mfst_jax.many import tracking

follow_all, begun = tracking.follow_all, []

def hear(number, *_):
    if len(begun) == 2 and number == 1:
        print("stuck", flush=True)
        time.sleep(600)

def follow(*arguments, **options):
    begun.append(arguments)
    return follow_all(*arguments, **options, hear=hear)

tracking.follow_all = follow
sys.exit(cli.main(sys.argv[1:]))
"""
"""A run of a command that gets stuck in the second frame of its second source."""


def test_one_of_two_processes_is_killed_in_the_middle_and_the_other_comes_to_the_same_bytes(
    clips: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(sharing, "PAUSE", 0.05)
    out = clips.parent / "killed"
    words = ["track-all", str(clips), "--out", str(out), "--processes", "2"]
    program = [sys.executable, "-c", STUCK, *words, "--process", "0", "--set", *CHEAP]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        before = content(out)
        assert "ant.csv.json" in before  # it has done one source
        assert "bee.csv" not in before  # and is in the middle of the next one

        def kill() -> None:
            while not all((out / f"{name}.csv.json").exists() for name in NAMES[2:]):
                time.sleep(0.01)
            time.sleep(0.2)  # the other one has done its own by now, and waits
            os.kill(process.pid, signal.SIGKILL)

        killing = threading.Thread(target=kill)
        killing.start()
        assert track_all(*words[1:], "--process", 1) == 0
        killing.join()
        assert process.wait() == -signal.SIGKILL
    assert content(out) == whole
    said = capsys.readouterr().err
    assert "waiting for other processes, which have 1 sources in work" in said
    assert "tracked 3 of 4 sources, 12 frames" in said
    assert "; 1 by other processes" in said or "1 of 4 sources are tracked already" in said
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_failure_is_kept_for_the_others_which_do_not_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(sharing, "PAUSE", 0.05)
    clips, out = write_clips(tmp_path / "clips", names=NAMES[:2]), tmp_path / "out"
    (clips / "ant" / "img" / "0001.bmp").write_bytes(b"BM")
    statuses, together, track = [], threading.Barrier(2, timeout=60), command._track

    def track_together(*arguments: Any) -> Any:
        together.wait()  # a failure from before a process began would be tried again
        return track(*arguments)

    monkeypatch.setattr(command, "_track", track_together)

    def run(process: int) -> None:  # a thread, which locks keep out of another one's way as they do processes
        statuses.append(command.track_all((str(clips),), out=out, set=(CHEAP,), processes=2, process=process))

    threads = [threading.Thread(target=run, args=(process,)) for process in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [1, 1]
    said = capsys.readouterr().err
    # Lines of two threads may run into one another.
    assert said.count("failed: ant") == 1  # as one of them found out
    assert said.count("ant: ") == 2  # and both say in the end
    assert (out / "bee.csv").exists()


def test_one_that_does_not_share_is_kept_out(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    with sharing.at_work_in(tmp_path, sharing.Share(2, 0)):
        assert track_all(clips, "--out", tmp_path) == 2
    assert "expected no other process at work in it" in capsys.readouterr().err


@pytest.mark.slow
def test_of_two_commands_either_may_be_killed_and_the_bytes_are_the_same(tmp_path: Path):
    """With no time to clean up, once there is a first table."""
    clips = write_clips(tmp_path / "clips", frames=6, names=(*NAMES, *(f"{name}2" for name in NAMES)))

    def start(out: Path, *arguments: object) -> subprocess.Popen:
        words = [sys.executable, "-m", "mfst_jax.cli", "track-all", str(clips), "--out", str(out)]
        return subprocess.Popen([*words, *map(str, arguments), "--set", *CHEAP])

    with start(tmp_path / "whole") as alone:
        assert alone.wait() == 0
    for killed in range(2):
        out = tmp_path / f"out{killed}"
        with start(out, "--processes", 2, "--process", 0) as one, start(out, "--processes", 2, "--process", 1) as other:
            try:
                while not [*out.glob("*.csv.json")]:
                    assert (one.poll(), other.poll()) == (None, None)
                    time.sleep(0.02)
                ends, goes_on = (one, other) if killed == 0 else (other, one)
                ends.kill()
                assert ends.wait() == -signal.SIGKILL
                assert goes_on.wait() == 0
            finally:
                one.kill()
                other.kill()
        assert content(out) == content(tmp_path / "whole")
