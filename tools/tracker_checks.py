"""What must hold of each case that `fuzz_tracker.py` tries."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from box_bounds import violations
from tracker_cases import BLANK, Case, frames_of
from tracker_setups import Setup, weights_for

import mfst_jax
from mfst_jax import InputError
from mfst_jax.validation import LARGEST_SIDE, SMALLEST_SIDE


@dataclass
class Outcome:
    """Outcome of a case that holds.

    Attributes:
      steps: Number of steps that were taken.
      refused: Whether the case was refused, as it should be.
    """

    steps: int = 0
    refused: bool = False


def check(case: Case, setup: Setup) -> Outcome:
    """Outcome of a case; raises AssertionError where something does not hold that must."""
    return {"one": _check_one, "several": _check_several, "batch": _check_batch}[setup.kind](case, setup)


def _is_sound(box: np.ndarray, frame_size: tuple[int, int]) -> bool:
    """Whether a box may be tracked: of sides within the limits, and with some of it in the frame."""
    x, y, w, h = box.tolist()
    sides = min(w, h) >= SMALLEST_SIDE and max(w, h) <= LARGEST_SIDE
    return sides and x < frame_size[1] and y < frame_size[0] and x + w > 0 and y + h > 0


def _refuses(function: Any, *arguments: Any, **options: Any) -> bool:
    """Whether a call raises InputError, and says so in one line."""
    try:
        function(*arguments, **options)
    except InputError as error:
        message = str(error)
    else:
        return False
    assert "\n" not in message, message
    return True


def _check_one(case: Case, setup: Setup) -> Outcome:
    params, config = weights_for(setup), setup.config
    frames, box = frames_of(case, setup), np.array(case.boxes[0], np.float32)
    size = np.array(case.frame_size, np.int32)
    begin = partial(mfst_jax.init, params, config=config, frame_size=size)
    if not _is_sound(box, case.frame_size):
        assert _refuses(begin, frames[0], box), f"expected that {box} is refused"
        return Outcome(refused=True)
    is_bad = case.video == "bad float32 frame"
    if is_bad:
        frames[-1, 0, 0, 0] = case.bad
        assert _refuses(begin, frames[-1], box), f"init: expected that {case.bad} is refused"
        assert _refuses(mfst_jax.track, params, frames, box, config=config), f"track: expected {case.bad} to be refused"
    if 0 < frames[0].max() <= 1 and setup.floats and (frames[0] % 1).any():  # taken for 0..1 by mistake
        assert _refuses(begin, frames[0], box), "expected that values in 0..1 are refused"
        return Outcome(refused=True)

    state = begin(frames[0], box)
    outputs = []
    for number, frame in enumerate(frames[1:], 1):
        if is_bad and number == len(frames) - 1:
            before = jax.device_get(jax.tree.leaves(state))
            assert _refuses(mfst_jax.step, params, state, frame), f"step: expected that {case.bad} is refused"
            for old, new in zip(before, jax.device_get(jax.tree.leaves(state)), strict=True):
                np.testing.assert_array_equal(old, new, "a refused frame changed the state")
            frames = frames[:-1]
            break
        state, output = mfst_jax.step(params, state, frame)
        outputs.append((output.box, output.score, output.response))
    found = jax.device_get(outputs)
    boxes = np.stack([box, *(each[0] for each in found)])
    scores = np.array([each[1] for each in found])
    _assert_sound(boxes, scores, case, setup)
    for number, (_, _, response) in enumerate(found, 1):
        assert np.isfinite(response).all(), f"frame {number}: expected a finite response map"
    for leaf in jax.device_get(jax.tree.leaves(state)):
        assert np.isfinite(leaf).all(), "expected a finite state"

    # `track`, in chunks too, gives what the steps gave, to the last bit.
    if len(frames) > 1 and case.seed % 8 == 0:
        whole = mfst_jax.track(params, frames, box, config=config, frame_size=size)
        np.testing.assert_array_equal(whole.box, boxes)
    if len(frames) > case.cut and case.seed % 8 == 1:
        part = mfst_jax.track(params, frames[: case.cut], box, config=config, frame_size=size)
        rest = mfst_jax.track(params, frames[case.cut :], state=part.state)
        np.testing.assert_array_equal(np.concatenate([part.box, rest.box]), boxes)
    return Outcome(steps=len(found))


def _assert_sound(boxes: np.ndarray, scores: np.ndarray, case: Case, setup: Setup) -> None:
    """Asserts that boxes are within their bounds, scores in [0, 1], and that frames without anything move nothing."""
    problems = violations(boxes, case.frame_size, setup.config)
    assert not problems, "; ".join(problems)
    assert ((scores >= 0) & (scores <= 1)).all(), f"expected scores in [0, 1], found {scores}"
    for number, scene in enumerate(case.scenes[1 : len(boxes)], 1):
        if scene in BLANK or case.scenes[0] in BLANK:
            # The first box is the given one; what a step returns went through its centre, and so was rounded.
            allowed = 0 if number > 1 else 1e-6 * (1 + np.abs(boxes[0]) + np.abs(boxes[0, 2:]).max())
            moved = np.abs(boxes[number].astype(np.float64) - boxes[number - 1])
            assert (moved <= allowed).all(), f"frame {number}: expected that {scene} moves nothing, found {moved}"
            assert scores[number - 1] == 0, f"frame {number}: expected a score of 0, found {scores[number - 1]}"


def _check_several(case: Case, setup: Setup) -> Outcome:
    """Several targets of one video: each as by a `Tracker` of its own, to the last bit."""
    params, config = weights_for(setup), setup.config
    frames = frames_of(case, replace(setup, shape=case.frame_size))
    boxes = np.array(case.boxes, np.float32)
    several = mfst_jax.MultiTracker(params, config)
    if not all(_is_sound(box, case.frame_size) for box in boxes):
        assert _refuses(several.init, frames[0], boxes), "expected that the boxes are refused"
        return Outcome(refused=True)
    several.init(frames[0], boxes)
    rows, scores = [boxes], []
    for frame in frames[1:]:
        rows.append(several.update(frame))
        scores.append(several.scores)
    found = np.stack(rows, axis=1)
    for target, box in enumerate(boxes):
        alone = mfst_jax.Tracker(params, config)
        alone.init(frames[0], box)
        np.testing.assert_array_equal(found[target, 1:], np.stack([alone.update(frame) for frame in frames[1:]]))
        _assert_sound(found[target], np.stack(scores)[:, target], case, setup)
    return Outcome(steps=len(boxes) * (len(frames) - 1))


@partial(jax.jit, static_argnames="config")
def _track_each(params: Any, videos: Any, boxes: Any, frame_size: Any, config: Any) -> Any:
    """Boxes and scores of each video."""

    def track(frames: Any, box: Any) -> Any:
        found = mfst_jax.track(params, frames, box, frame_size=frame_size, config=config)
        return found.box, found.score

    return jax.vmap(track)(videos, boxes)


def _check_batch(case: Case, setup: Setup) -> Outcome:
    """Several videos under `vmap`: the order in the batch makes no difference, and a neighbour none."""
    params = weights_for(setup)
    boxes = np.array(case.boxes, np.float32)
    if not all(_is_sound(box, case.frame_size) for box in boxes):
        return Outcome(refused=True)  # under a transformation nobody can see that
    videos = np.stack([frames_of(case, setup, number) for number in range(len(boxes))])
    size = np.array(case.frame_size, np.int32)
    found, scores = jax.device_get(_track_each(params, videos, boxes, size, setup.config))
    turned, _ = jax.device_get(_track_each(params, np.roll(videos, 1, 0), np.roll(boxes, 1, 0), size, setup.config))
    np.testing.assert_array_equal(np.roll(found, 1, 0), turned, "the order in the batch made a difference")
    for row, score in zip(found, scores, strict=True):
        _assert_sound(row, score[1:], case, setup)
    return Outcome(steps=len(boxes) * (len(case.scenes) - 1))
