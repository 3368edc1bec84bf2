"""Random inputs for timing and for tests: frames of noise, boxes, and weights."""

import numpy as np

from mfst_jax.params import Params, contents_for
from mfst_jax.presets import PRESETS, Preset
from mfst_jax.random_weights import random_params

Size = tuple[int, int]
"""Height and width of a frame, in pixels."""


def noise(size: Size, count: int) -> np.ndarray:
    """Frames of noise, [count, height, width, 3] uint8."""
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def random_boxes(size: Size, count: int) -> np.ndarray:
    """Random boxes [count, 4] float32 within a frame, a sixth of it wide and high."""
    height, width = size
    corners = np.random.default_rng(1).uniform(0.1, 0.7, (count, 2)) * (width, height)
    return np.hstack([corners, np.tile([width / 6, height / 6], (count, 1))]).astype(np.float32)


def preset_params(preset: Preset) -> Params:
    """Random weights for a preset, with SE-blocks unless it has none, and with the AlexNet that it is meant for."""
    return random_params(contents_for(PRESETS[preset], "caffe" if preset == "authors" else "torchvision"))
