"""Toom-Cook convolution: `tile` outputs of a filter of `taps` by `tile + taps - 1` products instead of `tile * taps`.

For d inputs and a filter g, `y = A ((G g) * (B d))`, the three matrices by polynomial products at chosen points; in two
dimensions each matrix works on rows, then on columns (Winograd 1980; Lavin and Gray 2016 for neural networks). Each of
the products between the transforms is one matrix product over channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, reduce
from itertools import combinations
from operator import add
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.fast.ordering import sequence_after

Polynomial = list[Fraction]  # coefficients, the constant first
Filters = Sequence[Sequence[Float[Any, "_ _ _"]]]
"""Transformed filters: for every `ROWS_AT_A_TIME` row products, for each column product, matrices [row products x
groups, inputs, outputs]."""


@dataclass(frozen=True)
class Scheme:
    """Scheme F(tile, taps): where the inputs are cut, and at which points they are multiplied.

    Attributes:
      tile: Outputs of a tile.
      taps: Taps of the filter.
      points: All points but the last one, which is infinity.
    """

    tile: int
    taps: int
    points: tuple[Fraction, ...]

    @property
    def products(self) -> int:
        """Number of products for a tile, which is also the number of inputs that it reads."""
        return self.tile + self.taps - 1

    @cached_property
    def outputs(self) -> np.ndarray:
        """Matrix A [tile, products]: powers of the points, transposed."""
        return self._powers(self.tile).T

    @cached_property
    def filters(self) -> np.ndarray:
        """Matrix G [products, taps]: powers of the points, each over its differences from the others."""
        scales = [np.prod([float(p - q) for q in self.points if q != p]) for p in self.points]
        return self._powers(self.taps) / np.array([*scales, 1.0])[:, None]

    @cached_property
    def inverse(self) -> tuple[tuple[int, ...], np.ndarray]:
        """As many products as there are taps, and the matrix [taps, taps], float32, that makes the filter of them.

        They are those for which the matrix has the least norm, and so loses the least to rounding.
        """
        choices = np.array([*combinations(range(self.products), self.taps)])
        inverses = np.linalg.inv(self.filters[choices])
        best = np.argmin(np.linalg.norm(inverses, axis=(1, 2)))
        return tuple(choices[best].tolist()), inverses[best].astype(np.float32)

    @cached_property
    def inputs(self) -> np.ndarray:
        """Matrix B [products, products]: the coefficients of `prod_q (x - q)`, each point without its own factor."""
        rows = [[*_expand([q for q in self.points if q != p]), Fraction(0)] for p in self.points]
        return np.array([*rows, _expand(self.points)], np.float64)

    def sweep(self, x: Float[Array, "..."], tiles: int, axis: int) -> list[Float[Array, "..."]]:
        """Inputs of all tiles along `axis`: the first of every tile, the second of every tile, and so on."""
        span = self.tile * (tiles - 1) + 1
        return [lax.slice_in_dim(x, start, start + span, self.tile, axis) for start in range(self.products)]

    def _powers(self, count: int) -> np.ndarray:
        infinity = [0] * (count - 1) + [1]
        return np.array([*([p**k for k in range(count)] for p in self.points), infinity], np.float64)


def _expand(roots: Sequence[Fraction]) -> Polynomial:
    """Coefficients of `prod (x - root)`."""
    coefficients = [Fraction(1)]
    for root in roots:
        lower = [-root * c for c in coefficients] + [Fraction(0)]
        coefficients = [a + b for a, b in zip(lower, [Fraction(0), *coefficients], strict=True)]
    return coefficients


def _symmetric(*points: str) -> tuple[Fraction, ...]:
    """Points and their negatives; 0 counts once."""
    return tuple(sign * Fraction(p) for p in points for sign in (1, -1) if p != "0" or sign == 1)


# The points are those of least rounding error among small fractions; the textbook's 0, 1, 2 have up to four times that.
F_4_3 = Scheme(4, 3, _symmetric("0", "3/4", "3/2"))
F_6_5 = Scheme(6, 5, _symmetric("0", "2/5", "4/5", "5/4", "5/2"))
F_6_6 = Scheme(6, 6, _symmetric("1/4", "1/2", "1", "3/2", "11/4"))


ROWS_AT_A_TIME = 2
"""Number of row products that are worked on at a time.

