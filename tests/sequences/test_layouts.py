"""Where sequences are on disk: which files have true boxes, where images are, and what is said where neither is."""

import numpy as np
import pytest
from layouts import boxes_of, from_one, got10k, lasot, otb, vot, write_images, write_rows

from mfst_jax.errors import InputError
from mfst_jax.sequences import Place, places_in
from mfst_jax.sequences.layouts import describe_other, list_images, sequence_folders


def names(folder):
    return [(place.name, place.truth.name, place.origin) for place in places_in(folder)]


def test_the_true_boxes_of_each_layout_and_what_they_call_the_first_pixel(tmp_path):
    boxes = boxes_of(3)
    assert names(otb(tmp_path, "Deer", boxes)) == [("Deer", "groundtruth_rect.txt", 1)]
    assert names(got10k(tmp_path, "A", boxes)) == [("A", "groundtruth.txt", 0)]
    assert names(lasot(tmp_path, "airplane-1", boxes)) == [("airplane-1", "groundtruth.txt", 1)]
    assert names(vot(tmp_path, "ball", ["1,2,3,4"])) == [("ball", "groundtruth.txt", 0)]
    assert Place("Deer", None, tmp_path / "groundtruth.txt").origin == 1
    assert names(tmp_path) == []


def test_several_targets_have_a_file_each(tmp_path):
    folder = otb(tmp_path, "Skating2", boxes_of(3), file="groundtruth_rect.2.txt")
    assert names(folder) == [("Skating2-2", "groundtruth_rect.2.txt", 1)]
    (folder / "groundtruth_rect.1.txt").write_text("\n")  # empty, as in OTB's Human4
    assert names(folder) == [("Skating2-2", "groundtruth_rect.2.txt", 1)]
    write_rows(folder / "groundtruth_rect.1.txt", from_one(boxes_of(3)))
    assert [name for name, *_ in names(folder)] == ["Skating2-1", "Skating2-2"]
    folder = vot(tmp_path, "cats", ["1,2,3,4"])
    for target in ("black", "white"):
        (folder / f"groundtruth_{target}.txt").write_text("1,2,3,4\n")
    assert names(folder) == [("cats", "groundtruth.txt", 0)]
    (folder / "groundtruth.txt").unlink()
    assert names(folder) == [("cats-black", "groundtruth_black.txt", 0), ("cats-white", "groundtruth_white.txt", 0)]


def test_vot_may_call_the_file_of_true_boxes_otherwise(tmp_path):
    folder = vot(tmp_path, "ball", ["1,2,3,4"])
    (folder / "groundtruth.txt").rename(folder / "regions.txt")
    assert names(folder) == []
    with (folder / "sequence").open("a") as file:
        file.write("groundtruth=regions.txt\n")
    assert names(folder) == [("ball", "regions.txt", 0)]


def test_a_sequence_is_called_as_its_folder_is(tmp_path, monkeypatch):
    folder = otb(tmp_path, "Deer", boxes_of(3))
    (tmp_path / "link").symlink_to(folder)
    assert [name for name, *_ in names(tmp_path / "link")] == ["link"]
    monkeypatch.chdir(folder / "img")
    assert [name for name, *_ in names(folder / "img" / "..")] == ["Deer"]


@pytest.mark.parametrize(
    ("sequence", "place"),
    [
        ("channels.color=frames/%08d.jpg", "frames"),
        ("channels.color = a/b/%08d.jpg\nchannels.ir=ir/%08d.png", "a/b"),
        ("channels.color=color\\%08d.jpg", "color"),
        ("channels.color=rgb/", "rgb"),
        ("channels.color=%08d.jpg", "."),
        ("fps=30\nchannels.ir=infrared/%08d.png", "infrared"),
        ("fps=30", "."),
    ],
)
def test_vot_says_where_its_images_are(tmp_path, sequence, place):
    write_images(tmp_path / place, (1, 2, 10))
    (tmp_path / "sequence").write_text(sequence)
    assert [path.stem for path in list_images(tmp_path)] == ["0001", "0002", "0010"]
    assert list_images(tmp_path)[0].parent.samefile(tmp_path / place)


def test_hidden_files_and_folders_are_no_images(tmp_path):
    write_images(tmp_path / "img", (1, 2))
    (tmp_path / "img/._0001.jpg").write_text("")
    (tmp_path / "img/0003.jpg").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["0001.jpg", "0002.jpg"]


def test_sequences_come_in_natural_order_or_are_the_folder_itself(tmp_path):
    for name in ("s10", "s9", "_old"):
        otb(tmp_path, name, boxes_of(3))
    assert [path.name for path in sequence_folders(tmp_path, "val")] == ["s9", "s10"]
    assert sequence_folders(tmp_path / "s9", "val") == [tmp_path / "s9"]


def test_a_split_is_taken_where_there_are_no_sequences_beside_it(tmp_path):
    got10k(tmp_path / "val", "A", boxes_of(3))
    (tmp_path / "train").mkdir()
    assert [path.name for path in sequence_folders(tmp_path, "val")] == ["A"]
    assert [path.name for path in sequence_folders(tmp_path, "test")] == ["train", "val"]
    got10k(tmp_path, "B", boxes_of(3))
    assert [path.name for path in sequence_folders(tmp_path, "val")] == ["B", "train", "val"]


@pytest.mark.parametrize(
    ("paths", "root", "found"),
    [
        (("airplane/airplane-1/groundtruth.txt", "airplane/airplane-1/img/1.jpg"), ".", "two folders deeper"),
        (("airplane/airplane-1/groundtruth.txt", "airplane/airplane-1/img/1.jpg"), "airplane", "one folder deeper"),
        (("data_seq/UAV123/bike1/000001.jpg", "anno/UAV123/bike1.txt"), ".", "anno/ and data_seq/"),
        (("data_seq/UAV123/bike1/000001.jpg",), "data_seq/UAV123", "bike1/, with images in {root}/bike1"),
        (("TRAIN_0/frames/a/0.jpg", "TRAIN_0/anno/a.txt"), "TRAIN_0", "anno/ and frames/"),
        (("Airport_ce/img/0001.jpg", "Airport_ce/Airport_ce_gt.txt"), "Airport_ce", "Airport_ce_gt.txt and img/"),
        (("airboard_1/30/airboard_1/1.jpg", "airboard_1/30/airboard_1.txt"), "airboard_1/30", "airboard_1/ and air"),
        (("0001.jpg", "boxes.txt"), ".", "images and boxes.txt"),
        ((), ".", "nothing"),
    ],
)
def test_other_trees_are_described(tmp_path, paths, root, found):
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1,2,3,4\n")
    assert found.format(root=tmp_path / root) in describe_other(tmp_path / root)


def test_folders_that_hold_no_sequences_are_described_by_the_first(tmp_path):
    write_images(tmp_path / "MOT17-02/img1", (1, 2))
    (tmp_path / "MOT17-02/seqinfo.ini").write_text("")
    (tmp_path / "MOT17-04").mkdir()
    assert describe_other(tmp_path, 1) == "MOT17-02/ and MOT17-04/, where MOT17-02/ holds img1/ and seqinfo.ini"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: expected a folder of sequences, found No such file"):
        sequence_folders(tmp_path / "nowhere", "val")
    with pytest.raises(InputError, match="nowhere: expected a folder of images, found No such file"):
        list_images(tmp_path / "nowhere")
    np.savetxt(tmp_path / "file.txt", [1])
    with pytest.raises(InputError, match=r"file\.txt: expected a folder of sequences, found Not a directory"):
        sequence_folders(tmp_path / "file.txt", "val")
