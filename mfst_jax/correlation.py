"""Cross-correlation of exemplar and search features (equation 4 of the paper), by convolution and by matrix product."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def cross_correlate(
    exemplar: Float[Array, "h w c"], search: Float[Array, "n height width c"]
) -> Float[Array, "n rows columns"]:
    """Cross-correlation of the exemplar with each search map (equation 4 of the paper).

    `r[n, i, j] = sum_{u, v, c} z[u, v, c] x[n, i + u, j + v, c]`, with `height - h + 1` rows and `width - w + 1`
    columns. This is the reference: one `lax` convolution with the exemplar as its only filter.
    """
    dimensions = ("NHWC", "HWIO", "NHWC")
    response = lax.conv_general_dilated(search, exemplar[..., None], (1, 1), "VALID", dimension_numbers=dimensions)
    return response[..., 0]


def cross_correlate_by_taps(
    exemplar: Float[Array, "h w c"], search: Float[Array, "n height width c"]
) -> Float[Array, "n rows columns"]:
    """Cross-correlation as by `cross_correlate`, faster on CPUs and under `vmap`.

    One matrix product has each cell of the exemplar with each search cell,
    `p[n, i, j, u, v] = sum_c x[n, i, j, c] z[u, v, c]`; its shifts are summed,
    `r[n, i, j] = sum_{u, v} p[n, i + u, j + v, u, v]`.
    """
    taps_high, taps_wide, _ = exemplar.shape
    rows, columns = search.shape[1] - taps_high + 1, search.shape[2] - taps_wide + 1
    products = jnp.einsum("nijc,uvc->nijuv", search, exemplar)
    by_row = jnp.asarray(sum(products[:, :, v : v + columns, :, v] for v in range(taps_wide)))
    return jnp.asarray(sum(by_row[:, u : u + rows, :, u] for u in range(taps_high)))
