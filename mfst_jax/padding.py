"""Frames padded to few shapes, so that videos of different sizes share a compilation. No result changes by a bit."""

import math

import numpy as np
from jaxtyping import Shaped
from numpy.typing import DTypeLike

BUCKET = 256
"""Both sides of a padded frame are multiples of this."""
ALIGNMENT = 64
"""Bytes; XLA copies arrays on the host that lie otherwise."""


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a frame of `size` (height, width) once it is padded."""
    height, width = (-(-side // BUCKET) * BUCKET for side in size)
    return height, width


def pad(frame: Shaped[np.ndarray, "height width 3"]) -> Shaped[np.ndarray, "_ _ 3"]:
    """A copy of `frame` with black below and on the right; `frame_size` tells the tracker what is real.

    Nothing else refers to it, and `jax.device_put` hands it to a CPU device as it lies.
    """
    height, width, _ = frame.shape
    padded = empty((*padded_size((height, width)), 3), frame.dtype)
    padded[:height, :width] = frame
    padded[:height, width:] = 0
    padded[height:] = 0
    return padded


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """An array without values, at an address from which a CPU device takes it without copying it again."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    first = -buffer.ctypes.data % ALIGNMENT
    return buffer[first : first + size].view(dtype).reshape(shape)
