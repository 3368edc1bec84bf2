"""UAV123 and UAV20L, TrackingNet and NFS: which sequences, frames, boxes and absences each has, and what is refused."""

import numpy as np
from data_sets import nfs, numbers, refused, sequences, struct, trackingnet, uav123
from layouts import boxes_of, write_images, write_rows

from mfst_jax.sequences import Request, find_dataset

NAN = float("nan")


# UAV123 and UAV20L


def test_uav123_takes_the_frames_of_each_part_of_a_video_from_the_published_ranges(tmp_path):
    parts = {"truck4_1": boxes_of(577), "truck4_2": boxes_of(685), "bike1": boxes_of(3)}
    uav123(tmp_path, parts, videos={"truck4": 1261, "bike1": 3})
    found = sequences(tmp_path)
    assert list(found) == ["bike1", "truck4_1", "truck4_2"]
    assert numbers(found["truck4_1"]) == [*range(1, 578)]
    assert numbers(found["truck4_2"]) == [*range(577, 1262)]
    for name, boxes in parts.items():
        np.testing.assert_array_equal(found[name].ground_truth, boxes)
        assert found[name].problems == ()


def test_uav123_takes_the_ranges_of_configseqs_before_the_published_ones(tmp_path):
    uav123(tmp_path, {"bird1_2": boxes_of(3), "car1": boxes_of(4)}, videos={"bird1": 9, "car1": 4})
    entries = [struct("bird1_2", "bird1", 5, 7), struct("car1", "car1", 1, 4)]
    (tmp_path / "configSeqs.m").write_text(f"function seqs=configSeqs\nseqUAV123={{{',...'.join(entries)}}};\n")
    assert numbers(sequences(tmp_path)["bird1_2"]) == [5, 6, 7]
    (tmp_path / "configSeqs.m").write_text("seqs={struct('name','bird1_2','startFrame',5)};")
    assert refused(tmp_path).startswith(
        f"{tmp_path}/configSeqs.m: expected name, path, startFrame and endFrame in each"
    )


def test_nans_of_uav123_are_absences(tmp_path):
    boxes = boxes_of(4)
    boxes[1:3] = NAN
    (sequence,) = sequences(uav123(tmp_path, {"bike2": boxes})).values()
    assert sequence.absent.tolist() == [False, True, True, False]
    np.testing.assert_array_equal(sequence.ground_truth, boxes)


def test_the_files_of_uav123_as_they_are_published(tmp_path):
    uav123(tmp_path, {"bike1": boxes_of(3)})
    (tmp_path / "anno/UAV123/bike1.txt").write_text("652,338,40,60\nNaN,NaN,NaN,NaN\n653,338,40,61")
    (tmp_path / "anno/UAV123/att/bike1.txt").write_text("1,0,0,0,0,0,0,0,0,0,0,0\n")
    (tmp_path / "anno/UAV123/._bike1.txt").write_bytes(b"\0\5\x16\7")  # what a Mac leaves on other disks
    found = sequences(tmp_path)
    assert list(found) == ["bike1"]
    np.testing.assert_array_equal(found["bike1"].ground_truth, [(651, 337, 40, 60), (NAN,) * 4, (652, 337, 40, 61)])
    assert (found["bike1"].annotated, found["bike1"].problems) == (3, ())


def test_uav20l_is_taken_where_it_is_asked_for_or_alone(tmp_path):
    uav123(tmp_path, {"bike1": boxes_of(3)})
    uav123(tmp_path, {"bird1": boxes_of(5)}, part="UAV20L")
    assert list(sequences(tmp_path)) == ["bike1"]
    assert [place.layout for place in find_dataset(tmp_path, Request(protocol="uav20l"))] == ["uav20l"]
    assert len(sequences(tmp_path, protocol="uav20l")["bird1"].frames) == 5
    (tmp_path / "anno/UAV123/bike1.txt").unlink()
    (tmp_path / "anno/UAV123/att").rmdir()
    (tmp_path / "anno/UAV123").rmdir()
    assert list(sequences(tmp_path)) == ["bird1"]


def test_half_of_uav123_is_refused(tmp_path):
    write_images(tmp_path / "data_seq/UAV123/bike1", (1, 2), digits=6)
    assert "expected anno/UAV123/ or anno/UAV20L/ or anno/UAV123_10fps/ beside data_seq/" in refused(tmp_path)
    write_rows(tmp_path / "anno/UAV123/bike1.txt", boxes_of(2))
    assert list(sequences(tmp_path)) == ["bike1"]
    write_rows(tmp_path / "anno/UAV123/mine_2.txt", boxes_of(2))
    assert "expected configSeqs.m, which says the frames of mine_2 (UAV123)" in refused(tmp_path)


# TrackingNet


