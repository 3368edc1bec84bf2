"""Toom-Cook convolution with gradients: the products of the forward pass serve both gradients as well.

With `V = B d B^T` of an input tile and `U = G g G^T` of a filter, `y = A (U * V) A^T` (`mfst_jax.fast.toom_cook`). All
three transforms are linear, so for a gradient dy with respect to y

    dM = A^T dy A,    dU = V dM,    dV = dM U,    dg = G^T dU G,    dd = B^T dV B,

where products stand between matrices of tiles and channels as in the forward pass: neither gradient takes more of them
(Lavin and Gray 2016 for the forward pass; the rest is its transpose).
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.fast.toom_cook import Scheme, combine

Products = Float[Array, "_ _ _"]
"""Matrix for each of the scheme's products in both dimensions: of tiles and channels, or of inputs and outputs."""
Batches = tuple[Float[Array, "_ _ _ _"], ...]
"""Batches of maps, each with a size of its own."""
Shapes = list[tuple[int, ...]]
Residuals = tuple[Products, Products, Shapes, tuple[int, ...]]


def convolve(
    scheme: Scheme, maps: Float[Array, "n h w i"], kernel: Float[Array, "taps taps _ o"]
) -> Float[Array, "n _ _ o"]:
    """Convolution of one batch of maps, as by `convolve_batches`."""
    return convolve_batches(scheme, (maps,), kernel)[0]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def convolve_batches(scheme: Scheme, batches: Batches, kernel: Float[Array, "taps taps _ o"]) -> Batches:
    """Convolution of batches of maps, nothing padded, at a stride of 1.

    All batches share the matrix products, so that a small one takes no products of its own.

    Args:
      scheme: of the kernel's number of taps.
      batches: maps `[n, h, w, i]` of at least as many cells on a side, of any number and size in each batch.
      kernel: with fewer inputs than the maps have channels, there are groups.
    """
    return _forward(scheme, batches, kernel)[0]


