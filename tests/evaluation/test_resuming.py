"""The command `mfst eval` goes on after an end of any kind, and refuses to go on with another run."""

import random
import subprocess
import sys
import time

import jax
import pytest
from clips import evaluate, read_results, write_clips
from one_layer import CHEAP

import mfst_jax
from mfst_jax import tracker
from mfst_jax.evaluation import results as results_module

pytestmark = pytest.mark.usefixtures("plain_weights")


def test_a_run_that_is_complete_tracks_nothing(root, whole, monkeypatch, capsys):
    before = read_results(whole)
    monkeypatch.setattr(tracker, "init", None)
    assert evaluate(root, whole) == 0
    assert read_results(whole) == before
    assert "3 of 3 sequences are tracked already" in capsys.readouterr().err


@pytest.mark.parametrize("moment", [0, 2, 4])
def test_a_run_goes_on_where_it_was_interrupted(root, whole, tmp_path, monkeypatch, moment):
    step, calls = tracker.step, []

    def interrupted(*arguments):
        if len(calls) == moment:
            raise KeyboardInterrupt
        calls.append(arguments)
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tracker, "step", interrupted)
        assert evaluate(root, tmp_path) == 130
    assert not (tmp_path / "summary.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("results/MFST/*.txt")}
    assert evaluate(root, tmp_path) == 0
    assert read_results(tmp_path) == read_results(whole)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_run_that_dies_while_it_writes_goes_on(root, whole, tmp_path, monkeypatch):
    def died(path, text):
        path.parent.mkdir(parents=True)
        path.with_name(f".{path.name}.part").write_text(text[: len(text) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(results_module, "write_atomically", died)
        assert evaluate(root, tmp_path) == 130
    assert list(tmp_path.glob("results/MFST/times/.*.part"))
    assert evaluate(root, tmp_path) == 0
    assert read_results(tmp_path) == read_results(whole)


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(tmp_path):
    """Ten kills at random moments of what a run takes, the first one soon after the start, with no time to clean up."""
    root, killed = write_clips(tmp_path / "clips", rounds=11), tmp_path / "killed"
    command = [sys.executable, "-m", "mfst_jax.cli", "eval", str(root), "--protocol", "folder", "--no-report"]
    command = [*command, "--set", *CHEAP, "--out"]
    begin = time.perf_counter()
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    longest, moments, left = time.perf_counter() - begin, random.Random(4), []
    while len(left) < 10:
        process = subprocess.Popen([*command, str(killed)])
        try:
            earliest, latest = (0.2, 1.0) if left else (0.0, 0.05)
            process.wait(timeout=longest * moments.uniform(earliest, latest))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            left.append(len(list(killed.glob("results/MFST/*.txt"))))
        else:  # it was through before that, and so is the next one sooner: begin again
            assert process.returncode == 0
            assert read_results(killed) == read_results(tmp_path / "whole")
            killed.rename(tmp_path / f"through{len(list(tmp_path.iterdir()))}")
    subprocess.run([*command, str(killed)], check=True)
    assert read_results(killed) == read_results(tmp_path / "whole")
    assert {*left} > {0}, "no kill hit a run that had got anywhere"
    print(f"results there after each kill: {left}")


def test_a_result_that_does_not_fit_its_sequence_is_tracked_anew(root, whole, tmp_path):
    assert evaluate(root, tmp_path) == 0
    file, times = tmp_path / "results/MFST/Toy.txt", tmp_path / "results/MFST/times/Deer_time.txt"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    times.unlink()
    assert evaluate(root, tmp_path) == 0
    assert read_results(tmp_path) == read_results(whole)
    assert times.exists()


def test_another_run_is_refused_in_the_same_place(root, whole, tmp_path, capsys):
    before = read_results(whole)
    assert evaluate(root, whole, "scale_step=1.05", "alexnet_layers=conv3,conv4") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"mfst: {whole}/results/MFST/run.json: expected the same run as before")
    assert 'config.alexnet_layers ["conv3", "conv4"] instead of ["conv3"]; config.scale_step 1.05 instead of' in line
    assert evaluate(root, whole, "--batch", 2) == 2
    assert "batch 2 instead of 1" in capsys.readouterr().err
    assert read_results(whole) == before
    params = mfst_jax.load()
    other = jax.tree.map(lambda array: array, params)  # its own dicts
    conv1 = other.variables["params"]["alexnet"]["conv1"]
    conv1["kernel"] = conv1["kernel"] * 2
    mfst_jax.save(other, tmp_path / "other.safetensors")
    assert evaluate(root, whole, "--weights", tmp_path / "other.safetensors") == 2
    assert "weights.sha256" in capsys.readouterr().err
    (whole / "results/other").mkdir()
    (whole / "results/other/Deer.txt").write_text("1,1,1,1\n")
    assert evaluate(root, whole, "--name", "other") == 2
    assert "expected no results but those of this run, found Deer.txt and no run.json" in capsys.readouterr().err
    (whole / "results/other/Deer.txt").unlink()
    (whole / "results/other").rmdir()
