"""conv1 in training: 11 taps at a stride of 2 by Toom-Cook over rows, for the kernel's gradient as well.

Rows and columns go in pairs, which makes it a convolution of 6 taps at a stride of 1 over 12 channels. Along rows
`y = A (U * V)` with `V = B d` of an input tile and `U = G g` of the filter (`mfst_jax.fast.toom_cook`); along columns
the products are of windows of 6 columns. With `dM = A^T dy` the kernel's gradient is `G^T (V dM)`.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.fast.stem import DIMENSIONS, STRIDE, TAPS, size
from mfst_jax.fast.toom_cook import F_6_6 as SCHEME
from mfst_jax.fast.toom_cook import combine
from mfst_jax.train.hosts import one_device

CHANNELS = 3
WINDOW = SCHEME.taps * STRIDE * STRIDE * CHANNELS
"""Numbers in a window of 6 columns of paired rows: column pair, row in its pair, column in its pair, colour."""


@jax.custom_vjp
def convolve(images: Float[Array, "n h w 3"], kernel: Float[Array, "11 11 3 o"]) -> Float[Array, "n _ _ o"]:
    """Convolution at a stride of 2, nothing padded, one image after the other; not where devices share a batch."""
    return _forward(images, kernel)[0]


def _forward(images: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    filters = _transform_kernel(kernel)
    height, width = map(size, images.shape[1:3])

    def of_image(image: Array) -> Array:
        products = [windows @ each for windows, each in zip(_windows(image), filters, strict=True)]
        rows = combine(SCHEME.outputs, [x.reshape(-1, width, x.shape[-1]) for x in lax.optimization_barrier(products)])
        whole = lax.optimization_barrier(jnp.stack(rows, axis=1))  # [tile, row in it, column, output]
        return whole.reshape(-1, width, whole.shape[-1])[:height]

    found = lax.map(of_image, images) if one_device() else jax.vmap(of_image)(images)
    return found, (images, kernel)


def _backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    images, kernel = kept
    outputs = kernel.shape[-1]

    def of_image(image: Array, rows: Array) -> list[Array]:
        whole = jnp.pad(rows, ((0, -len(rows) % SCHEME.tile), (0, 0), (0, 0)))
        of_tiles = [whole[row :: SCHEME.tile].reshape(-1, outputs) for row in range(SCHEME.tile)]
        of_products = lax.optimization_barrier(combine(SCHEME.outputs.T, of_tiles))
        return [windows.T @ each for windows, each in zip(_windows(image), of_products, strict=True)]

    if one_device():
        zeros = [jnp.zeros((WINDOW, outputs), gradient.dtype)] * SCHEME.products
        add = lambda total, each: (jax.tree.map(jnp.add, total, of_image(*each)), None)  # noqa: E731
        of_filters, _ = lax.scan(add, zeros, (images, gradient))
    else:
        of_filters = [jnp.sum(each, axis=0) for each in jax.vmap(of_image)(images, gradient)]
    # Images come from files, so that this is left out unless somebody asks for it.
    _, transposed = jax.vjp(lambda x: _directly(x, kernel), images)
    return *transposed(gradient), _transposed_kernel(of_filters)


convolve.defvjp(_forward, _backward)

_directly = partial(
    lax.conv_general_dilated, window_strides=(STRIDE, STRIDE), padding="VALID", dimension_numbers=DIMENSIONS
)


def _windows(image: Float[Array, "h w 3"]) -> list[Float[Array, "tiles_and_columns window"]]:
    """Transforms `V = B d` of every tile of rows, as a window of them for each column of conv1."""
    height, width = map(size, image.shape[:2])
    tiles, columns = -(-height // SCHEME.tile), width + SCHEME.taps - 1
    rows = tiles * SCHEME.tile + SCHEME.taps - 1
    missing = (max(STRIDE * pairs - side, 0) for pairs, side in zip((rows, columns), image.shape, strict=False))
    image = jnp.pad(image, [*((0, below) for below in missing), (0, 0)])[: STRIDE * rows, : STRIDE * columns]
    pairs = image.reshape(rows, STRIDE, columns, STRIDE, CHANNELS).swapaxes(1, 2).reshape(rows, columns, -1)
    inputs = combine(SCHEME.inputs, SCHEME.sweep(lax.optimization_barrier(pairs), tiles, axis=0))
    inputs = lax.optimization_barrier(inputs)
    windows = [jnp.concatenate([x[:, v : v + width] for v in range(SCHEME.taps)], axis=-1) for x in inputs]
    return lax.optimization_barrier([x.reshape(-1, WINDOW) for x in windows])


def _transform_kernel(kernel: Float[Array, "11 11 3 o"]) -> list[Float[Array, "window o"]]:
    """Transforms `U = G g` of the filters' rows, in the order of a window."""
    paired = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
    paired = paired.reshape(SCHEME.taps, STRIDE, SCHEME.taps, STRIDE, CHANNELS, -1).swapaxes(1, 2)
    return [x.reshape(WINDOW, -1) for x in combine(SCHEME.filters, list(paired))]


def _transposed_kernel(filters: list[Float[Array, "window o"]]) -> Float[Array, "11 11 3 o"]:
    """Transposed transform `G^T dU` of the filters' rows."""
    rows = jnp.stack(combine(SCHEME.filters.T, filters))
    paired = rows.reshape(SCHEME.taps, SCHEME.taps, STRIDE, STRIDE, CHANNELS, -1).swapaxes(1, 2)
    return paired.reshape(STRIDE * SCHEME.taps, STRIDE * SCHEME.taps, CHANNELS, -1)[:TAPS, :TAPS]
