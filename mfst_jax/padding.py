"""Padding of frames to a few shapes, so that videos of different sizes share a compilation.

Padding changes no bit of a result.
"""

import math

import numpy as np
from jaxtyping import Shaped
from numpy.typing import DTypeLike

from mfst_jax.fields import require

__all__ = ["pad", "padded_size"]

BUCKET = 256
"""Number of pixels of which both sides of a padded frame are multiples."""
ALIGNMENT = 64
"""Alignment in bytes of the buffers that a CPU device takes as they are; XLA copies any other."""


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a frame of `size` (height, width) once it is padded."""
    height, width = (-(-side // BUCKET) * BUCKET for side in size)
    return height, width


def pad(
    frame: Shaped[np.ndarray, "height width 3"], size: tuple[int, int] | None = None
) -> Shaped[np.ndarray, "_ _ 3"]:
    """Padded copy of a frame, black below and on the right; `frame_size` tells the tracker which part is real.

    Nothing else refers to the copy, and `jax.device_put` hands it to a CPU device without copying it again.

    Args:
      frame: of any dtype.
      size: height and width of the copy; by default those of `padded_size`.

    Raises:
      InputError: if the frame is larger than `size`.
    """
    height, width, _ = frame.shape
    if size is None:
        size = padded_size((height, width))
    else:
        rows, columns = size
        fits = height <= rows and width <= columns
        require(fits, "frame", f"at most {rows} x {columns} (height x width)", f"{height} x {width}")
    padded = empty((*size, 3), frame.dtype)
    padded[:height, :width] = frame
    padded[:height, width:] = 0
    padded[height:] = 0
    return padded


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Uninitialised array at an address from which a CPU device takes it without copying it again."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    first = -buffer.ctypes.data % ALIGNMENT
    return buffer[first : first + size].view(dtype).reshape(shape)
