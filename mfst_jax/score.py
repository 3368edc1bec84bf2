"""How sure the tracker is: the contrast of the target's similarity at its new place against the rest of the region.

A fused map is divided by its own maximum, so its peak says little. Normalised cross-correlation says more: each layer's
is a cosine in [-1, 1] between the exemplar and the window under it. Features after a ReLU resemble each other
everywhere, so what tells is how far the target's place stands out from the rest: docs/choices.md has the figures.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfst_jax.config import Config, Layer, Model
from mfst_jax.correlation import cross_correlate_by_taps
from mfst_jax.localisation import CELL, RESPONSE_SIZE


def mean_similarity(
    exemplar: Mapping[Model, Mapping[Layer, Float[Array, "h w c"]]],
    search: Mapping[Model, Mapping[Layer, Float[Array, "height width c"]]],
) -> Float[Array, "17 17"]:
    """Normalised cross-correlation `<z, x> / (|z| |x|)` at every cell, averaged over all layers of all models."""
    maps = [
        normalised_correlation(exemplar[model][layer], features)
        for model, by_layer in search.items()
        for layer, features in by_layer.items()
    ]
    return jnp.mean(jnp.stack(maps), axis=0)


def normalised_correlation(
    exemplar: Float[Array, "h w c"], search: Float[Array, "height width c"]
) -> Float[Array, "rows columns"]:
    """The cosine between the exemplar and each window of the search features; 0 where either is all zero."""
    product = cross_correlate_by_taps(exemplar, search[None])[0]
    rows, columns = product.shape
    squares = jnp.sum(jnp.square(search), axis=-1)
    by_row = jnp.asarray(sum(squares[:, v : v + columns] for v in range(exemplar.shape[1])))
    energy = jnp.asarray(sum(by_row[u : u + rows] for u in range(exemplar.shape[0])))
    squared_norms = energy * jnp.sum(jnp.square(exemplar))
    return product * jax.lax.rsqrt(jnp.where(squared_norms > 0, squared_norms, 1))  # all zero: 0 / 1


def peak_contrast_score(
    similarity: Float[Array, "17 17"], offset: Float[Array, "2"], config: Config
) -> Float[Array, ""]:
    """`sigmoid(slope (s[peak] - mean(s) - midpoint))`: about the probability that the box overlaps the target by half.

    Args:
      similarity: s, of the chosen scale.
      offset: from the centre to the new place, (x, y) in samples of the search crop; the nearest cell counts.
      config: with the midpoint and the slope, as fitted on training sequences.
    """
    column, row = jnp.round(offset / CELL).astype(jnp.int32) + RESPONSE_SIZE // 2
    contrast = similarity[row, column] - jnp.mean(similarity)
    return jax.nn.sigmoid(config.score_slope * (contrast - config.score_midpoint))
