"""Sources that are sequences of data sets: by their folder, by their images, or one of several by its name."""

import numpy as np
import pytest
from data_sets import davis, mask, motchallenge, tcolor128, trackingnet, uav123
from layouts import boxes_of, from_one, otb, write_images, write_rows

from mfst_jax.errors import InputError
from mfst_jax.media.sources import open_source


def test_the_images_of_a_sequence_find_its_true_boxes(tmp_path):
    trackingnet(tmp_path, "TRAIN_0", "a_0", boxes_of(3))
    source = open_source(tmp_path / "TRAIN_0/frames/a_0")
    assert (source.name, source.count, source.notes) == ("a_0", 3, ())
    np.testing.assert_array_equal(source.ground_truth, boxes_of(3))


def test_the_folder_of_a_single_sequence_will_do(tmp_path):
    source = open_source(tcolor128(tmp_path, "Airport_ce", boxes_of(4), first=3, images=9))
    assert source.notes == ("Airport_ce: 0003.jpg to 0006.jpg, which have true boxes, of 9 images",)
    np.testing.assert_array_equal(source.ground_truth, boxes_of(4))
    root = davis(tmp_path / "davis", "bear", [mask((1, 1, 2, 2))] * 2)
    for path in (root, root / "JPEGImages/480p/bear"):
        np.testing.assert_array_equal(open_source(path).ground_truth, [(1, 1, 2, 2)] * 2)


def test_one_of_several_sequences_is_taken_by_its_name(tmp_path):
    uav123(tmp_path / "uav", {"bike1": boxes_of(3), "bike2": boxes_of(4)})
    assert open_source(f"{tmp_path}/uav#bike2").count == 4
    with pytest.raises(InputError) as error:
        open_source(f"{tmp_path}/uav#bike3")
    assert str(error.value) == (
        f"source {tmp_path}/uav#bike3: expected the name of a sequence in {tmp_path}/uav, found bike1, bike2"
    )
    with pytest.raises(InputError) as error:
        open_source(tmp_path / "uav")
    words = f"expected one sequence, such as '{tmp_path}/uav#bike1', found 2: bike1, bike2"
    assert str(error.value) == f"source {tmp_path}/uav: {words}"
    folder = otb(tmp_path, "Jogging", boxes_of(3), file="groundtruth_rect.1.txt")
    write_rows(folder / "groundtruth_rect.2.txt", from_one(boxes_of(3) + 5))
    for source in (f"{folder}#Jogging-2", f"{tmp_path}#Jogging-2"):
        np.testing.assert_array_equal(open_source(source).ground_truth, boxes_of(3) + 5)


def test_a_data_set_one_folder_deeper_is_named(tmp_path):
    uav123(tmp_path / "Dataset_UAV123/UAV123", {"bike1": boxes_of(3)})
    with pytest.raises(InputError) as error:
        open_source(tmp_path / "Dataset_UAV123")
    root = tmp_path / "Dataset_UAV123"
    words = f"expected a sequence or images, found UAV123 one folder deeper, in {root}/UAV123"
    assert str(error.value) == f"source {root}: {words}"
    write_images(root, (1, 2))
    assert open_source(root).count == 2


def test_a_name_may_have_a_number_sign_of_its_own(tmp_path):
    write_images(tmp_path / "take#2", (1, 2))
    assert open_source(tmp_path / "take#2").count == 2
    (tmp_path / "take").mkdir()
    with pytest.raises(
        InputError, match=r"source .*take#3: expected the name of a sequence in .*take, found none there"
    ):
        open_source(tmp_path / "take#3")


def test_a_video_of_several_targets_has_its_images_and_says_how_to_take_one(tmp_path):
    rows = [(1, 2, 11, 21, 30, 40, 1), (3, 2, 12, 21, 30, 40, 1), (2, 7, 1, 1, 5, 5, 1)]
    folder = motchallenge(tmp_path, "TUD", rows, 4)
    source = open_source(folder)
    assert (source.count, source.ground_truth) == (4, None)
    assert source.lacks == f"TUD has 2 targets (TUD-2; TUD-7; '{folder}#TUD-2' takes one)"
    one = open_source(f"{folder}#TUD-2")
    np.testing.assert_array_equal(one.ground_truth, [(10, 20, 30, 40), (np.nan,) * 4, (11, 20, 30, 40)])
    assert one.notes == ("TUD-2: 000001.jpg to 000003.jpg, which have true boxes, of 4 images",)
