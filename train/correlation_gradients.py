"""Cross-correlation of exemplars with search features, with a gradient that CPUs compute quickly.

The gradient of the sum over shifted products puts each number of the response to where it came from. JAX derives a sum
of as many arrays as the exemplar has rows and columns, nearly all zeros; here they are put side by side instead.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfst_jax.fast import correlation
from mfst_jax.fast.correlation import CellProducts, multiply_cells

Responses = Float[Array, "n rows columns"]


@jax.custom_vjp
def sum_shifts(products: CellProducts) -> Responses:
    """Response as by `mfst_jax.fast.correlation.sum_shifts`."""
    return correlation.sum_shifts(products)


def _forward(products: CellProducts) -> tuple[Responses, tuple[int, ...]]:
    return sum_shifts(products), products.shape[3:]


def _backward(taps: tuple[int, ...], gradient: Responses) -> tuple[CellProducts]:
    high, wide = taps
    rows = [jnp.pad(gradient, ((0, 0), (u, high - 1 - u), (0, 0))) for u in range(high)]
    by_row = jnp.stack(rows, axis=-1)
    columns = [jnp.pad(by_row, ((0, 0), (0, 0), (v, wide - 1 - v), (0, 0))) for v in range(wide)]
    return (jnp.stack(columns, axis=-1),)


sum_shifts.defvjp(_forward, _backward)


def cross_correlate(exemplar: Float[Array, "h w c"], search: Float[Array, "n height width c"]) -> Responses:
    """Cross-correlation of one exemplar with search features, as by `mfst_jax.correlation.cross_correlate`."""
    return sum_shifts(multiply_cells(exemplar, search))


def correlate_pairs(exemplars: Float[Array, "n h w c"], searches: Float[Array, "n _ _ c"]) -> Float[Array, "n 17 17"]:
    """Cross-correlation of each exemplar with the search features of its own pair."""
    return jax.vmap(lambda z, x: cross_correlate(z, x[None])[0])(exemplars, searches)


def correlate_all(
    exemplars: Float[Array, "m h w c"], searches: Float[Array, "n height width c"]
) -> Float[Array, "m n 17 17"]:
    """Cross-correlation of each exemplar with all search features."""
    return jax.vmap(cross_correlate, in_axes=(0, None))(exemplars, searches)