def _forward(scheme: Scheme, batches: Batches, kernel: Array) -> tuple[Batches, Residuals]:
    shapes = [maps.shape for maps in batches]
    inputs = _joined([transform_maps(scheme, maps) for maps in batches])
    filters = transform_kernel(scheme, kernel)
    products = _by_group("pmi,pio->pmo", inputs, filters, groups=shapes[0][3] // kernel.shape[2])
    found = []
    for part, shape in zip(_separate(scheme, products, shapes), shapes, strict=True):
        height, width = (side - scheme.taps + 1 for side in shape[1:3])
        found.append(_outputs(scheme, part, _tiles(scheme, shape))[:, :height, :width])
    return tuple(found), (inputs, filters, shapes, kernel.shape)


def _backward(scheme: Scheme, kept: Residuals, gradients: Batches) -> tuple[Batches, Array]:
    inputs, filters, shapes, kernel_shape = kept
    groups = shapes[0][3] // kernel_shape[2]
    pairs = zip(gradients, shapes, strict=True)
    of_products = _joined([_transposed_outputs(scheme, each, _tiles(scheme, shape)) for each, shape in pairs])
    of_filters = _by_group("pmi,pmo->pio", inputs, of_products, groups=groups)
    of_inputs = _by_group("pmo,pio->pmi", of_products, filters, groups=groups)
    transposed = jnp.asarray(_both(scheme.filters).T)
    of_kernel = (transposed @ of_filters.reshape(scheme.products**2, -1)).reshape(kernel_shape)
    of_batches = []
    for part, shape in zip(_separate(scheme, of_inputs, shapes), shapes, strict=True):
        of_maps = _transposed_maps(scheme, part, _tiles(scheme, shape))
        of_batches.append(of_maps[:, : shape[1], : shape[2]])
    return tuple(of_batches), of_kernel


convolve_batches.defvjp(_forward, _backward)


def transform_maps(scheme: Scheme, maps: Float[Array, "n h w i"]) -> Products:
    """Transforms `V = B d B^T` of every tile d."""
    n, height, width, channels = maps.shape
    _, down, across = _tiles(scheme, maps.shape)
    below, beside = (tiles * scheme.tile + scheme.taps - 1 - side for tiles, side in ((down, height), (across, width)))
    maps = jnp.pad(maps, ((0, 0), (0, below), (0, beside), (0, 0)))
    rows = _combined(scheme.inputs, scheme.sweep(maps, down, axis=1), axis=0)
    both = _combined(scheme.inputs, scheme.sweep(rows, across, axis=3), axis=1)
    return both.reshape(scheme.products**2, n * down * across, channels)


def transform_kernel(scheme: Scheme, kernel: Float[Array, "taps taps i o"]) -> Products:
    """Transforms `U = G g G^T` of every pair of channels."""
    transform = jnp.asarray(_both(scheme.filters))
    return (transform @ kernel.reshape(scheme.taps**2, -1)).reshape(-1, *kernel.shape[2:])


def _outputs(scheme: Scheme, products: Products, tiles: tuple[int, ...]) -> Float[Array, "n rows columns o"]:
    """Outputs `A M A^T` of every tile, put together to maps."""
    n, down, across = tiles
    parts = products.reshape(scheme.products, scheme.products, n, down, across, -1)
    columns = _combined(scheme.outputs, [parts[:, q] for q in range(scheme.products)], axis=4)
    columns = columns.reshape(scheme.products, n, down, across * scheme.tile, -1)
    maps = _combined(scheme.outputs, list(columns), axis=2)
    return maps.reshape(n, down * scheme.tile, across * scheme.tile, -1)


def _transposed_outputs(scheme: Scheme, gradient: Float[Array, "n h w o"], tiles: tuple[int, ...]) -> Products:
    """Transposed transform `A^T dy A` of every tile."""
    n, down, across = tiles
    below, beside = (count * scheme.tile - side for count, side in zip(tiles[1:], gradient.shape[1:3], strict=True))
    gradient = jnp.pad(gradient, ((0, 0), (0, below), (0, beside), (0, 0)))
    rows = _combined(scheme.outputs.T, [gradient[:, row :: scheme.tile] for row in range(scheme.tile)], axis=0)
    both = _combined(scheme.outputs.T, [rows[:, :, :, column :: scheme.tile] for column in range(scheme.tile)], axis=1)
    return both.reshape(scheme.products**2, n * down * across, -1)


def _transposed_maps(scheme: Scheme, inputs: Products, tiles: tuple[int, ...]) -> Float[Array, "n h w i"]:
    """Transposed transform `B^T dV B` of every tile, summed where tiles overlap."""
    parts = inputs.reshape(scheme.products, scheme.products, *tiles, -1)
    columns = combine(scheme.inputs.T, [parts[:, q] for q in range(scheme.products)])
    rows = lax.optimization_barrier(_overlap_add(scheme, columns, axis=3))
    return _overlap_add(scheme, combine(scheme.inputs.T, list(rows)), axis=1)


def _overlap_add(scheme: Scheme, parts: Sequence[Array], axis: int) -> Array:
    """Sum along `axis` of the first cells of all tiles, the second cells of all tiles, and so on, each at its place."""

    def beside(part: Array, before: int, after: int) -> Array:
        return jnp.pad(part, [(before, after) if each == axis else (0, 0) for each in range(part.ndim)])

    whole = []
    for cell in range(scheme.tile):
        later = cell + scheme.tile  # the same cell in the tile before
        own = beside(parts[cell], 0, 1)
        whole.append(own + beside(parts[later], 1, 0) if later < scheme.products else own)
    joined = jnp.stack(whole, axis=axis + 1)
    return joined.reshape(*joined.shape[:axis], -1, *joined.shape[axis + 2 :])


def _by_group(spec: str, first: Products, second: Products, *, groups: int) -> Products:
    """Einsum of each group's channels. Filters and outputs have their groups side by side on the last axis."""
    parts = zip(jnp.split(first, groups, axis=-1), jnp.split(second, groups, axis=-1), strict=True)
    found = [jnp.einsum(spec, one, other) for one, other in parts]
    return lax.optimization_barrier(found[0] if groups == 1 else jnp.concatenate(found, axis=-1))


def _combined(matrix: np.ndarray, parts: Sequence[Array], axis: int) -> Array:
    """Parts combined as by `matrix @ parts`, stacked along `axis`.

    A barrier keeps XLA from computing it again for each of its uses.
    """
    return lax.optimization_barrier(jnp.stack(combine(matrix, parts), axis=axis))


def _tiles(scheme: Scheme, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Number of maps, and of tiles down and across, for maps of this shape."""
    down, across = (-(-(side - scheme.taps + 1) // scheme.tile) for side in shape[1:3])
    return shape[0], down, across


def _joined(parts: Sequence[Products]) -> Products:
    """Tiles of all batches."""
    return parts[0] if len(parts) == 1 else lax.optimization_barrier(jnp.concatenate(parts, axis=1))


def _separate(scheme: Scheme, products: Products, shapes: Shapes) -> list[Products]:
    """Tiles of each batch, from those of all."""
    ends = np.cumsum([math.prod(_tiles(scheme, shape)) for shape in shapes])
    return jnp.split(products, ends[:-1], axis=1)


def _both(matrix: np.ndarray) -> Float[np.ndarray, "_ _"]:
    """Matrix that transforms rows and columns at once."""
    return np.kron(matrix, matrix).astype(np.float32)
