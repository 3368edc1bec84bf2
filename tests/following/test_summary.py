"""The line in which `mfst track` says what came of a track."""

from dataclasses import replace

import numpy as np

from mfst_jax.following.loop import Followed
from mfst_jax.following.summary import summary


def followed(scores: list[list[float]], *, stopped: bool = False) -> Followed:
    values = np.array(scores, np.float32)
    boxes = np.tile(np.float32([10, 10, 20, 20]), (*values.shape, 1))
    return Followed(boxes, values, 12.34, stopped=stopped)


def test_of_one_target_without_a_name():
    truth = np.tile(np.float32([10, 10, 20, 20]), (3, 1))
    found = followed([[1], [0.4], [0.3]], stopped=True)
    assert summary(found, ["target"], truth, 2) == (
        "tracked 3 frames, 12.3 frames/s after compiling; mean IoU 1.000, success AUC 0.952; lost in frames 1-end; "
        "stopped after 2 of them in a row"
    )
    assert summary(followed([[1], [0.9]]), ["target"]) == "tracked 2 frames, 12.3 frames/s after compiling"


def test_frames_are_counted_as_the_source_does():
    truth = np.tile(np.float32([10, 10, 20, 20]), (8, 1))
    truth[:5] += 50  # of the frames before the first one that was tracked
    found = replace(followed([[1], [0.4], [0.9]]), first=5)
    assert summary(found, ["target"], truth) == (
        "tracked 3 frames (5-7), 12.3 frames/s after compiling; mean IoU 1.000, success AUC 0.952; lost in frame 6"
    )
    assert summary(found, ["car"]).endswith("after compiling; car lost in frame 6")
    assert "IoU" not in summary(found, ["target"], truth[:4])


def test_no_rate_is_said_of_frames_that_all_waited_for_the_compiler():
    found = replace(followed([[1]]), frames_per_second=0.0)
    assert summary(found, ["target"]) == "tracked 1 frame"
    assert summary(replace(found, first=5), ["target"]) == "tracked 1 frame (5)"


def test_of_one_target_with_a_name():
    assert summary(followed([[1], [0.4], [1]]), ["car"]).endswith("after compiling; car lost in frame 1")


def test_of_several_targets_each_is_said_to_be_lost_where_it_is():
    truth = np.tile(np.float32([10, 10, 20, 20]), (3, 1))
    found = followed([[1, 1, 1], [0.4, 0.9, 0.1], [0.9, 0.9, 0.3]])
    assert summary(found, ["car", "bike", "dog"], truth) == (
        "tracked 3 frames of 3 targets, 12.3 frames/s after compiling; car lost in frame 1; dog lost in frames 1-end"
    )
    stopped = followed([[1, 1], [0.1, 0.1]], stopped=True)
    assert summary(stopped, ["1", "2"], None, 1).endswith("; stopped after 1 in a row in which all were lost")
