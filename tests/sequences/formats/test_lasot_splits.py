"""LaSOT as a whole: its splits."""

from data_sets import refused, sequences, whole_lasot
from layouts import boxes_of


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
