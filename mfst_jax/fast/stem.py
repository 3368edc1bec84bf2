"""conv1 of one or two backbones at once, by Toom-Cook over rows: 1.8 products for each output instead of 5.5 a column.

Rows go in pairs: a stride of 2 and 11 taps become a stride of 1 and 6 taps over twice the channels. Along columns it
stays an ordinary convolution of 11 taps.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.fast.ordering import sequence_after
from mfst_jax.fast.toom_cook import F_6_6 as SCHEME
from mfst_jax.fast.toom_cook import combine

TAPS, STRIDE = 11, 2
DIMENSIONS = ("NHWC", "HWIO", "NHWC")
"""Layouts of images, kernel and result."""


def size(side: int) -> int:
    """Number of rows that conv1 gives for images of a `side`."""
    return (side - TAPS) // STRIDE + 1


def transform_filters(kernel: Float[np.ndarray, "11 11 3 o"]) -> tuple[Float[np.ndarray, "1 11 6 o"], ...]:
    """Kernel of each product: (1, column, row in pair and colour, output)."""
    pairs = np.pad(kernel, ((0, 1), (0, 0), (0, 0), (0, 0))).reshape(SCHEME.taps, STRIDE, *kernel.shape[1:])
    transformed = np.einsum("pu,urvco->pvrco", SCHEME.filters, pairs, optimize=True)
    products, columns, *_, outputs = transformed.shape
    return tuple(transformed.reshape(products, 1, columns, -1, outputs).astype(np.float32))


def restore_kernel(filters: Sequence[Float[Array | np.ndarray, "1 11 6 o"]]) -> Float[Array, "11 11 3 o"]:
    """Kernel that `transform_filters` was given."""
    transformed = jnp.stack(filters).reshape(SCHEME.products, TAPS, STRIDE, 3, -1)
    inverse = np.linalg.pinv(SCHEME.filters).astype(np.float32)
    pairs = jnp.einsum("up,pvrco->urvco", inverse, transformed, precision="highest")
    return pairs.reshape(-1, *pairs.shape[2:])[:TAPS]


def pair_rows(image: Float[Array, "side side 3"]) -> Float[Array, "pairs side 6"]:
    """Rows of an image in pairs, and below the last one pairs of zeros as whole tiles may need them."""
    side = len(image)
    below = side % STRIDE + STRIDE * SCHEME.tile
    pairs = jnp.pad(image, ((0, below), (0, 0), (0, 0))).reshape(-1, STRIDE, side, 3)
    return pairs.swapaxes(1, 2).reshape(-1, side, STRIDE * 3)


def convolve(
    pairs: Float[Array, "pairs side 6"],
    filters: Sequence[Float[Array, "1 11 6 o"]],
    first: int,
    rows: int,
    *,
    done: Any = (),
) -> list[Float[Array, "1 tiles columns 1 1 o"]]:
    """Some rows of conv1, without a bias, as the first row of every tile, the second of every tile, and so on.

    The form is that of `toom_cook.convolve`: tiles are one column wide, and there is one group.

    Args:
      pairs: from `pair_rows`.
      filters: from `transform_filters`.
      first: the first row that is wanted.
      rows: how many.
      done: what has to be computed before (`ordering.sequence_after`).
    """
    tiles = -(-rows // SCHEME.tile)
    inputs = combine(SCHEME.inputs, SCHEME.sweep(pairs[first:], tiles, axis=0))
    inputs = lax.optimization_barrier(sequence_after(done, inputs))
    outputs = [_convolve_columns(x[:, None], f) for x, f in zip(inputs, filters, strict=True)]
    return combine(SCHEME.outputs, lax.optimization_barrier([x[None, :, :, None, None] for x in outputs]))


def _convolve_columns(
    rows: Float[Array, "n 1 side 6"], kernel: Float[Array, "1 11 6 o"]
) -> Float[Array, "n columns o"]:
    return lax.conv_general_dilated(rows, kernel, (1, STRIDE), "VALID", dimension_numbers=DIMENSIONS)[:, 0]