XLA shares products out between cores where more than eight are queued for one, and some become ready late, since only
then does it look whether another core is idle; by itself Eigen shares out none of fewer than some thousand outputs. One
at a time is 2 % faster at best, for one and a half times the time to compile."""


def transform_filters(kernel: Float[np.ndarray, "taps taps i o"], groups: int, scheme: Scheme) -> Filters:
    """Transformed filters `G g G^T` for each pair of channels, in the order in which `convolve` works on them."""
    products, inputs, outputs = scheme.products, kernel.shape[2], kernel.shape[3]
    both = np.einsum("pu,qv->pquv", scheme.filters, scheme.filters).reshape(products**2, -1)
    transformed = both @ kernel.reshape(-1, inputs * outputs)  # one product, where einsum takes ten times as long
    shape = -1, ROWS_AT_A_TIME, products, inputs, groups, outputs // groups
    parts = transformed.reshape(shape).transpose(0, 2, 1, 4, 3, 5).astype(np.float32)
    return tuple(tuple(part.reshape(products, -1, *part.shape[-2:])) for part in parts)


def restore_kernel(filters: Filters, scheme: Scheme) -> Float[Array, "taps taps i o"]:
    """Kernel that `transform_filters` was given.

    As few of the products as tell it are read, since copies of them all would take several times the kernel's memory.
    """
    products, inverse = scheme.inverse
    groups = len(filters[0][0]) // ROWS_AT_A_TIME

    def of(row: int, column: int) -> Float[Any, "groups i o"]:
        first = row % ROWS_AT_A_TIME * groups
        return filters[row // ROWS_AT_A_TIME][column][first : first + groups]

    chosen = jnp.stack([jnp.stack([of(row, column) for column in products]) for row in products])
    kernel = jnp.einsum("ur,vc,rcgio->uvigo", inverse, inverse, chosen, precision="highest")
    return kernel.reshape(scheme.taps, scheme.taps, chosen.shape[-2], -1)


def convolve(
    maps: Float[Array, "n h w i"],
    filters: Filters,
    scheme: Scheme,
    *,
    done: Any = (),
) -> list[Float[Array, "n down across tile groups o"]]:
    """Convolution of maps without padding, as the first row of every tile, the second of every tile, and so on.

    Args:
      maps: of at least `scheme.taps` cells on a side.
      filters: from `transform_filters`. With fewer inputs than the maps have channels, there are groups.
      scheme: the scheme of the filters.
      done: what has to be computed before (`ordering.sequence_after`).

    Returns:
      Rows, of which `join` and `join_pooled` make maps.
    """
    n, height, width, channels = maps.shape
    tile, groups = scheme.tile, channels // filters[0][0].shape[1]
    down, across = (-(-(side - scheme.taps + 1) // tile) for side in (height, width))
    below, beside = (tile * tiles + scheme.taps - 1 - side for tiles, side in ((down, height), (across, width)))
    maps = jnp.pad(maps, ((0, 0), (0, below), (0, beside), (0, 0)))

    # Barriers keep XLA from fusing each pass into the next, which would compute it again for each of its uses.
    # V = B d B^T
    rows = jnp.stack(combine(scheme.inputs, scheme.sweep(maps, down, axis=1)))
    rows = lax.optimization_barrier(sequence_after(done, rows))
    row_products: list[Float[Array, "n down across tile groups o"]] = []
    for part, matrices in zip(jnp.split(rows, len(filters)), filters, strict=True):
        columns = scheme.sweep(part, across, axis=3)  # [row product, n, tile row, tile column, channel] each
        columns = [jnp.moveaxis(x.reshape(*x.shape[:-1], groups, channels // groups), -2, 1) for x in columns]
        inputs = lax.optimization_barrier(combine(scheme.inputs, columns))

        # M = V U for each row product and group, and each column product by itself.
        inputs = [x.reshape(-1, n * down * across, channels // groups) for x in inputs]
        outputs = [jnp.einsum("pmi,pio->pmo", x, u) for x, u in zip(inputs, matrices, strict=True)]

        # y = A M A^T, here by columns
        columns = jnp.stack(combine(scheme.outputs, lax.optimization_barrier(outputs)), axis=1)
        columns = lax.optimization_barrier(columns).reshape(-1, groups, tile, n, down, across, columns.shape[-1])
        row_products += [x.transpose(2, 3, 4, 1, 0, 5) for x in columns]
    return combine(scheme.outputs, row_products)


def join(rows: Sequence[Float[Array, "n down *rest"]]) -> Float[Array, "n rows *rest"]:
    """Maps from the rows of their tiles."""
    joined = lax.optimization_barrier(jnp.stack(rows, axis=2))
    return joined.reshape(len(joined), -1, *joined.shape[3:])


def join_pooled(rows: Sequence[Float[Array, "n down *rest"]]) -> Float[Array, "n rows *rest"]:
    """Maxima of each three rows at stride 2, from the rows of even tiles; the last one is not to be used."""
    rows = [*rows, jnp.concatenate([rows[0][:, 1:], rows[0][:, -1:]], axis=1)]  # and the next tile's first
    triples = zip(rows[:-2:2], rows[1:-1:2], rows[2::2], strict=True)
    return join([jnp.maximum(jnp.maximum(first, second), third) for first, second, third in triples])


def combine(matrix: np.ndarray, parts: Sequence[Float[Array, "..."]]) -> list[Float[Array, "..."]]:
    """Parts combined as by `matrix @ parts`."""
    return [
        reduce(add, [factor * part for factor, part in zip(row, parts, strict=True) if factor != 0])
        for row in matrix.tolist()
    ]
