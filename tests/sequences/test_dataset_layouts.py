"""Data sets of any layout: how they are told apart, which two do not go together, and which folder is part of one."""

import numpy as np
import pytest
from data_sets import (
    IDENTITIES,
    cvat,
    cvat_box,
    davis,
    mask,
    motchallenge,
    nfs,
    numbers,
    refused,
    tcolor128,
    trackingnet,
    uav123,
)
from layouts import boxes_of, lasot, otb, vot

from mfst_jax.errors import InputError
from mfst_jax.sequences import find_dataset, places_in, read_sequence
from mfst_jax.sequences.dataset_layouts import places_above
from mfst_jax.sequences.layouts import kind_of


def test_tcolor128_says_which_images_it_annotates(tmp_path):
    (place,) = places_in(tcolor128(tmp_path, "Airport_ce", boxes_of(4), first=3, images=9))
    assert kind_of(place) == "tcolor128"
    sequence = read_sequence(place)
    assert (numbers(sequence), sequence.problems) == ([3, 4, 5, 6], ())
    np.testing.assert_array_equal(sequence.ground_truth, boxes_of(4))
    (tmp_path / "Airport_ce/Airport_ce_frames.txt").write_text("6,3\n")
    with pytest.raises(InputError, match=r"_frames\.txt, line 1: expected the first and the last frame, found '6,3'"):
        read_sequence(place)


def test_the_files_of_tcolor128_may_be_called_otherwise_than_their_folder(tmp_path):
    folder = tcolor128(tmp_path, "Yo_yos_ce1", boxes_of(3), first=2)
    (folder / "Yo_yos_ce1_gt.txt").rename(folder / "Yo-yos_ce1_gt.txt")
    (place,) = places_in(folder)
    assert (place.name, kind_of(place), numbers(read_sequence(place))) == ("Yo_yos_ce1", "tcolor128", [2, 3, 4])
    tcolor128(tmp_path, "Ball_ce1", boxes_of(2), first=2).rename(tmp_path / "tpl_Ball_ce1")
    (place,) = places_in(tmp_path / "tpl_Ball_ce1")
    assert (place.name, numbers(read_sequence(place))) == ("tpl_Ball_ce1", [2, 3])


def test_kinds_of_sequences_are_told_by_their_content(tmp_path):
    def kind(folder):
        (place,) = places_in(folder)
        return kind_of(place)

    assert kind(otb(tmp_path, "Animal1", boxes_of(3))) == ""
    assert kind(lasot(tmp_path, "airplane-1", boxes_of(3))) == "lasot"
    assert kind(vot(tmp_path, "ball", ["1,2,3,4"])) == "vot"
    assert kind(vot(tmp_path, "bag", ["0,0,4,0,4,4,0,4"], ".")) == "vot"
    assert kind(vot(tmp_path, "cup", ["m1,2,3,2,0,6"], ".")) == "vot"
    assert kind(vot(tmp_path, "mine", ["1,2,3,4"], ".")) == ""


def test_two_layouts_in_one_folder_are_refused(tmp_path):
    uav123(tmp_path, {"bike1": boxes_of(3)})
    davis(tmp_path, "bear", [mask((1, 1, 2, 2))])
    words = "UAV123 (anno/ and data_seq/) and DAVIS (JPEGImages/ and Annotations/)"
    assert refused(tmp_path) == f"{tmp_path}: expected one layout, found {words}"
    root = cvat(otb(tmp_path, "mine", boxes_of(1)), f'<track id="0">{cvat_box(0, 0, 0, 1, 1)}</track>', 1)
    assert refused(root) == f"{root}: expected one layout, found CVAT (annotations.xml) and that of a single sequence"


@pytest.mark.parametrize("make", [uav123, trackingnet, nfs])
def test_more_rows_than_frames_are_refused(tmp_path, make):
    if make is uav123:
        truth = uav123(tmp_path, {"bike1": boxes_of(6)}, videos={"bike1": 4}) / "anno/UAV123/bike1.txt"
    elif make is trackingnet:
        truth = trackingnet(tmp_path, "TEST", "a", boxes_of(6), count=4) / "TEST/anno/a.txt"
    else:
        truth = nfs(tmp_path, "a", boxes_of(6), count=4) / "a/30/a.txt"
    assert refused(tmp_path) == f"{truth}, line 5: expected 4 lines, one a frame, found 6"


def test_the_data_set_of_a_folder_of_images_is_found_above_it(tmp_path):
    uav123(tmp_path / "uav", {"bird1_1": boxes_of(253), "bike1": boxes_of(3)}, videos={"bird1": 253, "bike1": 3})
    trackingnet(tmp_path / "tn", "TRAIN_3", "a_0", boxes_of(3))
    nfs(tmp_path / "nfs", "bee", boxes_of(3))
    davis(tmp_path / "davis", "bear", [mask((1, 1, 2, 2), (0, 0, 1, 1))])
    folder = motchallenge(tmp_path / "mot", "TUD", IDENTITIES, 4)
    found = {
        images: [place.name for place in places_above(tmp_path / images)]
        for images in (
            "uav/data_seq/UAV123/bird1",
            "tn/TRAIN_3/frames/a_0",
            "nfs/bee/30/bee",
            "davis/JPEGImages/480p/bear",
        )
    }
    assert [*found.values()] == [["bird1_1"], ["a_0"], ["bee"], ["bear-1", "bear-2"]]
    assert [place.name for place in places_above(folder / "img1")] == ["TUD-2", "TUD-7"]
    assert places_above(tmp_path / "uav/anno") == []


def test_a_folder_of_none_of_these_layouts_is_none(tmp_path):
    otb(tmp_path, "Deer", boxes_of(3))
    assert find_dataset(tmp_path) is find_dataset(tmp_path / "Deer") is None
    with pytest.raises(InputError, match="nowhere: expected a folder of sequences, found No such file"):
        find_dataset(tmp_path / "nowhere")
