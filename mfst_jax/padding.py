"""Frames padded to few shapes, so that videos of different sizes share a compilation. No result changes by a bit."""

import numpy as np
from jaxtyping import UInt8

BUCKET = 256
"""Both sides of a padded frame are multiples of this."""


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a frame of `size` (height, width) once it is padded."""
    height, width = (-(-side // BUCKET) * BUCKET for side in size)
    return height, width


def pad(frame: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """A copy of `frame` with black below and on the right; `frame_size` tells the tracker what is real."""
    height, width, _ = frame.shape
    padded = np.empty((*padded_size((height, width)), 3), np.uint8)
    padded[:height, :width] = frame
    padded[:height, width:] = 0
    padded[height:] = 0
    return padded
