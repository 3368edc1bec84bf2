"""LaSOT as a whole: its splits, its extension, and files as its archives have them."""

from data_sets import numbers, refused, sequences, whole_lasot
from layouts import boxes_of, lasot

from mfst_jax.evaluation import datasets


def test_lasot_has_its_published_test_split_or_the_listed_one(tmp_path):
    whole_lasot(
        tmp_path, ["airplane-1", "airplane-2", "zebra-10", "zebra-9"], boxes_of(4), occluded=[1], out_of_view=[3]
    )
    assert list(sequences(tmp_path)) == ["airplane-1", "airplane-2", "zebra-9", "zebra-10"]
    assert list(sequences(tmp_path, "test")) == ["airplane-1", "zebra-10"]
    assert list(sequences(tmp_path, "train")) == ["airplane-2", "zebra-9"]
    (tmp_path / "testing_set.txt").write_text("airplane-2\r\nzebra-9\r\n")
    found = sequences(tmp_path, "test")
    assert list(found) == ["airplane-2", "zebra-9"]
    assert found["zebra-9"].labelled_absent.tolist() == [False, True, False, True]
    (tmp_path / "testing_set.txt").write_text("bear-1\n")
    assert refused(tmp_path, "test") == f"{tmp_path}: expected sequences of LaSOT's test split, found none of them"


def test_all_of_lasot_s_extension_is_to_be_tested_on(tmp_path):
    whole_lasot(tmp_path, ["atv-1", "atv-2", "wingsuit-10"], boxes_of(4))
    assert list(sequences(tmp_path, "test")) == ["atv-1", "atv-2", "wingsuit-10"]
    assert (datasets.load(tmp_path).protocol, datasets.load(tmp_path).total) == ("lasot", 3)
    assert refused(tmp_path, "train") == f"{tmp_path}: expected sequences of LaSOT's train split, found none of them"


def test_lasot_without_folders_of_categories_is_known_by_its_lists(tmp_path):
    for name in ("airplane-1", "airplane-2", "zebra-10"):
        lasot(tmp_path, name, boxes_of(4))
    (tmp_path / "testing_set.txt").write_text("airplane-2\nzebra-10")  # without a last newline, as it is published
    assert list(sequences(tmp_path, "test")) == ["airplane-2", "zebra-10"]
    assert list(sequences(tmp_path)) == ["airplane-1", "airplane-2", "zebra-10"]
    assert [each.name for each in datasets.load(tmp_path).sequences] == ["airplane-2", "zebra-10"]


def test_the_files_of_a_sequence_of_lasot_as_they_are_published(tmp_path):
    folder = whole_lasot(tmp_path, ["bear-2"], boxes_of(3)) / "bear/bear-2"
    (folder / "groundtruth.txt").write_text("367,101,41,16\n366,103,45,16\n0,0,0,0\n")
    (folder / "full_occlusion.txt").write_text("0,1,0\n")
    (folder / "out_of_view.txt").write_text("0,0,1")
    (sequence,) = sequences(tmp_path, "test").values()
    assert numbers(sequence) == [1, 2, 3]
    assert sequence.ground_truth[0].tolist() == [366, 100, 41, 16]
    assert sequence.absent.tolist() == sequence.labelled_absent.tolist() == [False, True, True]
    assert sequence.annotated == 3
