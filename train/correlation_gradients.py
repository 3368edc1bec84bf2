"""Cross-correlation of exemplars with search features, as CPUs compute it and its gradient quickly.

The gradient of the sum over shifted products puts each number of the response to where it came from. JAX derives a sum
of as many arrays as the exemplar has rows and columns, nearly all zeros, and of many exemplars a product for each; here
the numbers are put side by side, for one product of all. Many exemplars take less time by their spectra.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfst_jax.fast.correlation import cross_correlate_by_taps
from mfst_jax.train.spectral_correlation import correlate_by_spectra

Exemplars = Float[Array, "m h w c"]
Searches = Float[Array, "n height width c"]

MANY_CELLS = 400
"""Number of cells of all exemplars from which spectra take CPUs less time than a product for each cell."""


def correlate_all(exemplars: Exemplars, searches: Searches) -> Float[Array, "m n rows columns"]:
    """Cross-correlation of each exemplar with all search features."""
    number, high, wide, _ = exemplars.shape
    if jax.default_backend() == "cpu" and number * high * wide >= MANY_CELLS:
        return correlate_by_spectra(exemplars, searches)
    return correlate_by_taps(exemplars, searches)


@jax.custom_vjp
def correlate_by_taps(exemplars: Exemplars, searches: Searches) -> Float[Array, "m n rows columns"]:
    """Cross-correlation of each exemplar with all search features, as by `cross_correlate_by_taps`."""
    return jax.vmap(cross_correlate_by_taps, in_axes=(0, None))(exemplars, searches)


def _forward(exemplars: Exemplars, searches: Searches) -> tuple[Array, tuple[Exemplars, Searches]]:
    return correlate_by_taps(exemplars, searches), (exemplars, searches)


def _backward(inputs: tuple[Exemplars, Searches], gradient: Float[Array, "m n r q"]) -> tuple[Exemplars, Searches]:
    exemplars, searches = inputs
    (_, high, wide, channels), (_, height, width, _) = exemplars.shape, searches.shape
    # dp[n, i, j, u, v, m] = dr[m, n, i - u, j - v], the gradient of the products of cells
    padded = jnp.pad(jnp.moveaxis(gradient, 0, -1), ((0, 0), (0, 0), (wide - 1, wide - 1), (0, 0)))
    by_column = jnp.stack([padded[:, :, wide - 1 - v :][:, :, :width] for v in range(wide)], axis=3)
    padded = jnp.pad(by_column, ((0, 0), (high - 1, high - 1), (0, 0), (0, 0), (0, 0)))
    of_products = jnp.stack([padded[:, high - 1 - u :][:, :height] for u in range(high)], axis=3)
    # As matrices, which XLA multiplies as they are; those of the einsums it would transpose.
    by_cell = of_products.reshape(-1, high * wide * len(exemplars))
    cells = jnp.moveaxis(exemplars, 0, 2)
    of_searches = by_cell @ cells.reshape(-1, channels)
    of_exemplars = by_cell.T @ searches.reshape(-1, channels)
    return jnp.moveaxis(of_exemplars.reshape(cells.shape), 2, 0), of_searches.reshape(searches.shape)


correlate_by_taps.defvjp(_forward, _backward)


def correlate_pairs(exemplars: Float[Array, "n h w c"], searches: Searches) -> Float[Array, "n rows columns"]:
    """Cross-correlation of each exemplar with the search features of its own pair."""
    return jax.vmap(lambda z, x: correlate_by_taps(z[None], x[None])[0, 0])(exemplars, searches)
