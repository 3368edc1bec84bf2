"""Several targets in one pass: the boxes of separate runs, whatever the order, and one compilation for each number."""

import dataclasses

import numpy as np
import pytest
from compilations import counted_compilations
from several_targets import scene_of_two

import mfst_jax
from mfst_jax.config import ALEXNET, REALTIME, override
from mfst_jax.errors import InputError
from mfst_jax.multi import config_for
from mfst_jax.targets import MOST_TARGETS

CONFIG = override(ALEXNET, ("scale_count=1", "alexnet_layers=conv3"))
FRAMES, TRUTH = scene_of_two()


@pytest.fixture(scope="module")
def params() -> mfst_jax.PreparedParams:
    return mfst_jax.prepare(mfst_jax.load(), CONFIG)


def run(params: mfst_jax.PreparedParams, boxes: np.ndarray, config: mfst_jax.Config = CONFIG) -> tuple[np.ndarray, ...]:
    """Boxes [frames - 1, n, 4] and scores [frames - 1, n] of all frames after the first."""
    tracker = mfst_jax.MultiTracker(params, config)
    tracker.init(FRAMES[0], boxes)
    np.testing.assert_array_equal(tracker.scores, np.ones(len(boxes)))
    rows = [(tracker.update(frame), tracker.scores) for frame in FRAMES[1:]]
    boxes, scores = (np.stack(column) for column in zip(*rows, strict=True))
    return boxes, scores


def test_targets_in_one_pass_are_followed_as_in_separate_runs(params: mfst_jax.PreparedParams):
    boxes, scores = run(params, TRUTH[0])
    assert (boxes.shape, boxes.dtype, scores.dtype) == ((len(FRAMES) - 1, 2, 4), np.float32, np.float32)
    for place in range(2):
        alone = mfst_jax.track(params, FRAMES, TRUTH[0, place], config=CONFIG)
        np.testing.assert_allclose(boxes[:, place], alone.boxes[1:], rtol=0, atol=0.05)
        np.testing.assert_allclose(scores[:, place], alone.scores[1:], rtol=0, atol=2e-3)
    assert np.abs(boxes - TRUTH[1:]).max() < 6


def test_their_order_makes_no_difference(params: mfst_jax.PreparedParams):
    for one, other in zip(run(params, TRUTH[0]), run(params, TRUTH[0, ::-1]), strict=True):
        np.testing.assert_allclose(one, other[:, ::-1], rtol=0, atol=0.01)


def test_one_target_alone_is_followed_as_a_tracker_follows_it(params: mfst_jax.PreparedParams):
    boxes, scores = run(params, TRUTH[0, :1])
    tracker = mfst_jax.Tracker(params, CONFIG)
    tracker.init(FRAMES[0], TRUTH[0, 0])
    for number, frame in enumerate(FRAMES[1:]):
        np.testing.assert_array_equal(boxes[number, 0], tracker.update(frame))
        assert scores[number, 0] == np.float32(tracker.score)


def test_each_number_of_targets_is_compiled_once(params: mfst_jax.PreparedParams):
    run(params, TRUTH[0])
    with counted_compilations() as compiled:
        run(params, TRUTH[0] + np.float32([3, 2, 1, 1]))
    assert compiled == []


def test_after_a_warmup_nothing_is_compiled(params: mfst_jax.PreparedParams):
    mfst_jax.MultiTracker(params, CONFIG).warmup(FRAMES.shape[1:3], 2)
    with counted_compilations() as compiled:
        run(params, TRUTH[0])
    assert compiled == []


def test_several_targets_do_without_near_search(params: mfst_jax.PreparedParams):
    assert config_for(1, REALTIME) == REALTIME
    assert config_for(2, REALTIME) == dataclasses.replace(REALTIME, near_search=0.0)
    near = dataclasses.replace(CONFIG, near_search=8.0)
    tracker = mfst_jax.MultiTracker(params, near)
    tracker.init(FRAMES[0], TRUTH[0])
    assert tracker.state is not None
    assert tracker.state.config == CONFIG
    assert tracker.state.centre.shape == (2, 2)


def test_targets_have_names(params: mfst_jax.PreparedParams):
    tracker = mfst_jax.MultiTracker(params, CONFIG)
    assert tracker.names == ()
    tracker.init(FRAMES[0], TRUTH[0])
    assert tracker.names == ("1", "2")
    tracker.init(FRAMES[0], TRUTH[0].tolist(), ["car", "bike"])
    assert tracker.names == ("car", "bike")


@pytest.mark.parametrize(
    ("boxes", "names", "said"),
    [
        (TRUTH[0], ["car"], r"names: expected one for each of 2 boxes, found \['car'\]"),
        (TRUTH[0], "ab", "names: expected one for each of 2 boxes, found 'ab'"),
        (TRUTH[0], ["car", "car"], "names: expected a name for each target, found 'car' for 1 and 2"),
        (
            [[1, 2, 3, 4], [900, 900, 9, 9]],
            ["car", "bike"],
            "box of bike: expected it to overlap the frame of 160 x 120",
        ),
        ([[1, 2, 3, 4], [1, 2, 0, 9]], None, "box of 2: expected a width and height above 0"),
        ([[1, 2, 3, 4], [1, 2, 3]], None, r"boxes: expected \[n, 4\]"),
        ([1, 2, 3, 4], None, r"boxes: expected \[n, 4\]"),
        (np.empty((0, 4)), None, r"boxes: expected \[n, 4\]"),
        (np.array([["a", "b", "c", "d"]]), None, r"boxes: expected \[n, 4\]"),
        (np.ones((MOST_TARGETS + 1, 4)), None, f"names: expected 1 to {MOST_TARGETS} targets in one pass"),
    ],
)
def test_what_cannot_be_followed_is_refused(params: mfst_jax.PreparedParams, boxes, names, said: str):
    tracker = mfst_jax.MultiTracker(params, CONFIG)
    with pytest.raises(InputError, match=said) as caught:
        tracker.init(FRAMES[0], boxes, names)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="expected a call of init first"):
        tracker.update(FRAMES[1])
