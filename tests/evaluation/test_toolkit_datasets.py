"""The got10k toolkit's readers beside ours, on the same small copies, where it is installed: frames, boxes, figures."""

import numpy as np
import pytest
from data_sets import nfs, tcolor128, uav123, whole_lasot
from layouts import boxes_of, from_one, otb, write_rows

from mfst_jax.evaluation import Results, load, score
from mfst_jax.sequences.formats.lasot import test_names as lasot_test_names

pytestmark = pytest.mark.filterwarnings("ignore")  # it and what it imports warn of much


@pytest.fixture(scope="module")
def toolkit():
    return pytest.importorskip("got10k.experiments", reason="the toolkit got10k is not installed", exc_type=ImportError)


def check(theirs, dataset, origin):
    """The same sequences, each with the same images and boxes."""
    assert sorted(theirs.seq_names) == sorted(sequence.name for sequence in dataset.sequences)
    for sequence in dataset.sequences:
        images, boxes = theirs[sequence.name]
        assert images == [*map(str, sequence.frames)]
        np.testing.assert_allclose(sequence.ground_truth, boxes - (origin, origin, 0, 0))
        np.testing.assert_array_equal(sequence.absent, np.isnan(boxes).any(axis=1))


def test_uav123_nfs_tcolor128_and_dtb70(toolkit, tmp_path):
    hidden = boxes_of(253)
    hidden[100:120] = np.nan
    uav = uav123(tmp_path / "uav", {"bird1_1": hidden, "uav8": boxes_of(301)}, videos={"bird1": 253, "uav8": 301})
    for name in ("readme.txt", "configSeqs.txt"):
        (uav / name).write_text("")  # it takes a folder with less than four entries for incomplete
    check(toolkit.uav123.UAV123(str(uav)), load(uav), 1)
    nfs(tmp_path / "nfs", "bee", boxes_of(81), count=11)
    nfs(tmp_path / "nfs", "car", boxes_of(4), count=3)
    check(toolkit.nfs.NfS(str(tmp_path / "nfs"), 30), load(tmp_path / "nfs"), 0)
    tcolor128(tmp_path / "tc", "Airport_ce", boxes_of(4), first=3, images=9)
    tcolor128(tmp_path / "tc", "Ball_ce1", boxes_of(5))
    check(toolkit.tcolor128.TColor128(str(tmp_path / "tc"), download=False), load(tmp_path / "tc"), 1)
    for name in ("Animal1", "Zebra"):
        otb(tmp_path / "dtb", name, boxes_of(6))
    check(toolkit.dtb70.DTB70(str(tmp_path / "dtb")), load(tmp_path / "dtb"), 1)


def test_uav123_s_figures(toolkit, tmp_path, monkeypatch):
    monkeypatch.setattr(toolkit.ExperimentUAV123, "plot_curves", lambda *_: None)
    rng, truth = np.random.default_rng(4), boxes_of(301)
    truth[50:80] = np.nan
    uav = uav123(tmp_path / "data", {"uav8": truth})
    for name in ("readme.txt", "configSeqs.txt"):
        (uav / name).write_text("")
    boxes = from_one(np.nan_to_num(truth, nan=9) + rng.normal(0, 8, truth.shape))
    write_rows(tmp_path / "results/UAV123/mine/uav8.txt", boxes)
    experiment = toolkit.ExperimentUAV123(str(uav), "UAV123", str(tmp_path / "results"), str(tmp_path / "reports"))
    theirs = experiment.report(["mine"])["mine"]["overall"]
    ours = score(Results(tmp_path / "results/UAV123/mine"), load(uav)).overall
    np.testing.assert_allclose(ours.success_curve, theirs["success_curve"])
    np.testing.assert_allclose(ours.precision_curve, theirs["precision_curve"])


def test_lasot_s_test_split(toolkit, tmp_path):
    import json
    from pathlib import Path

    theirs = json.loads(Path(toolkit.uav123.__file__).parents[1].joinpath("datasets/lasot.json").read_text())
    assert lasot_test_names() == frozenset(theirs["test"])
    names = ["airplane-1", "airplane-10", "zebra-17"]
    loaded = {sequence.name for sequence in load(whole_lasot(tmp_path, names, boxes_of(3))).sequences}
    assert loaded == {*names} & {*theirs["test"]}
