"""Cross-correlation by matrix product, which on CPUs and under `vmap` is faster than a convolution."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def cross_correlate_by_taps(
    exemplar: Float[Array, "h w c"], search: Float[Array, "n height width c"]
) -> Float[Array, "n rows columns"]:
    """Cross-correlation as by `mfst_jax.correlation.cross_correlate`.

    One matrix product has each cell of the exemplar with each search cell,
    `p[n, i, j, u, v] = sum_c x[n, i, j, c] z[u, v, c]`; its shifts are summed,
    `r[n, i, j] = sum_{u, v} p[n, i + u, j + v, u, v]`.
    """
    taps_high, taps_wide, _ = exemplar.shape
    rows, columns = search.shape[1] - taps_high + 1, search.shape[2] - taps_wide + 1
    products = jnp.einsum("nijc,uvc->nijuv", search, exemplar)
    by_row = jnp.asarray(sum(products[:, :, v : v + columns, :, v] for v in range(taps_wide)))
    return jnp.asarray(sum(by_row[:, u : u + rows, :, u] for u in range(taps_high)))
