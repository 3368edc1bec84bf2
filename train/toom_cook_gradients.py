"""Toom-Cook convolution with gradients: the products of the forward pass serve both gradients as well.

With `V = B d B^T` of an input tile and `U = G g G^T` of a filter, `y = A (U * V) A^T` (`mfst_jax.fast.toom_cook`). All
three transforms are linear, so for a gradient dy with respect to y

    dM = A^T dy A,    dU = V dM,    dV = dM U,    dg = G^T dU G,    dd = B^T dV B,

where products stand between matrices of tiles and channels as in the forward pass: neither gradient takes more of them
(Lavin and Gray 2016 for the forward pass; the rest is its transpose).
"""

import itertools
import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.fast.toom_cook import ROWS_AT_A_TIME, Scheme, combine, join
from mfst_jax.train.hosts import one_device

Products = list[list[Float[Array, "_ _ _"]]]
"""For every `ROWS_AT_A_TIME` row products, for each column product, matrices [row products x groups, _, _]: of tiles
and channels, or of inputs and outputs. One array of them all would have to be put together and taken apart again."""
Batches = tuple[Float[Array, "_ _ _ _"], ...]
"""Batches of maps, each with a size of its own."""
Shapes = list[tuple[int, ...]]
Residuals = tuple[Products, Products, Shapes, tuple[int, ...]]


def convolve(
    scheme: Scheme, maps: Float[Array, "n h w i"], kernel: Float[Array, "taps taps _ o"]
) -> Float[Array, "n _ _ o"]:
    """Convolution of one batch of maps, as by `convolve_batches`."""
    return _convolve(scheme, (maps,), kernel)[0]


