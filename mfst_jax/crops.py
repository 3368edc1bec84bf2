"""Frame -> square crops around the target: the exemplar (127 x 127) and the search regions (255 x 255).

Frames are RGB in 0..255, uint8 or float32; crops are float32 RGB in 0..255. A frame may be padded at the bottom and on
the right: `frame_size` says how much of it is real, and what lies beyond counts as outside.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Int, UInt8, UInt16, UInt32

from mfst_jax.boxes import context_side

# Sec. IV-A b)
EXEMPLAR_SIZE = 127
"""Side of the exemplar, in samples."""
SEARCH_SIZE = 255
"""Side of the search region, in samples."""
CENTRE_SIZE = 191
"""Side in samples of the centre of the search region that a centre search sees: 9 cells of a response map."""
VISIBLE_RANGE = 4.0
"""Grey levels by which the points of a crop must differ for anything to be visible in it (docs/choices.md)."""
BLOCK = 64
"""Rows of a frame that are summed at a time; sums of up to 257 rows fit into 16 bits."""

Bytes = UInt8[Array, "height width 3"]
Frame = Bytes | Float32[Array, "height width 3"]


def mean_colour(frame: Frame, frame_size: Int[Array, "2"]) -> Float[Array, "3"]:
    """Mean RGB over the real part of a frame, in 0..255. Padding changes no bit of it."""
    return _mean_of_bytes(frame, frame_size) if frame.dtype == jnp.uint8 else _mean_of_floats(frame, frame_size)


@jax.custom_jvp
def _mean_of_floats(frame: Float32[Array, "height width 3"], frame_size: Int[Array, "2"]) -> Float[Array, "3"]:
    """Mean of a float32 frame, whose values are rounded to 1/256 and summed in integers: wholes and 256ths apart."""
    parts = jnp.round(256 * jnp.clip(frame, 0, 255)).astype(jnp.uint16)
    whole, rest = ((parts >> shift & np.uint16(255)).astype(jnp.uint8) for shift in (np.uint16(8), np.uint16(0)))
    return _mean_of_bytes(whole, frame_size) + _mean_of_bytes(rest, frame_size) / 256


@_mean_of_floats.defjvp
def _mean_of_floats_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    """Derivative of the mean, as if its values were not rounded."""
    frame, frame_size = primals
    rows, columns = (
        jnp.arange(side, dtype=jnp.int32) < size for side, size in zip(frame.shape, frame_size, strict=False)
    )
    real = (rows[:, None] & columns[None, :])[..., None]
    tangent = jnp.sum(jnp.where(real, tangents[0], np.float32(0)), axis=(0, 1)) / jnp.prod(frame_size).astype(
        jnp.float32
    )
    return _mean_of_floats(frame, frame_size), tangent


def _mean_of_bytes(frame: Bytes, frame_size: Int[Array, "2"]) -> Float[Array, "3"]:
    """Mean of a uint8 frame, in 0..255, summed in integers.

    Each column's sum is split into a whole mean and a remainder, and so are the sums of those, which keeps every number
    below 2**32 up to 65,536 x 65,536 pixels.
    """
    column_sums = _column_sums(frame, frame_size[0])
    columns = jnp.arange(frame.shape[1], dtype=jnp.int32) < frame_size[1]
    column_sums = jnp.where(columns[:, None], column_sums, jnp.zeros((), column_sums.dtype))
    tall, wide = frame_size.astype(jnp.uint32)
    means, rests = jnp.divmod(column_sums, tall)
    carry, rest = jnp.divmod(jnp.sum(rests, axis=0, dtype=jnp.uint32), tall)
    mean, column_rest = jnp.divmod(jnp.sum(means, axis=0, dtype=jnp.uint32) + carry, wide)
    mean, column_rest, rest = (part.astype(jnp.float32) for part in (mean, column_rest, rest))
    return mean + (column_rest + rest / tall.astype(jnp.float32)) / wide.astype(jnp.float32)


def _column_sums(frame: Bytes, tall: Int[Array, ""]) -> UInt32[Array, "width 3"]:
    """Sums over the first `tall` rows, for each column: block by block, so that 16-bit numbers stay in cache."""
    height, width, _ = frame.shape
    by_row = frame.reshape(height, -1)
    count = min(BLOCK, height)

    def sums_of(block: Int[Array, ""]) -> UInt16[Array, "_"]:
        first = jnp.minimum(count * block, height - count)
        row = first + jnp.arange(count, dtype=jnp.int32)
        real = (row >= count * block) & (row < tall)  # the last block reaches back into the one before
        rows = lax.dynamic_slice_in_dim(by_row, first, count)
        return jnp.sum(jnp.where(real[:, None], rows, jnp.zeros((), rows.dtype)), axis=0, dtype=jnp.uint16)

    sums = lax.map(sums_of, jnp.arange(-(-height // count), dtype=jnp.int32))
    return jnp.sum(sums, axis=0, dtype=jnp.uint32).reshape(width, 3)


def search_side(size: Float[Any, "*batch 2"], context: float) -> Float[Any, "*batch"]:
    """Side in pixels of the search region at scale 1, for a target of `size` (w, h): `s_x = s_z 255 / 127`.

    The equation is SiamFC's (Bertinetto et al. 2016), with s_z of `boxes.context_side`.
    """
    return context_side(size, context) * (SEARCH_SIZE / EXEMPLAR_SIZE)


def crop(
    frame: Frame,
    centre: Float[Array, "2"],
    side: Float[Array, ""],
    *,
    fill: Float[Array, "3"],
    frame_size: Int[Array, "2"],
    samples: int = SEARCH_SIZE,
) -> Float[Array, "samples samples 3"]:
    """Square of `side` pixels around `centre` (x, y), sampled bilinearly on 255 x 255 points.

    The points include both ends of the side: `centre - (side - 1) / 2 + i (side - 1) / 254`. A point outside
    `[0, height - 1] x [0, width - 1]` takes the colour `fill`. Only the four neighbours of each point are read, so the
    cost does not grow with the frame.

    Args:
      frame: RGB in 0..255, uint8 or float32.
      centre: (x, y) in pixels.
      side: in pixels.
      fill: colour of points outside the frame, RGB in 0..255.
      frame_size: (height, width) of the real part of the frame, in pixels.
      samples: points on a side, an odd number. Fewer than 255 are those in the middle; more reach beyond `side`, as far
        from each other.
    """
    return crop_with_range(frame, centre, side, fill=fill, frame_size=frame_size, samples=samples)[0]


def crop_with_range(
    frame: Frame,
    centre: Float[Array, "2"],
    side: Float[Array, ""],
    *,
    fill: Float[Array, "3"],
    frame_size: Int[Array, "2"],
    samples: int = SEARCH_SIZE,
) -> tuple[Float[Array, "samples samples 3"], Float[Array, ""]]:
    """Crop as by `crop`, and the largest difference that any colour channel has between two of its points in the frame.

    Where no point is in the frame, the difference is below zero.
    """
    margin = (SEARCH_SIZE - samples) // 2
    steps = jnp.arange(margin, margin + samples, dtype=jnp.float32) / (SEARCH_SIZE - 1) - 0.5
    offsets = steps * (side - 1)
    x_low, x_high, x_share, x_inside = neighbours(centre[0] + offsets, frame_size[1])
    y_low, y_high, y_share, y_inside = neighbours(centre[1] + offsets, frame_size[0])

    def pixels(y: Int[Array, " n"], x: Int[Array, " n"]) -> Float[Array, "n n 3"]:
        return frame[y[:, None], x[None, :]].astype(jnp.float32)

    x_share, y_share = x_share[None, :, None], y_share[:, None, None]
    top = pixels(y_low, x_low) * (1 - x_share) + pixels(y_low, x_high) * x_share
    bottom = pixels(y_high, x_low) * (1 - x_share) + pixels(y_high, x_high) * x_share
    inside = y_inside[:, None, None] & x_inside[None, :, None]
    colours = top * (1 - y_share) + bottom * y_share
    lowest = jnp.min(jnp.where(inside, colours, np.float32(256)), axis=(0, 1))
    highest = jnp.max(jnp.where(inside, colours, np.float32(-1)), axis=(0, 1))
    return jnp.where(inside, colours, fill[None, None]), jnp.max(highest - lowest)


def central_exemplar(search: Float[Array, "*batch 255 255 3"]) -> Float[Array, "*batch 127 127 3"]:
    """Exemplar image from a crop of the search region: its central 127 x 127, rows and columns 64 to 190."""
    start = (SEARCH_SIZE - EXEMPLAR_SIZE) // 2
    return search[..., start : start + EXEMPLAR_SIZE, start : start + EXEMPLAR_SIZE, :]


def neighbours(position: Float[Any, " n"], length: Int[Array, ""] | int) -> tuple[Any, Any, Any, Any]:
    """For each position on one axis its two pixels, the weight of the second one, and whether it is in the frame.

    Positions are an array of NumPy or JAX, and so is what is returned.
    """
    xp, kind = position.__array_namespace__(), position.dtype
    last = length - 1
    low = xp.clip(xp.floor(position).astype(xp.int32), 0, last)
    inside = (position >= 0) & (position <= xp.asarray(last, dtype=kind))
    return low, xp.minimum(low + 1, last), position - low.astype(kind), inside
