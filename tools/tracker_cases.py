"""Cases that `fuzz_tracker.py` tries: frames and boxes that hypothesis draws, and what must hold of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import numpy as np
from box_bounds import violations
from hypothesis import strategies as st
from tracker_setups import Setup, weights_for

import mfst_jax
from mfst_jax import InputError
from mfst_jax.validation import LARGEST_SIDE, SMALLEST_SIDE

Scene = Literal[
    "noise", "saturated", "spark", "texture", "gradient", "leaving", "extremes", "constant", "black", "white", "faint"
]
VISIBLE: tuple[Scene, ...] = ("noise", "saturated", "spark", "texture", "gradient", "leaving", "extremes")
BLANK: tuple[Scene, ...] = ("constant", "black", "white", "faint")
"""Scenes in which nothing is to be seen anywhere."""
TARGETS = ("one pixel", "below a pixel", "inside", "at the border", "whole frame", "larger than the frame", "thin")
VIDEOS = ("one scene", "mixed", "blank after the first frame", "blank first frame", "bad float32 frame")
BAD = (np.nan, np.inf, -np.inf, -1.0, 255.5)
"""Values that float32 frames are refused for."""
MOST_FRAMES = 5


@dataclass(frozen=True)
class Case:
    """One case: what is tracked in what.

    Attributes:
      video: Kind of video.
      scenes: Scene of each frame.
      seed: Seed of the frames.
      frame_size: Real part of the frames, (height, width).
      target: Kind of target.
      boxes: Boxes (x, y, w, h), one for each target or video.
      bad: Value in the last frame that is refused, in float32 frames.
      cut: Number of the frame before which a track by chunks is cut.
    """

    video: str
    scenes: tuple[Scene, ...]
    seed: int
    frame_size: tuple[int, int]
    target: str
    boxes: tuple[tuple[float, float, float, float], ...]
    bad: float
    cut: int


@dataclass
class Outcome:
    """Outcome of a case that holds.

    Attributes:
      steps: Number of steps that were taken.
      refused: Whether the case was refused, as it should be.
    """

    steps: int = 0
    refused: bool = False


def _log_uniform(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(float(np.log(low)), float(np.log(high))).map(lambda x: float(np.clip(np.exp(x), low, high)))


@st.composite
def _boxes(draw: st.DrawFn, target: str, frame_size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Box of a kind that overlaps the frame, or by a rounding of float32 does not."""
    height, width = frame_size
    share = st.floats(0, 1, exclude_min=True, exclude_max=True)
    match target:
        case "one pixel":
            return draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1)), 1, 1
        case "whole frame":
            return 0, 0, width, height
        case "below a pixel":
            w, h = (draw(_log_uniform(SMALLEST_SIDE, 1)) for _ in range(2))
        case "inside" | "at the border":
            w, h = (draw(st.floats(1, max(side, 2))) for side in (width, height))
        case "larger than the frame":
            w, h = (draw(_log_uniform(max(side, 1), LARGEST_SIDE)) for side in (width, height))
        case _:
            sides = draw(_log_uniform(SMALLEST_SIDE, 1)), draw(_log_uniform(1e3, LARGEST_SIDE))
            w, h = draw(st.permutations(sides))
    if target == "inside":
        return draw(share) * max(width - w, 1e-3), draw(share) * max(height - h, 1e-3), w, h
    corner = []
    for side, own in ((width, w), (height, h)):
        ends = (float(np.nextafter(np.float32(-own), np.float32(side))), float(np.nextafter(np.float32(side), -1)))
        at = draw(st.sampled_from(["low", "high", "between"]))
        corner.append(ends[0] if at == "low" else ends[1] if at == "high" else -own + draw(share) * (own + side))
    return corner[0], corner[1], w, h


