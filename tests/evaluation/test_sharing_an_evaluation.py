"""`mfst eval` by several processes that share a folder: what each tracks, who reports, and one that is killed."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from clips import damage, evaluate, read_results, write_clips
from one_layer import CHEAP

from mfst_jax.evaluation import commands, runner
from mfst_jax.program import sharing

pytestmark = pytest.mark.usefixtures("plain_weights")

STUCK = """
import sys, time
from mfst_jax import cli, tracker
from mfst_jax.evaluation import runner

runner.prepare = lambda params, config: params
step, taken = tracker.step, []

def stuck(*arguments):
    taken.append(arguments)
    if len(taken) == 2:  # the first one warms up
        print("stuck", flush=True)
        time.sleep(600)
    return step(*arguments)

tracker.step = stuck
sys.exit(cli.main(sys.argv[1:]))
"""
"""A run of a command that gets stuck in the second frame of its first sequence."""


@pytest.fixture(autouse=True)
def short_pause(monkeypatch):
    monkeypatch.setattr(sharing, "PAUSE", 0.05)


def test_one_of_two_processes_is_killed_in_the_middle_and_the_other_comes_to_the_same_bytes(
    root, whole, tmp_path, capsys
):
    words = ["--processes", "2", "--process"]
    command = [sys.executable, "-c", STUCK, "eval", str(root), "--protocol", "folder", "--out", str(tmp_path)]
    command = [*command, "--no-report", "--set", *CHEAP, *words, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"

        def kill():
            while not all((tmp_path / f"results/MFST/{name}.txt").exists() for name in ("Man", "Toy")):
                time.sleep(0.01)
            time.sleep(0.2)  # the other one has done its own by now, and waits
            os.kill(process.pid, signal.SIGKILL)

        killing = threading.Thread(target=kill)
        killing.start()
        assert evaluate(root, tmp_path, *words, 1) == 0
        killing.join()
    assert "waiting for other processes, which are tracking 1 more" in capsys.readouterr().err
    assert read_results(tmp_path) == read_results(whole)


def run_two(root, out, **options):
    """Exit statuses of two processes at once, as threads: locks keep these out of each other's way too."""
    statuses = []
    options = {"protocol": "folder", "set": (CHEAP,), "report": False, "processes": 2, **options}
    run = [lambda k=k: statuses.append(commands.evaluate(root, out=out, process=k, **options)) for k in range(2)]
    threads = [threading.Thread(target=each) for each in run]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


@pytest.mark.slow
def test_batches_are_shared_as_a_whole_and_come_to_the_same_boxes(root, tmp_path):
    assert evaluate(root, tmp_path / "one", "--batch", 2) == 0
    assert run_two(root, tmp_path / "two", batch=2) == [0, 0]
    assert read_results(tmp_path / "one") == read_results(tmp_path / "two")


@pytest.mark.slow
def test_one_of_them_writes_the_report(root, tmp_path, monkeypatch, capsys):
    wrote, write_report = [], commands._write_report
    monkeypatch.setattr(commands, "_write_report", lambda *all_of_it: (wrote.append(1), write_report(*all_of_it)))
    assert run_two(root, tmp_path, report=True) == [0, 0]
    assert len(wrote) == 1
    assert {"report.html", "success.png", "summary.json"} <= {path.name for path in tmp_path.iterdir()}
    assert capsys.readouterr().out.count("success AUC") == 2  # while both say what came of it
    os.utime(tmp_path / "report.html", (0, 0))  # an older one than the results
    assert run_two(root, tmp_path, report=True) == [0, 0]
    assert len(wrote) == 2


@pytest.mark.slow
def test_a_sequence_that_fails_is_missing_in_both(tmp_path, capsys):
    root = write_clips(tmp_path / "clips")
    damage(root / "Man" / "img" / "0002.bmp")
    assert run_two(root, tmp_path / "out") == [1, 1]
    assert capsys.readouterr().err.count("1 missing: Man\n") == 2


def test_what_failed_here_and_was_tracked_elsewhere_is_not_missing(root, whole, tmp_path, monkeypatch):
    """As where a file server was out of reach for a moment."""
    track_sequences = runner.track_sequences

    def flaky(params, sequences, config, **options):
        for track in track_sequences(params, sequences, config, **options):
            if track.sequence.name == "Man":
                (tmp_path / "results/MFST/times").mkdir(parents=True, exist_ok=True)
                for name in ("Man.txt", "times/Man_time.txt"):
                    (tmp_path / "results/MFST" / name).write_bytes((whole / "results/MFST" / name).read_bytes())
                track.problem = "Man: out of reach"
            yield track

    monkeypatch.setattr(runner, "track_sequences", flaky)
    assert evaluate(root, tmp_path, "--processes", 2) == 0
    assert read_results(tmp_path) == read_results(whole)


def test_one_that_does_not_share_is_kept_out(root, tmp_path, capsys):
    with sharing.at_work_in(tmp_path, sharing.Share(2, 0)):
        assert evaluate(root, tmp_path) == 2
    assert "expected no other process at work in it" in capsys.readouterr().err
    assert evaluate(root, tmp_path, "--processes", 2, "--process", 5) == 2
    assert "--process: expected 0 to 1, found 5" in capsys.readouterr().err
