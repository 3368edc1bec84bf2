"""Batch normalisation with ReLU, and with the max pool after them, in training on CPUs: few passes over the maps.

With the mean m and the inverse deviation r of a channel over its batch, its scale g and bias b, `y = relu(g u + b)` of
`u = r (x - m)`. A pool is the maximum of x itself, or the minimum where g is negative, as what follows never changes
the order; so three cells in four are not normalised at all. For a gradient dz with respect to `g u + b`, and N cells,

    db = sum dz,    dg = sum u dz,    dx = r g (dz - db / N - u dg / N).

Behind a pool dz is zero but at the maximum of each window, so the sums are over windows.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, UInt8

from mfst_jax.backbones import BATCH_NORM_EPSILON

Maps = Float[Array, "n h w c"]
Pooled = Float[Array, "n h2 w2 c"]
Channel = Float[Array, " c"]
"""A number for each channel."""
Result = tuple[Float[Array, "n _ _ c"], tuple[Channel, Channel]]
"""Normalised maps, and mean and variance of their batch."""
SIDE, STRIDE = 3, 2
"""Side of a window of the pool, in cells, and cells from one window to the next."""
NOWHERE = np.uint8(SIDE * SIDE)
"""Place of no cell in its window."""


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def norm_relu(maps: Maps, scale: Channel, bias: Channel, pool: bool) -> Result:
    """Normalised maps after ReLU and, with `pool`, the maximum of every 3 x 3 cells at a stride of 2.

    Args:
      maps: of a batch, with a side of 3 cells at least.
      scale: of each channel.
      bias: of each channel.
      pool: whether there is a pool.

    Returns:
      The maps, and the batch's mean and variance of each channel, which have no gradient.
    """
    return _forward(maps, scale, bias, pool)[0]


def _forward(maps: Array, scale: Array, bias: Array, pool: bool) -> tuple[Any, Any]:
    mean, variance = _statistics(maps)
    deviation = lax.rsqrt(variance + BATCH_NORM_EPSILON)
    seen, places = _pool(maps, scale < 0) if pool else (maps, None)
    found = jax.nn.relu(_affine(seen, mean, deviation * scale) + _across(bias))
    return (found, (mean, variance)), (maps, seen, places, mean, deviation, scale, bias)


def _backward(pool: bool, kept: Any, gradients: Any) -> tuple[Array, Array, Array]:
    maps, seen, places, mean, deviation, scale, bias = kept
    normalised = _affine(seen, mean, deviation)
    gradient = jnp.where(normalised * _across(scale) + _across(bias) > 0, gradients[0], 0)
    of_bias, of_scale = _sums(gradient, gradient * normalised)
    cells = maps.size // maps.shape[-1]

    def of_maps() -> Array:
        of_cells = gradient if places is None else _unpool(gradient, places, maps.shape)
        less = _across(of_bias / cells) + _affine(maps, mean, deviation * of_scale / cells)
        return _across(deviation * scale) * (of_cells - less)

    # What comes of a condition is computed once and by itself. Whatever is done with it otherwise has its computation
    # within, in loops that are several times as slow where that pads it, as the gradients of convolutions do.
    found = lax.cond(jnp.isnan(mean[0]), lambda: jnp.full(maps.shape, jnp.nan, maps.dtype), of_maps)
    return found, of_scale, of_bias


norm_relu.defvjp(_forward, _backward)


def _statistics(maps: Maps) -> tuple[Channel, Channel]:
    """Mean and variance of each channel over all cells."""
    total, squares = _sums(maps, jnp.square(maps))
    cells = maps.size // maps.shape[-1]
    mean = total / cells
    return mean, jnp.maximum(squares / cells - jnp.square(mean), 0)


def _sums(first: Maps, second: Maps) -> tuple[Channel, Channel]:
    """Sums of two maps over all cells, row by row first, as XLA takes CPUs several times as long for all at once."""
    zeros = (np.float32(0), np.float32(0))
    rows = lax.reduce((first, second), zeros, lambda x, y: (x[0] + y[0], x[1] + y[1]), (2,))
    one, other = lax.optimization_barrier(rows)
    return jnp.sum(one, axis=(0, 1)), jnp.sum(other, axis=(0, 1))


def _pool(maps: Maps, lowest: Bool[Array, " c"]) -> tuple[Pooled, UInt8[Array, "n h2 w2 c"]]:
    """Highest cell of each window, or the lowest in some channels, and its place in the window, row by row.

    Of equal cells it is the first. The upper and the lower windows are put together: XLA computes maps again within
    each of their uses, whatever barrier is between, but not what is concatenated.
    """
    middle = STRIDE * (((maps.shape[1] - SIDE) // STRIDE + 1) // 2)
    halves = (maps[:, : middle + SIDE - STRIDE], maps[:, middle:]) if middle else (maps,)
    parts = [_pool_part(rows, lowest) for rows in halves]
    best, places = (jnp.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    return best, places


def _pool_part(maps: Maps, lowest: Bool[Array, " c"]) -> tuple[Pooled, UInt8[Array, "n h2 w2 c"]]:
    """Highest or lowest cells and their places, as by `_pool`, of some rows."""
    sign = _across(jnp.where(lowest, -1.0, 1.0))
    best = sign * _cells(maps, 0)
    places = jnp.zeros(best.shape, jnp.uint8)
    for place in range(1, SIDE * SIDE):
        cells = sign * _cells(maps, place)
        places = jnp.where(cells > best, np.uint8(place), places)
        best = jnp.maximum(best, cells)
    return sign * best, places


def _cells(maps: Maps, place: int) -> Pooled:
    """Cell at this place of every window."""
    for axis, first in zip((1, 2), divmod(place, SIDE), strict=True):
        windows = (maps.shape[axis] - SIDE) // STRIDE + 1
        maps = lax.slice_in_dim(maps, first, first + STRIDE * (windows - 1) + 1, STRIDE, axis)
    return maps


def _unpool(gradient: Pooled, places: UInt8[Array, "n h2 w2 c"], shape: tuple[int, ...]) -> Maps:
    """Gradient of the maps, which is that of a window at the place of its maximum.

    Cells go in pairs of rows and of columns. A pair meets the window that begins with it, and its first cell the last
    one of the window before.
    """
    pairs = [-(-side // STRIDE) for side in shape[1:3]]
    total = jnp.zeros((), gradient.dtype)
    for rows_before in (0, 1):
        for columns_before in (0, 1):
            before = rows_before, columns_before
            padding = [(b, count - b - side) for b, count, side in zip(before, pairs, gradient.shape[1:3], strict=True)]
            at = [(0, 0), *padding, (0, 0)]
            windows = jnp.expand_dims(jnp.pad(gradient, at), (2, 4))
            place = jnp.expand_dims(jnp.pad(places, at, constant_values=NOWHERE + 1), (2, 4))
            total = total + jnp.where(place == _places(rows_before, columns_before), windows, 0)
    whole = total.reshape(shape[0], STRIDE * pairs[0], STRIDE * pairs[1], shape[3])
    return whole[:, : shape[1], : shape[2]]


def _places(rows_before: int, columns_before: int) -> UInt8[np.ndarray, "1 1 2 1 2 1"]:
    """Places of a pair's four cells in the window that begins so many pairs before."""
    rows, columns = (np.arange(STRIDE) + STRIDE * before for before in (rows_before, columns_before))
    places = np.where((rows[:, None] < SIDE) & (columns < SIDE), SIDE * rows[:, None] + columns, NOWHERE)
    return places.astype(np.uint8).reshape(1, 1, STRIDE, 1, STRIDE, 1)


def _affine(maps: Array, mean: Channel, factor: Channel) -> Array:
    return (maps - _across(mean)) * _across(factor)


def _across(channel: Channel) -> Float[Array, "1 1 1 c"]:
    return channel.reshape(1, 1, 1, -1)