def convolve_batches(scheme: Scheme, batches: Batches, kernel: Float[Array, "taps taps _ o"]) -> Batches:
    """Convolution of batches of maps, nothing padded, at a stride of 1.

    All batches share the matrix products, so that a small one takes no products of its own. Not where devices share
    batches: they would have to exchange what stands together then.

    Args:
      scheme: of the kernel's number of taps.
      batches: maps `[n, h, w, i]` of at least as many cells on a side, of any number and size in each batch.
      kernel: with fewer inputs than the maps have channels, there are groups.
    """
    if not one_device():
        return tuple(convolve(scheme, maps, kernel) for maps in batches)
    return _convolve(scheme, batches, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _convolve(scheme: Scheme, batches: Batches, kernel: Float[Array, "taps taps _ o"]) -> Batches:
    """Convolution of batches that share the matrix products."""
    return _forward(scheme, batches, kernel)[0]


def _forward(scheme: Scheme, batches: Batches, kernel: Array) -> tuple[Batches, Residuals]:
    shapes = [maps.shape for maps in batches]
    groups = shapes[0][3] // kernel.shape[2]
    inputs = _joined([_transform_maps(scheme, maps, groups) for maps in batches])
    filters = _transform_kernel(scheme, kernel, groups)
    products = _each("pmi,pio->pmo", inputs, filters)
    parts = _separate(scheme, products, shapes)
    found = [_outputs(scheme, part, shape, groups) for part, shape in zip(parts, shapes, strict=True)]
    return tuple(found), (inputs, filters, shapes, kernel.shape)


def _backward(scheme: Scheme, kept: Residuals, gradients: Batches) -> tuple[Batches, Array]:
    inputs, filters, shapes, kernel_shape = kept
    groups = shapes[0][3] // kernel_shape[2]
    pairs = zip(gradients, shapes, strict=True)
    of_products = _joined([_transposed_outputs(scheme, each, shape, groups) for each, shape in pairs])
    of_filters = _each("pmi,pmo->pio", inputs, of_products)
    of_inputs = _each("pmo,pio->pmi", of_products, filters)
    parts = _separate(scheme, of_inputs, shapes)
    of_batches = [_transposed_maps(scheme, part, shape, groups) for part, shape in zip(parts, shapes, strict=True)]
    return tuple(of_batches), _transposed_kernel(scheme, of_filters, kernel_shape, groups)


_convolve.defvjp(_forward, _backward)


def _transform_maps(scheme: Scheme, maps: Float[Array, "n h w i"], groups: int) -> Products:
    """Transforms `V = B d B^T` of every tile d."""
    n, height, width, channels = maps.shape
    _, down, across = _tiles(scheme, maps.shape)
    below, beside = (tiles * scheme.tile + scheme.taps - 1 - side for tiles, side in ((down, height), (across, width)))
    maps = jnp.pad(maps, ((0, 0), (0, below), (0, beside), (0, 0)))
    rows = _stacked(combine(scheme.inputs, scheme.sweep(maps, down, axis=1)), axis=0)
    found = []
    for part in _by_rows(scheme, rows):
        columns = [_by_group(x, groups) for x in scheme.sweep(part, across, axis=3)]
        columns = lax.optimization_barrier(combine(scheme.inputs, columns))
        found.append([x.reshape(-1, n * down * across, channels // groups) for x in columns])
    return found


def _transform_kernel(scheme: Scheme, kernel: Float[Array, "taps taps i o"], groups: int) -> Products:
    """Transforms `U = G g G^T` of every pair of channels."""
    taps, _, inputs, outputs = kernel.shape
    rows = _stacked(combine(scheme.filters, list(_by_group(kernel, groups))), axis=0)
    found = []
    for part in _by_rows(scheme, rows):
        columns = lax.optimization_barrier(combine(scheme.filters, [part[:, :, v] for v in range(taps)]))
        found.append([x.reshape(-1, inputs, outputs // groups) for x in columns])
    return found


def _outputs(scheme: Scheme, products: Products, shape: tuple[int, ...], groups: int) -> Float[Array, "n _ _ o"]:
    """Outputs `A M A^T` of every tile, put together to maps."""
    n, down, across = _tiles(scheme, shape)
    rows: list[Array] = []
    for part in products:
        columns = _stacked(combine(scheme.outputs, part), axis=1)
        columns = columns.reshape(-1, groups, scheme.tile, n, down, across, columns.shape[-1])
        rows += [x.transpose(2, 3, 4, 1, 0, 5) for x in columns]
    maps = join(combine(scheme.outputs, rows))  # [n, row, tile, column in it, group, output]
    height, width = (side - scheme.taps + 1 for side in shape[1:3])
    return maps.reshape(*maps.shape[:2], across * scheme.tile, -1)[:, :height, :width]


def _transposed_outputs(
    scheme: Scheme, gradient: Float[Array, "n h w o"], shape: tuple[int, ...], groups: int
) -> Products:
    """Transposed transform `A^T dy A` of every tile."""
    n, down, across = _tiles(scheme, shape)
    below, beside = (
        tiles * scheme.tile - side for tiles, side in zip((down, across), gradient.shape[1:3], strict=True)
    )
    gradient = jnp.pad(gradient, ((0, 0), (0, below), (0, beside), (0, 0)))
    rows = _stacked(combine(scheme.outputs.T, [gradient[:, row :: scheme.tile] for row in range(scheme.tile)]), axis=0)
    found = []
    for part in _by_rows(scheme, rows):
        columns = [_by_group(part[:, :, :, column :: scheme.tile], groups) for column in range(scheme.tile)]
        columns = lax.optimization_barrier(combine(scheme.outputs.T, columns))
        found.append([x.reshape(-1, n * down * across, x.shape[-1]) for x in columns])
    return found


def _transposed_maps(scheme: Scheme, inputs: Products, shape: tuple[int, ...], groups: int) -> Float[Array, "n h w i"]:
    """Transposed transform `B^T dV B` of every tile, summed where tiles overlap."""
    tiles = _tiles(scheme, shape)
    rows: list[Array] = []
    for part in inputs:
        columns = combine(scheme.inputs.T, [x.reshape(-1, groups, *tiles, x.shape[-1]) for x in part])
        # [row product, n, down, across, column in it, group, input]
        whole = _stacked([jnp.moveaxis(x, 1, 4) for x in _overlap_add(scheme, columns, axis=4)], axis=4)
        rows += list(whole.reshape(*whole.shape[:3], -1, shape[3]))
    maps = _stacked(_overlap_add(scheme, combine(scheme.inputs.T, rows), axis=1), axis=2)
    return maps.reshape(shape[0], -1, *maps.shape[3:])[:, : shape[1], : shape[2]]


def _transposed_kernel(
    scheme: Scheme, filters: Products, shape: tuple[int, ...], groups: int
) -> Float[Array, "taps taps i o"]:
    """Transposed transform `G^T dU G` of every pair of channels."""
    inputs, outputs = shape[2:]
    rows: list[Array] = []
    for part in filters:
        columns = [x.reshape(-1, groups, inputs, outputs // groups) for x in part]
        rows += list(_stacked(combine(scheme.filters.T, columns), axis=2))  # [group, column, input, output] each
    by_group = jnp.stack(combine(scheme.filters.T, rows))
    return jnp.moveaxis(by_group, 1, 3).reshape(shape)


def _overlap_add(scheme: Scheme, parts: Sequence[Array], axis: int) -> list[Array]:
    """First cells of all tiles along `axis`, second cells of all tiles, and so on, each with what overlaps it."""

    def beside(part: Array, before: int, after: int) -> Array:
        return jnp.pad(part, [(before, after) if each == axis else (0, 0) for each in range(part.ndim)])

    whole = []
    for cell in range(scheme.tile):
        later = cell + scheme.tile  # the same cell in the tile before
        own = beside(parts[cell], 0, 1)
        whole.append(own + beside(parts[later], 1, 0) if later < scheme.products else own)
    return whole


def _each(spec: str, first: Products, second: Products) -> Products:
    """Einsum of every two matrices."""
    pairs = zip(first, second, strict=True)
    return lax.optimization_barrier([[jnp.einsum(spec, *both) for both in zip(*rows, strict=True)] for rows in pairs])


def _by_group(x: Float[Array, "r *shape channels"], groups: int) -> Float[Array, "r groups *shape _"]:
    """Array whose groups of channels are the second axis."""
    return jnp.moveaxis(x.reshape(*x.shape[:-1], groups, -1), -2, 1)


def _by_rows(scheme: Scheme, rows: Float[Array, " *shape"]) -> list[Float[Array, " *part"]]:
    """Row products that are worked on at a time."""
    return jnp.split(rows, scheme.products // ROWS_AT_A_TIME)


def _stacked(parts: Sequence[Array], axis: int) -> Array:
    """Parts along a new axis, behind a barrier that keeps XLA from computing them again for each of their uses."""
    return lax.optimization_barrier(jnp.stack(parts, axis=axis))


def _tiles(scheme: Scheme, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Number of maps, and of tiles down and across, for maps of this shape."""
    down, across = (-(-(side - scheme.taps + 1) // scheme.tile) for side in shape[1:3])
    return shape[0], down, across


def _joined(batches: Sequence[Products]) -> Products:
    """Tiles of all batches."""
    if len(batches) == 1:
        return batches[0]
    return lax.optimization_barrier(jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *batches))


def _separate(scheme: Scheme, products: Products, shapes: Shapes) -> list[Products]:
    """Tiles of each batch, from those of all."""
    ends = np.cumsum([0, *(math.prod(_tiles(scheme, shape)) for shape in shapes)]).tolist()
    return [jax.tree.map(lambda x, a=a, b=b: x[:, a:b], products) for a, b in itertools.pairwise(ends)]