def test_trackingnet_has_its_training_and_test_parts(tmp_path):
    trackingnet(tmp_path, "TRAIN_0", "abc_1", boxes_of(12))
    trackingnet(tmp_path, "TRAIN_1", "abd_0", boxes_of(2))
    trackingnet(tmp_path, "TEST", "xyz_0", boxes_of(1), count=3)
    assert list(sequences(tmp_path, "train")) == ["abc_1", "abd_0"]
    assert list(sequences(tmp_path)) == ["xyz_0", "abc_1", "abd_0"]
    (test,) = sequences(tmp_path, "test").values()
    assert (numbers(test), test.annotated) == ([0, 1, 2], 1)
    train = sequences(tmp_path / "TRAIN_0")["abc_1"]
    assert numbers(train) == [*range(12)]
    np.testing.assert_array_equal(train.ground_truth, boxes_of(12))  # from 0


def test_the_files_of_trackingnet_as_they_are_published(tmp_path):
    for part, name, count in (("TEST", "-0bzGkpCsRw_0", 12), ("TRAIN_11", "_1Yq6PKXtJ0_3", 2)):
        trackingnet(tmp_path, part, name, boxes_of(1), count=count)
        (tmp_path / part / "zips").mkdir()
    (tmp_path / "TEST/anno/-0bzGkpCsRw_0.txt").write_text("231.5,45.0,120.0,88.25")  # one line without its end
    (tmp_path / "TRAIN_11/anno/_1Yq6PKXtJ0_3.txt").write_text("1.0,2.0,3.0,4.0\n1.5,2.0,3.0,4.0\n")
    found = sequences(tmp_path)
    test, train = found["-0bzGkpCsRw_0"], found["_1Yq6PKXtJ0_3"]
    assert (numbers(test), test.annotated, test.absent.any(), test.problems) == ([*range(12)], 1, False, ())
    assert test.ground_truth[0].tolist() == [231.5, 45, 120, 88.25]
    assert (len(train.frames), train.annotated) == (2, 2)


def test_half_of_trackingnet_is_refused(tmp_path):
    trackingnet(tmp_path, "TRAIN_0", "abc_1", boxes_of(3))
    assert refused(tmp_path, "test") == f"{tmp_path}: expected TEST (TrackingNet), found TRAIN_0/"
    write_rows(tmp_path / "mine/anno/a.txt", boxes_of(3))
    assert refused(tmp_path / "mine") == f"{tmp_path}/mine: expected anno/ and frames/ (TrackingNet), found anno/"
    assert find_dataset(tmp_path / "mine", Request(images=False))[0].name == "a"


# NFS


def test_nfs_has_corners_and_says_where_the_target_is_lost(tmp_path):
    nfs(tmp_path, "airboard_1", boxes_of(4), lost=[2])
    (sequence,) = sequences(tmp_path).values()
    assert sequence.name == "airboard_1"
    assert sequence.absent.tolist() == [False, False, True, False]
    np.testing.assert_array_equal(sequence.ground_truth[[0, 1, 3]], boxes_of(4)[[0, 1, 3]])


def test_nfs_at_30_frames_a_second_may_have_a_line_for_each_frame_at_240(tmp_path):
    nfs(tmp_path, "bee", boxes_of(81), count=11)
    nfs(tmp_path, "bee", boxes_of(81), rate="240")
    nfs(tmp_path, "car", boxes_of(4), count=3)  # a line more than images, as in some of its files
    found = sequences(tmp_path)
    np.testing.assert_array_equal(found["bee"].ground_truth, boxes_of(81)[::8])
    assert (len(found["bee"].frames), found["bee"].problems) == (11, ())
    assert len(found["car"].ground_truth) == len(found["car"].frames) == 3
    assert [len(each.frames) for each in sequences(tmp_path, protocol="nfs240").values()] == [81]
    assert list(sequences(tmp_path / "bee")) == list(sequences(tmp_path / "bee/30")) == ["bee"]


def test_the_files_of_nfs_as_they_are_published(tmp_path):
    folder = tmp_path / "tiger_1/30"
    write_images(folder / "tiger", (1, 2), digits=5)  # called as the file beside it, not as the video
    (folder / "tiger.txt").write_text('0 313 143 422 254 0 0 0 0 "big tiger"\n0 315 143 424 254 8 1 1 1 "big tiger"\n')
    (folder / "._tiger.txt").write_bytes(b"\0\5\x16\7")
    (sequence,) = sequences(tmp_path).values()
    assert (sequence.name, numbers(sequence), sequence.absent.tolist()) == ("tiger", [1, 2], [False, True])
    assert sequence.ground_truth[0].tolist() == [313, 143, 109, 111]


def test_what_is_wrong_with_nfs_is_named(tmp_path):
    truth = nfs(tmp_path, "bee", boxes_of(3)) / "bee/30/bee.txt"
    truth.write_text("0 1 2 3 4 0 0 0 0 bee\n0 1 2 x 4 1 0 0 0 bee\n0 1 2 3 4 2 0 0 0 bee\n")
    assert refused(tmp_path) == (
        f"{truth}, line 2: expected track, left, top, right, bottom, frame and three flags, "
        "found '0 1 2 x 4 1 0 0 0 bee'"
    )
    (tmp_path / "bee/30/bee").rename(tmp_path / "bee/30/images")
    assert refused(tmp_path) == f"{tmp_path}/bee/30: expected the images in bee/ (NFS), found bee.txt and images/"
