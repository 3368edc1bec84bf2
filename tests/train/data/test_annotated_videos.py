"""Layouts of annotated videos, ILSVRC2015-VID's and GOT-10k's."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from data_sets import davis, mask, trackingnet
from layouts import boxes_of, from_one, lasot, otb, vot, write_rows
from sequences import write_sequence, write_vid

from mfst_jax.errors import InputError
from mfst_jax.train.data import annotated_videos, curation


def test_each_track_of_a_vid_video_is_a_target(tmp_path: Path):
    boxes = write_vid(tmp_path, "ILSVRC2015_train_1", seed=0, frames=4)
    (job,) = annotated_videos.find(tmp_path)
    first, second = annotated_videos.read(job)
    assert (first.name, second.name) == ("ILSVRC2015_train_1-track0", "ILSVRC2015_train_1-track1")
    np.testing.assert_allclose(first.truth, boxes, atol=0.5)
    assert np.isnan(second.truth[:2]).all()  # it comes into sight in the third frame
    np.testing.assert_allclose(second.truth[2:], boxes[2:] + np.array([5, 0, 0, 0]), atol=0.5)
    videos, counts = curation.curate(tmp_path, tmp_path / "cache")
    assert [len(video.frames) for video in videos] == [4, 2]
    assert counts == curation.Counts(frames=8, crops=6, absent=2)


def test_vid_files_that_do_not_fit_are_named(tmp_path: Path):
    write_vid(tmp_path, "a", seed=0, frames=2)
    (path,) = tmp_path.rglob("000001.xml")
    path.write_text("<annotation><object><trackid>0</trackid></object></annotation>")
    with pytest.raises(InputError, match=r"000001\.xml: expected objects with xmin.*without bndbox"):
        annotated_videos.read(annotated_videos.find(tmp_path)[0])
    path.write_text("<annotation>")
    with pytest.raises(InputError, match=r"000001\.xml: expected objects"):
        annotated_videos.read(annotated_videos.find(tmp_path)[0])
    (image,) = tmp_path.rglob("000001.JPEG")
    image.unlink()
    with pytest.raises(InputError, match=r"expected an image .*000001\.JPEG"):
        annotated_videos.read(annotated_videos.find(tmp_path)[0])


def test_vid_without_annotations_is_refused(tmp_path: Path):
    (tmp_path / annotated_videos.VID_ANNOTATIONS).mkdir(parents=True)
    with pytest.raises(InputError, match=r"expected folders of \.xml files"):
        annotated_videos.find(tmp_path)


def test_sequences_are_read_as_by_every_other_command(tmp_path: Path):
    """OTB's frames, LaSOT's labels, VOT's polygons and masks, and both targets of one video."""
    otb(tmp_path, "David", boxes_of(471), range(1, 771))
    lasot(tmp_path, "airplane-1", boxes_of(5), occluded=[1])
    vot(tmp_path, "ball", ["0,0,4,0,4,4,0,4", "m1,2,3,2,0,6"])
    otb(tmp_path, "Jogging", boxes_of(3), file="groundtruth_rect.1.txt")
    write_rows(tmp_path / "Jogging/groundtruth_rect.2.txt", from_one(boxes_of(2) + 5))
    found = {target.name: target for job in annotated_videos.find(tmp_path) for target in annotated_videos.read(job)}
    assert list(found) == ["airplane-1", "ball", "David", "Jogging-track1", "Jogging-track2"]
    assert [int(path.stem) for path in found["David"].images] == list(range(300, 771))
    np.testing.assert_array_equal(found["David"].truth, boxes_of(471))
    np.testing.assert_array_equal(np.isnan(found["airplane-1"].truth).any(axis=1), [False, True, False, False, False])
    np.testing.assert_array_equal(found["airplane-1"].truth[2:], boxes_of(5)[2:])
    np.testing.assert_array_equal(found["ball"].truth, [(0, 0, 4, 4), (1, 2, 3, 2)])
    np.testing.assert_array_equal(found["Jogging-track2"].truth, boxes_of(2) + 5)
    assert len(found["Jogging-track2"].images) == 3
    truth = tmp_path / "Jogging/groundtruth_rect.2.txt"
    assert found["Jogging-track2"].problems == (f"{truth}, line 3: expected 3 lines, one a frame, found 2",)


def test_the_root_of_got10k_will_do(tmp_path: Path):
    write_sequence(tmp_path / "train" / "GOT-10k_Train_000001", 0)
    assert [job.name for job in annotated_videos.find(tmp_path)] == ["GOT-10k_Train_000001"]


def test_data_sets_as_a_whole_give_their_training_split(tmp_path: Path):
    trackingnet(tmp_path / "tn", "TRAIN_2", "a_0", boxes_of(3))
    trackingnet(tmp_path / "tn", "TEST", "b_0", boxes_of(1), count=3)
    (job,) = annotated_videos.find(tmp_path / "tn")
    assert pickle.dumps(job)  # as jobs go to other processes
    (target,) = annotated_videos.read(job)
    assert (target.name, len(target.images)) == ("a_0", 3)
    np.testing.assert_array_equal(target.truth, boxes_of(3))
    davis(tmp_path / "davis", "bear", [mask((1, 1, 2, 2), (0, 0, 1, 1)), mask((2, 1, 2, 2))])
    found = [annotated_videos.read(job)[0] for job in annotated_videos.find(tmp_path / "davis")]
    assert [target.name for target in found] == ["bear-track1", "bear-track2"]  # which are held out together
    assert np.isnan(found[1].truth).any(axis=1).tolist() == [False, True]


def test_vid_files_cannot_declare_entities(tmp_path: Path):
    write_vid(tmp_path, "a", seed=0, frames=2)
    (path,) = tmp_path.rglob("000001.xml")
    path.write_text('<!DOCTYPE x [<!ENTITY a "ha">]><annotation><object>&a;</object></annotation>')
    with pytest.raises(InputError, match=r"000001\.xml: expected objects with .*, found a document type"):
        annotated_videos.read(annotated_videos.find(tmp_path)[0])
