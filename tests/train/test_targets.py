"""Layouts of annotated videos, ILSVRC2015-VID's and GOT-10k's."""

from pathlib import Path

import numpy as np
import pytest
from sequences import write_sequence, write_vid

from mfst_jax.errors import InputError
from train import folders, targets


def test_each_track_of_a_vid_video_is_a_target(tmp_path: Path):
    boxes = write_vid(tmp_path, "ILSVRC2015_train_1", seed=0, frames=4)
    (job,) = targets.find(tmp_path)
    first, second = targets.read(job)
    assert (first.name, second.name) == ("ILSVRC2015_train_1-track0", "ILSVRC2015_train_1-track1")
    np.testing.assert_allclose(first.truth, boxes, atol=0.5)
    assert np.isnan(second.truth[:2]).all()  # it comes into sight in the third frame
    np.testing.assert_allclose(second.truth[2:], boxes[2:] + np.array([5, 0, 0, 0]), atol=0.5)
    videos, counts = folders.curate(tmp_path, tmp_path / "cache")
    assert [len(video.frames) for video in videos] == [4, 2]
    assert counts == folders.Counts(frames=8, crops=6, absent=2)


def test_vid_files_that_do_not_fit_are_named(tmp_path: Path):
    write_vid(tmp_path, "a", seed=0, frames=2)
    (path,) = tmp_path.rglob("000001.xml")
    path.write_text("<annotation><object><trackid>0</trackid></object></annotation>")
    with pytest.raises(InputError, match=r"000001\.xml: expected objects with xmin.*without bndbox"):
        targets.read(targets.find(tmp_path)[0])
    path.write_text("<annotation>")
    with pytest.raises(InputError, match=r"000001\.xml: expected objects"):
        targets.read(targets.find(tmp_path)[0])
    (image,) = tmp_path.rglob("000001.JPEG")
    image.unlink()
    with pytest.raises(InputError, match=r"expected an image .*000001\.JPEG"):
        targets.read(targets.find(tmp_path)[0])


def test_vid_without_annotations_is_refused(tmp_path: Path):
    (tmp_path / targets.VID_ANNOTATIONS).mkdir(parents=True)
    with pytest.raises(InputError, match=r"expected folders of \.xml files"):
        targets.find(tmp_path)


def test_the_root_of_got10k_will_do(tmp_path: Path):
    write_sequence(tmp_path / "train" / "GOT-10k_Train_000001", 0)
    assert [job.images.name for job in targets.find(tmp_path)] == ["GOT-10k_Train_000001"]