@st.composite
def cases(draw: st.DrawFn, setup: Setup) -> Case:
    """Cases of a setup."""
    videos = VIDEOS if setup.floats else VIDEOS[:-1]
    video, target = draw(st.sampled_from(videos)), draw(st.sampled_from(TARGETS))
    count = MOST_FRAMES if setup.kind == "batch" else draw(st.sampled_from([2, 2, 2, 3, MOST_FRAMES]))
    scene, every = st.sampled_from(VISIBLE), st.sampled_from(VISIBLE + BLANK)
    match video:
        case "one scene":
            scenes = (draw(every),) * count
        case "blank after the first frame":
            scenes = (draw(scene), *(draw(st.sampled_from(BLANK)) for _ in range(count - 1)))
        case "blank first frame":
            scenes = (draw(st.sampled_from(BLANK)), *(draw(every) for _ in range(count - 1)))
        case _:
            scenes = tuple(draw(every) for _ in range(count))
    height, width = (draw(st.one_of(st.just(side), st.integers(1, side))) for side in setup.shape)
    frame_size = height, width
    number = {"one": 1, "several": draw(st.integers(2, 4)), "batch": 3}[setup.kind]
    boxes = tuple(draw(_boxes(target, frame_size)) for _ in range(number))
    return Case(
        *(video, scenes, draw(st.integers(0, 2**32 - 1)), frame_size, target, boxes),
        bad=draw(st.sampled_from(BAD)),
        cut=draw(st.integers(1, count - 1)),
    )


def frames_of(case: Case, setup: Setup, seed: int = 0) -> np.ndarray:
    """Frames [T, H, W, 3] of a case, uint8 or float32 in 0..255, with noise where they are padded.

    Args:
      case: the case.
      setup: its setup.
      seed: number of the video, where there are several.
    """
    rng = np.random.default_rng([case.seed, seed])
    frames = rng.integers(0, 256, (len(case.scenes), *setup.shape, 3)).astype(np.float32)
    height, width = case.frame_size
    background = rng.integers(0, 256, (*case.frame_size, 3)).astype(np.float32)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).astype(np.float32)
    colour = rng.integers(0, 256, 3)
    for number, scene in enumerate(case.scenes):
        frames[number, :height, :width] = _draw(scene, rng, number, background, coarse, colour)
    return frames if setup.floats else frames.astype(np.uint8)


def _draw(
    scene: Scene, rng: np.random.Generator, number: int, noise: np.ndarray, coarse: np.ndarray, colour: np.ndarray
) -> np.ndarray:
    """One frame of a scene, in 0..255."""
    height, width, _ = noise.shape
    blocks = np.kron(coarse, np.ones((8, 8, 1), np.float32))[:height, :width]
    match scene:
        case "noise":
            return rng.integers(0, 256, noise.shape)
        case "saturated":
            return 255 * rng.integers(0, 2, noise.shape)
        case "spark":
            frame = np.zeros_like(noise)
            frame[rng.integers(height), rng.integers(width)] = 255
            return frame
        case "texture":
            return np.roll(blocks, (2 * number, 3 * number), axis=(0, 1))
        case "gradient":
            return np.broadcast_to(np.linspace(0, 255, width, dtype=np.float32)[:, None], noise.shape)
        case "leaving":  # a patch of noise that goes out of the frame and comes back
            frame, side = blocks / 4, max(min(height, width) // 3, 1)
            shown = max(side - abs(2 - number) * side // 2, 0)
            frame[:side, :shown] = noise[:side, side - shown : side]
            return frame
        case "extremes":
            return rng.choice(np.array([0, 1e-45, 1e-38, 1e-3, 0.5, 254.99998, 255], np.float32), noise.shape)
        case "constant":
            return np.broadcast_to(colour, noise.shape)
        case "black":
            return np.zeros_like(noise)
        case "white":
            return np.full_like(noise, 255)
        case "faint":
            return np.clip(colour + rng.integers(-1, 2, noise.shape), 0, 255)


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


def kinds(case: Case) -> Sequence[str]:
    """Kinds that a case counts for in the table."""
    return f"video: {case.video}", f"target: {case.target}", *(f"frames: {scene}" for scene in sorted(set(case.scenes)))
