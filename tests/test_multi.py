"""Several targets in one pass, in turn or as a batch: the boxes of separate runs, whatever the order."""

import dataclasses

import numpy as np
import pytest
from compilations import counted_compilations
from one_layer import SMALL as CONFIG
from several_targets import scene_of_two

import mfst_jax
from mfst_jax import multi
from mfst_jax.errors import InputError
from mfst_jax.multi import config_for, in_a_batch
from mfst_jax.presets import REALTIME
from mfst_jax.targets import MOST_TARGETS

FRAMES, TRUTH = scene_of_two()


@pytest.fixture(scope="module")
def params() -> mfst_jax.PreparedParams:
    return mfst_jax.prepare(mfst_jax.load(), CONFIG)


@pytest.fixture(params=["in turn", "batch"])
def batch(request: pytest.FixtureRequest) -> bool:
    return request.param == "batch"


def run(params: mfst_jax.PreparedParams, boxes: np.ndarray, batch: bool | None = None) -> tuple[np.ndarray, ...]:
    """Boxes [frames - 1, n, 4] and scores [frames - 1, n] of all frames after the first."""
    tracker = mfst_jax.MultiTracker(params, CONFIG, batch=batch)
    tracker.init(FRAMES[0], boxes)
    np.testing.assert_array_equal(tracker.scores, np.ones(len(boxes)))
    rows = [(tracker.update(frame), tracker.scores) for frame in FRAMES[1:]]
    boxes, scores = (np.stack(column) for column in zip(*rows, strict=True))
    return boxes, scores


def alone(params: mfst_jax.PreparedParams, box: np.ndarray) -> tuple[np.ndarray, ...]:
    """Boxes [frames - 1, 4] and scores [frames - 1] of one target, from a tracker of its own."""
    tracker = mfst_jax.Tracker(params, CONFIG)
    tracker.init(FRAMES[0], box)
    rows = [(tracker.update(frame), np.float32(tracker.score)) for frame in FRAMES[1:]]
    boxes, scores = (np.stack(column) for column in zip(*rows, strict=True))
    return boxes, scores


def test_targets_in_one_pass_are_followed_as_in_separate_runs(params: mfst_jax.PreparedParams, batch: bool):
    boxes, scores = run(params, TRUTH[0], batch)
    assert (boxes.shape, boxes.dtype, scores.dtype) == ((len(FRAMES) - 1, 2, 4), np.float32, np.float32)
    for place in range(2):
        expected, expected_scores = alone(params, TRUTH[0, place])
        np.testing.assert_allclose(boxes[:, place], expected, rtol=0, atol=0.05 if batch else 0)
        np.testing.assert_allclose(scores[:, place], expected_scores, rtol=0, atol=2e-3 if batch else 0)
    assert np.abs(boxes - TRUTH[1:]).max() < 6


def test_their_order_makes_no_difference(params: mfst_jax.PreparedParams, batch: bool):
    for one, other in zip(run(params, TRUTH[0], batch), run(params, TRUTH[0, ::-1], batch), strict=True):
        np.testing.assert_allclose(one, other[:, ::-1], rtol=0, atol=0.01 if batch else 0)


def test_one_target_is_followed_as_a_tracker_follows_it(params: mfst_jax.PreparedParams, batch: bool):
    for found, expected in zip(run(params, TRUTH[0, :1], batch), alone(params, TRUTH[0, 0]), strict=True):
        np.testing.assert_array_equal(found[:, 0], expected)


def test_on_a_cpu_targets_take_their_steps_in_turn_and_elsewhere_as_a_batch(monkeypatch: pytest.MonkeyPatch):
    assert [in_a_batch(2), in_a_batch(2, True), in_a_batch(2, False), in_a_batch(1, True)] == [
        False,
        True,
        False,
        False,
    ]
    monkeypatch.setattr(multi.jax, "default_backend", lambda: "gpu")
    assert [in_a_batch(2), in_a_batch(2, True), in_a_batch(2, False), in_a_batch(1)] == [True, True, False, False]


def test_in_turn_any_number_of_targets_takes_what_one_has_compiled(params: mfst_jax.PreparedParams):
    alone(params, TRUTH[0, 0])
    with counted_compilations() as compiled:
        run(params, np.concatenate([TRUTH[0], TRUTH[0] + np.float32([3, 2, 1, 1])]), False)
    assert compiled == []


def test_each_number_of_targets_in_a_batch_is_compiled_once(params: mfst_jax.PreparedParams):
    run(params, TRUTH[0], True)
    with counted_compilations() as compiled:
        run(params, TRUTH[0] + np.float32([3, 2, 1, 1]), True)
    assert compiled == []


def test_after_a_warmup_nothing_is_compiled(params: mfst_jax.PreparedParams, batch: bool):
    mfst_jax.MultiTracker(params, CONFIG, batch=batch).warmup(FRAMES.shape[1:3], 2)
    with counted_compilations() as compiled:
        run(params, TRUTH[0], batch)
    assert compiled == []


def test_a_batch_does_without_centre_search(params: mfst_jax.PreparedParams, batch: bool):
    for count in (1, 2):
        expected = dataclasses.replace(REALTIME, centre_search=0.0) if batch and count > 1 else REALTIME
        assert config_for(count, REALTIME, batch=batch) == expected
    in_centre = dataclasses.replace(CONFIG, centre_search=8.0)
    tracker = mfst_jax.MultiTracker(params, in_centre, batch=batch)
    assert tracker.states == ()
    tracker.init(FRAMES[0], TRUTH[0])
    for place, state in enumerate(tracker.states):
        assert state.config == (CONFIG if batch else in_centre)
        np.testing.assert_allclose(state.size, TRUTH[0, place, 2:])
    assert len(tracker.states) == 2


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
