"""Cases that `fuzz_tracker.py` tries: frames and boxes that hypothesis draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from hypothesis import strategies as st
from tracker_setups import Setup

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


def kinds(case: Case) -> Sequence[str]:
    """Kinds that a case counts for in the table."""
    return f"video: {case.video}", f"target: {case.target}", *(f"frames: {scene}" for scene in sorted(set(case.scenes)))
