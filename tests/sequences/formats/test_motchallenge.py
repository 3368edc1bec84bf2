"""MOTChallenge: each identity is a sequence."""

import numpy as np
from data_sets import IDENTITIES, motchallenge, numbers, refused, sequences
from layouts import write_images


def test_each_identity_of_motchallenge_is_a_sequence_from_its_first_row_to_its_last(tmp_path):
    motchallenge(tmp_path / "MOT17/train", "MOT17-02-DPM", IDENTITIES, 6)
    motchallenge(tmp_path / "MOT17/train", "MOT17-02-SDP", IDENTITIES, 6)  # the same video again
    write_images(tmp_path / "MOT17/test/MOT17-01-DPM/img1", (1, 2))
    found = sequences(tmp_path / "MOT17")
    assert list(found) == ["MOT17-02-DPM-2", "MOT17-02-DPM-7"]
    assert [numbers(each) for each in found.values()] == [[1, 2, 3, 4], [2, 3]]
    first = found["MOT17-02-DPM-2"]
    assert first.absent.tolist() == [False, False, True, False]
    np.testing.assert_array_equal(first.ground_truth[3], (13, 20, 30, 40))
    assert list(sequences(tmp_path / "MOT17/train/MOT17-02-SDP")) == ["MOT17-02-SDP-2", "MOT17-02-SDP-7"]


def test_the_split_that_is_asked_for_is_taken_where_it_is_there(tmp_path):
    for split in ("train", "val"):
        motchallenge(tmp_path / split, f"dancetrack-{split}", IDENTITIES[:3], 4)
    write_images(tmp_path / "test/dancetrack-test/img1", (1, 2))
    assert list(sequences(tmp_path, "train")) == ["dancetrack-train-2"]
    assert list(sequences(tmp_path, "test")) == ["dancetrack-val-2"]
    assert list(sequences(tmp_path)) == ["dancetrack-train-2", "dancetrack-val-2"]
    (tmp_path / "val").rename(tmp_path / "other")
    assert list(sequences(tmp_path, "test")) == ["dancetrack-train-2"]


def test_videos_of_one_name_in_two_splits_are_two(tmp_path):
    motchallenge(tmp_path / "train", "video", IDENTITIES, 4)
    motchallenge(tmp_path / "val", "video", [(1, 2, 11, 11, 5, 5, 1, 1, 1)], 2)
    found = sequences(tmp_path)
    assert list(found) == ["video-2", "video-7", "video-2-2"]
    assert [numbers(found[name]) for name in ("video-2", "video-2-2")] == [[1, 2, 3, 4], [1]]


def test_the_files_of_mot15_have_ten_columns_and_no_classes(tmp_path):
    folder = motchallenge(tmp_path, "Venice-2", IDENTITIES, 3, info=False)
    lines = ["1,1,1699,383.5,100,231,1,-1,-1,-1", "3,1,1697,383,100,231,1,-1,-1,-1", "1,2,5,6,7,8,0,-1,-1,-1"]
    (folder / "gt/gt.txt").write_text("\r\n".join(lines))
    (sequence,) = sequences(tmp_path).values()
    assert (sequence.name, numbers(sequence)) == ("Venice-2-1", [1, 2, 3])
    assert sequence.absent.tolist() == [False, True, False]
    assert sequence.ground_truth[0].tolist() == [1698, 382.5, 100, 231]


def test_what_is_wrong_with_motchallenge_is_named(tmp_path):
    folder = motchallenge(tmp_path, "TUD", IDENTITIES, 3)
    truth = folder / "gt/gt.txt"
    assert refused(folder) == f"{truth}: expected rows of 3 frames, one an image, found frame 4"
    truth.write_text("1,1,2,3,4,5\n1,1,2,3,4,5\n")
    assert refused(folder) == f"{truth}: expected one row a frame of identity 1, found several of one frame"
    truth.write_text("1,1,2,3,4,5,1\n0,1,2,3,4,5,1\n")
    assert (
        refused(folder) == f"{truth}, line 2: expected a frame and an identity from 1, and a box, found '0,1,2,3,4,5,1'"
    )
    truth.write_text("1,1,2,3\n")
    assert f"{truth}, line 1: expected frame, identity, left, top, width, height" in refused(folder)
    truth.unlink()
    assert refused(folder) == f"{folder}: expected gt/gt.txt (MOTChallenge), found gt/, img1/ and seqinfo.ini"
