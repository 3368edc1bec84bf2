"""The got10k toolkit itself beside ours, on made-up results, where it is installed: its figures to the last digit."""

import numpy as np
import pytest
from layouts import got10k, write_images, write_rows

from mfst_jax.evaluation import find_results, load, score
from mfst_jax.evaluation.metrics import centre_errors, overlaps

pytestmark = pytest.mark.filterwarnings("ignore")  # it and what it imports warn of much


@pytest.fixture(scope="module")
def experiments():
    return pytest.importorskip("got10k.experiments", reason="the toolkit got10k is not installed", exc_type=ImportError)


def random_boxes(rng, count, decimals):
    """A true track and a tracker's, so coarse that overlaps and errors lie on thresholds."""
    truth = np.round(rng.uniform((0, 0, 5, 5), (80, 60, 40, 40), (count, 4)), decimals)
    return truth, np.round(truth + rng.normal(0, 6, (count, 4)), decimals)


@pytest.mark.parametrize("decimals", [0, 2])
def test_overlaps_and_errors(experiments, decimals):
    from got10k.utils.metrics import center_error, rect_iou

    truth, boxes = random_boxes(np.random.default_rng(1), 5000, decimals)
    truth[::50], boxes[25::50] = 0, 0
    np.testing.assert_array_equal(overlaps(boxes, truth), rect_iou(boxes, truth))
    np.testing.assert_array_equal(centre_errors(boxes, truth), center_error(boxes, truth))


def test_otb(experiments, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments.otb.OTB, "_download", lambda *_: None)
    monkeypatch.setattr(experiments.ExperimentOTB, "plot_curves", lambda *_: None)
    rng = np.random.default_rng(2)
    for name, decimals in (("Deer", 0), ("Man", 2), ("Human4", 0)):
        truth, boxes = random_boxes(rng, 60, decimals)
        boxes[30:35] = np.nan
        truth[-1] = 0
        write_images(tmp_path / "data" / name / "img", range(1, 61))
        write_rows(tmp_path / "data" / name / "groundtruth_rect.txt", truth, "\t")
        write_rows(tmp_path / "results/OTBtb100/mine" / f"{name}.txt", boxes)
        write_rows(tmp_path / "results/OTBtb100/mine/times" / f"{name}_time.txt", rng.random((60, 1)))
    toolkit = experiments.ExperimentOTB(
        str(tmp_path / "data"), "tb100", str(tmp_path / "results"), str(tmp_path / "reports")
    )
    theirs = toolkit.report(["mine"])["mine"]
    dataset = load(tmp_path / "data", images=False)
    (tracker,), _ = find_results(tmp_path / "results/OTBtb100", ["Deer"])
    ours = score(tracker, dataset).to_json()
    names = {
        "success_curve": "success_curve",
        "precision_curve": "precision_curve",
        "success_score": "success_auc",
        "precision_score": "precision_20px",
        "success_rate": "success_rate_50",
        "speed_fps": "frames_per_second",
    }
    for their_name, our_name in names.items():
        np.testing.assert_allclose(ours[our_name], theirs["overall"][their_name], rtol=1e-14)
        if "curve" not in our_name:
            for sequence, key in (("Deer", "Deer"), ("Man", "Man"), ("Human4-2", "Human4")):
                found, expected = ours["sequences"][sequence][our_name], theirs["seq_wise"][key][their_name]
                assert found == pytest.approx(expected, rel=1e-14)


def test_got10k(experiments, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments.ExperimentGOT10k, "plot_curves", lambda *_: None)
    rng = np.random.default_rng(3)
    names = [f"GOT-10k_Val_{number:06d}" for number in range(4)]
    for name in names:
        truth, boxes = random_boxes(rng, int(rng.integers(20, 60)), 2)
        cover = rng.integers(0, 9, len(truth))
        cover[0] = 8
        folder = got10k(tmp_path / "data/val", name, truth, absent=cover == 0, cover=cover, size=(70, 90))
        (folder / "cut_by_image.label").write_text("0\n" * len(truth))
        write_rows(tmp_path / "results/GOT-10k/mine" / name / f"{name}_001.txt", boxes)
        write_rows(tmp_path / "results/GOT-10k/mine" / name / f"{name}_002.txt", boxes + 1)
        write_rows(tmp_path / "results/GOT-10k/mine" / name / f"{name}_time.txt", rng.random((len(truth), 2)))
    (tmp_path / "data/val/list.txt").write_text("\n".join(names))
    toolkit = experiments.ExperimentGOT10k(
        str(tmp_path / "data"), "val", str(tmp_path / "results"), str(tmp_path / "reports")
    )
    theirs = toolkit.report(["mine"])["mine"]
    dataset = load(tmp_path / "data", "got10k", images=False)
    (tracker,), _ = find_results(tmp_path / "results/GOT-10k/mine", names)
    ours = score(tracker, dataset).to_json()
    assert ours["average_overlap"] == pytest.approx(theirs["overall"]["ao"], rel=1e-13)
    assert ours["success_rate_50"] == pytest.approx(theirs["overall"]["sr"], rel=1e-13)
    np.testing.assert_allclose(ours["success_curve"], theirs["overall"]["succ_curve"][::5], rtol=1e-13)
    for name in names:
        assert ours["sequences"][name]["average_overlap"] == pytest.approx(theirs["seq_wise"][name]["ao"], rel=1e-13)
