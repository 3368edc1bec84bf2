"""Trackers for other toolkits: their contracts, and the toolkits themselves where they are installed."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from clips import write_clips
from layouts import from_one
from one_layer import CHEAP

import mfst_jax
from mfst_jax.config import override
from mfst_jax.errors import InputError
from mfst_jax.evaluation import find_results, load, score, vot
from mfst_jax.evaluation.got10k import Tracker
from mfst_jax.media.images import read_image
from mfst_jax.presets import ALEXNET

CONFIG = override(ALEXNET, CHEAP)


@pytest.fixture
def sequence(tmp_path):
    return load(write_clips(tmp_path / "clips") / "Deer", "folder").sequences[0]


@pytest.fixture
def expected(sequence):
    """The boxes that plain tracking gives."""
    tracker = mfst_jax.Tracker(config=CONFIG)
    tracker.init(read_image(sequence.frames[0]), sequence.ground_truth[0])
    return np.stack([sequence.ground_truth[0], *(tracker.update(read_image(path)) for path in sequence.frames[1:])])


@pytest.mark.parametrize("origin", [0, 1])
def test_got10k_contract(sequence, expected, origin):
    shift = np.array([origin, origin, 0, 0])
    tracker = Tracker(config=CONFIG, name="ours", origin=origin)
    assert (tracker.name, tracker.is_deterministic) == ("ours", True)
    boxes, seconds = tracker.track([str(path) for path in sequence.frames], sequence.ground_truth[0] + shift)
    np.testing.assert_allclose(boxes, expected + shift, rtol=0, atol=1e-4)
    assert seconds.shape == (len(sequence.frames),)
    assert np.all(seconds > 0)
    with pytest.raises(InputError, match="box"):
        tracker.track(sequence.frames[:1], (900, 900, 9, 9))


def test_got10k_shows_by_the_toolkits_own_means(sequence, monkeypatch):
    shown = []
    viewer = types.SimpleNamespace(show_frame=lambda image, box: shown.append((image.shape, box.tolist())))
    for name in ("got10k", "got10k.utils", "got10k.utils.viz"):
        monkeypatch.setitem(sys.modules, name, viewer)
    box = sequence.ground_truth[0]
    Tracker(config=CONFIG).track(sequence.frames[:2], box, visualize=True)
    assert [shape for shape, _ in shown] == [(120, 160, 3)] * 2
    assert shown[0][1] == box.tolist()


@pytest.mark.filterwarnings("ignore")  # the toolkit and what it imports warn of much
def test_got10k_runs_it(tmp_path, monkeypatch):
    experiments = pytest.importorskip(
        "got10k.experiments", reason="the toolkit got10k is not installed", exc_type=ImportError
    )
    monkeypatch.setattr(experiments.otb.OTB, "_download", lambda *_: None)
    monkeypatch.setattr(experiments.ExperimentOTB, "plot_curves", lambda *_: None)
    root = write_clips(tmp_path / "clips")
    for path in root.glob("*/img/*.bmp"):
        path.rename(path.with_suffix(".jpg"))  # which the toolkit looks for; it does not mind what they are
    toolkit = experiments.ExperimentOTB(str(root), "tb100", str(tmp_path / "results"), str(tmp_path / "reports"))
    toolkit.run(Tracker(config=CONFIG, origin=1))
    theirs = toolkit.report(["MFST"])["MFST"]["overall"]
    (ours,), _ = find_results(tmp_path / "results/OTBtb100", ["Deer"])
    summary = score(ours, load(root, images=False))
    assert summary.overall is not None
    assert len(summary.sequences) == 3
    assert summary.overall.success_auc == pytest.approx(theirs["success_score"], rel=1e-12)
    assert summary.overall.success_auc > 0.6
    sequence = load(root).sequences[0]
    boxes, _ = Tracker(config=CONFIG, origin=1).track(sequence.frames, from_one(sequence.ground_truth)[0])
    np.testing.assert_allclose(ours.read(sequence.name).runs[0], boxes, rtol=0, atol=1e-3)


def test_vot_follows_the_protocol(sequence, expected, monkeypatch):
    """Against a stand-in for TraX's server that asks for one target, then for another."""
    images = [types.SimpleNamespace(path=lambda path=path: str(path)) for path in sequence.frames]
    region = types.SimpleNamespace(bounds=lambda: tuple(sequence.ground_truth[0].tolist()))
    requests = [
        types.SimpleNamespace(type="frame" if number else "initialize", image={"color": image}, objects=objects)
        for number, (image, objects) in enumerate(zip(images, [[(region, {})], None, []], strict=True))
    ]
    requests += [requests[0], requests[1], types.SimpleNamespace(type="quit")]
    replies = []

    class Server:
        def __init__(self, regions, formats, **_):
            assert (regions, formats) == (["rectangle"], ["path"])

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda *_: None  # noqa: E731
        wait = lambda self: requests.pop(0)  # noqa: E731
        status = lambda self, objects: replies.extend(objects)  # noqa: E731

    trax = types.SimpleNamespace(
        Region=types.SimpleNamespace(RECTANGLE="rectangle"),
        Image=types.SimpleNamespace(PATH="path"),
        TraxStatus=types.SimpleNamespace(QUIT="quit"),
        Rectangle=types.SimpleNamespace(create=lambda *box: box),
    )
    monkeypatch.setitem(sys.modules, "trax", trax)
    monkeypatch.setitem(sys.modules, "trax.server", types.SimpleNamespace(Server=Server))
    assert vot.main(["--set", *CHEAP]) == 0
    boxes = [box for box, _ in replies]
    np.testing.assert_allclose(boxes, [*expected, *expected[:2]], rtol=0, atol=1e-4)
    scores = [properties["confidence"] for _, properties in replies]
    assert scores[0] == scores[3] == 1
    assert all(0 <= score <= 1 for score in scores)


def test_vot_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "trax", None)
    assert vot.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mfst: ")
    assert "pip install 'mfst-jax[toolkits]'" in line


def test_vot_that_is_interrupted_says_so_in_a_line(monkeypatch, capsys):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(vot, "serve", interrupt)
    assert vot.main([]) == 130
    assert capsys.readouterr().err == "mfst: interrupted\n"


@pytest.mark.slow
def test_the_vot_toolkit_runs_it(tmp_path):
    """`vot test`, with the entry that comes with the package."""
    pytest.importorskip("trax", reason="vot-trax is not installed")
    pytest.importorskip("colorama", reason="the VOT toolkit is not installed")
    entry = Path(vot.__file__).with_name("trackers.ini").read_text()
    (tmp_path / "trackers.ini").write_text(entry.replace("= python", f"= {sys.executable}") + "")
    program = "import vot; vot.check_updates = lambda: (False, None)  # which asks GitHub\n"
    program += "from vot.utilities.cli import main; main()"
    command = [sys.executable, "-c", program, "--registry", "trackers.ini", "test", "MFST"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "Test concluded successfuly" in done.stdout + done.stderr
    boxes = [line for line in (done.stdout + done.stderr).splitlines() if "@@TRAX:state" in line]
    assert len(boxes) == 50
