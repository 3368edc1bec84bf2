"""Cross-correlation of exemplar and search features."""

from jax import lax
from jaxtyping import Array, Float


def cross_correlate(
    exemplar: Float[Array, "h w c"], search: Float[Array, "n height width c"]
) -> Float[Array, "n rows columns"]:
    """Cross-correlation of the exemplar with each search map: a convolution with the exemplar as its only filter.

    `r[n, i, j] = sum_{u, v, c} z[u, v, c] x[n, i + u, j + v, c]`, with `height - h + 1` rows and `width - w + 1`
    columns. Prepared weights compute the same by matrix products (`mfst_jax.fast.correlation`).
    """
    # Eq. (4): r(z, x) = corr(F*(z), F*(x))
    dimensions = ("NHWC", "HWIO", "NHWC")
    response = lax.conv_general_dilated(search, exemplar[..., None], (1, 1), "VALID", dimension_numbers=dimensions)
    return response[..., 0]
