"""DAVIS and YouTube-VOS: each object of their masks is a sequence of bounds."""

import json

import numpy as np
import pytest
from data_sets import ABSENT, davis, mask, numbers, refused, sequences
from PIL import Image


@pytest.mark.parametrize("mode", ["P", "L"])
def test_each_object_of_davis_is_a_sequence_of_the_bounds_of_its_pixels(tmp_path, mode):
    masks = [mask((1, 0, 2, 3), (4, 1, 2, 2)), mask((0, 0, 6, 1)), mask((2, 2, 1, 1), (3, 3, 3, 1))]
    davis(tmp_path, "bear", masks, mode=mode)
    found = sequences(tmp_path)
    assert list(found) == ["bear-1", "bear-2"]
    np.testing.assert_array_equal(found["bear-1"].ground_truth, [(1, 0, 2, 3), (0, 0, 6, 1), (2, 2, 1, 1)])
    np.testing.assert_array_equal(found["bear-2"].ground_truth, [(4, 1, 2, 2), ABSENT, (3, 3, 3, 1)])
    assert found["bear-2"].absent.tolist() == [False, True, False]


def test_255_is_the_object_of_davis_2016_and_nobody_knows_it_in_others(tmp_path):
    davis(tmp_path, "cow", [mask((1, 1, 2, 2), values=(255,))] * 2)
    davis(tmp_path, "dog", [mask((1, 1, 2, 2), (0, 0, 1, 1), values=(1, 255))] * 2)
    found = sequences(tmp_path)
    assert list(found) == ["cow", "dog"]
    np.testing.assert_array_equal(found["cow"].ground_truth, found["dog"].ground_truth)


def test_davis_has_lists_of_its_splits_and_may_annotate_the_first_frame_only(tmp_path):
    for name in ("bear", "bmx", "cow"):
        davis(tmp_path, name, [mask((1, 1, 2, 2)), None, None])
    for year, split, text in (
        ("480p", "train", "/JPEGImages/480p/cow/00000.jpg /Annotations/480p/cow/00000.png\n"),
        ("2017", "val", "bmx\ncow\n"),
    ):
        (tmp_path / "ImageSets" / year).mkdir(parents=True)
        (tmp_path / f"ImageSets/{year}/{split}.txt").write_text(text)
    assert list(sequences(tmp_path)) == ["bear", "bmx", "cow"]
    assert list(sequences(tmp_path, "test")) == ["bmx", "cow"]
    (sequence,) = sequences(tmp_path, "train").values()
    assert (sequence.name, sequence.annotated, sequence.absent.tolist()) == ("cow", 1, [False] * 3)


def test_davis_2017_as_its_archives_unpack_into_one_folder(tmp_path):
    instances = [mask((0, 0, 2, 2), (3, 0, 2, 3)), mask((0, 1, 2, 2), (3, 1, 2, 3))]
    davis(tmp_path, "gold-fish", instances)  # of the validation split, with a mask for each frame
    davis(tmp_path, "aerobatics", [instances[0], None, None])  # of test-dev, with the first mask alone
    davis(tmp_path, "bear", instances[:1])  # of the training split
    for year, split, names in (("2016", "val", "bear"), ("2017", "train", "bear"), ("2017", "val", "gold-fish\n")):
        (tmp_path / "ImageSets" / year).mkdir(parents=True, exist_ok=True)
        (tmp_path / f"ImageSets/{year}/{split}.txt").write_text(names)
    (tmp_path / "ImageSets/2017/test-dev.txt").write_text("aerobatics\n")
    found = sequences(tmp_path, "test")
    assert list(found) == ["gold-fish-1", "gold-fish-2"]
    assert [(len(each.frames), each.annotated, int(each.absent.sum())) for each in found.values()] == [(2, 2, 0)] * 2
    assert list(sequences(tmp_path, "train")) == ["bear-1", "bear-2"]
    whole = sequences(tmp_path)
    assert (len(whole), len(whole["aerobatics-2"].frames), whole["aerobatics-2"].annotated) == (6, 3, 1)


def test_objects_of_youtube_vos_may_come_later(tmp_path):
    davis(tmp_path, "0ab", [mask((1, 1, 2, 2)), mask((1, 1, 2, 2), (4, 0, 1, 1))], resolution="")
    meta = {"videos": {"0ab": {"objects": {"1": {"frames": ["00000"]}, "2": {"frames": ["00001"]}}}}}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    assert {name: numbers(each) for name, each in sequences(tmp_path).items()} == {"0ab-1": [0, 1], "0ab-2": [1]}
    (tmp_path / "meta.json").write_text("[")
    assert refused(tmp_path).startswith(f"{tmp_path}/meta.json: expected the objects of videos (YouTube-VOS), found")


def test_what_is_wrong_with_masks_is_named(tmp_path):
    davis(tmp_path, "bear", [mask((1, 1, 2, 2)), mask((1, 1, 2, 2), size=(5, 6))])
    masks = tmp_path / "Annotations/480p/bear"
    assert refused(tmp_path) == f"{masks}/00001.png: expected 6x4 pixels like its frame, found 6x5"
    Image.new("RGB", (6, 4)).save(masks / "00001.png")
    assert refused(tmp_path) == f"{masks}/00001.png: expected a mask with one number a pixel, found an image of RGB"
    (masks / "00001.png").write_bytes(b"no image")
    assert refused(tmp_path).startswith(f"{masks}/00001.png: expected a mask, found ")
    (tmp_path / "JPEGImages/480p/bear/00001.jpg").unlink()
    images = tmp_path / "JPEGImages/480p/bear"
    assert refused(tmp_path) == f"{masks}/00001.png: expected an image of this name in {images}, found none"
    (tmp_path / "Annotations").rename(tmp_path / "Masks")
    assert refused(tmp_path).startswith(f"{tmp_path}: expected JPEGImages/ and Annotations/ (DAVIS), found ")
