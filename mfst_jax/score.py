"""How sure the tracker is: the contrast of the target's similarity at its new place against the rest of the region.

A fused map is divided by its own maximum, so its peak says little. Normalised cross-correlation says more: each layer's
is a cosine in [-1, 1] between the exemplar and the window under it. Features after a ReLU resemble each other
everywhere, so what tells is how far the target's place stands out from the rest: docs/choices.md has the figures.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mfst_jax.config import Config, Layer, Model
from mfst_jax.localisation import CELL

LEAST_CONTRAST = 1e-3
"""By how much similarities must differ within a search region for any place to be told from another. In real frames
they differ by ten times as much at least, in blank ones by rounding, a thousandth of it (docs/choices.md)."""


def has_contrast(similarity: Float[Array, "n n"]) -> Bool[Array, ""]:
    """Whether a map of mean similarities tells places apart. Not where it holds a NaN."""
    return contrast(similarity) > LEAST_CONTRAST


def contrast(similarity: Float[Array, "n n"]) -> Float[Array, ""]:
    """The highest of a map of mean similarities less the lowest."""
    return jnp.max(similarity) - jnp.min(similarity)


def mean_similarity(
    exemplar: Mapping[Model, Mapping[Layer, Float[Array, "factors h w c"]]],
    responses: Mapping[Model, Mapping[Layer, Float[Array, "n n"]]],
    search: Mapping[Model, Mapping[Layer, Float[Array, "_ _ _"]]],
    config: Config,
) -> Float[Array, "n n"]:
    """Normalised cross-correlation `<z, x> / (|z| |x|)` at every cell, averaged over all layers of all models.

    Args:
      exemplar: z at each of the exemplar's factors, of equal energy at all.
      responses: `factor <z, x>` for each window x, with z at one of them, and the response factors of `config`.
      search: the features that the windows are of.
      config: which layers are in use, and their factors.
    """
    maps = [
        cosine(z, responses[model][layer] / factor, window_energy(search[model][layer][None], z.shape[0])[0])
        for model in responses
        for layer, factor in zip(config.layers(model), config.factors(model), strict=True)
        for z in [exemplar[model][layer][0]]
    ]
    return jnp.mean(jnp.stack(maps), axis=0)


def cosine(
    exemplar: Float[Array, "h w c"], product: Float[Array, "*windows"], energy: Float[Array, "*windows"]
) -> Float[Array, "*windows"]:
    """`<z, x> / (|z| |x|)` for each window x, from the products and |x|**2; 0 where either is all zero."""
    squared_norms = energy * jnp.sum(jnp.square(exemplar))
    return product * jax.lax.rsqrt(jnp.where(squared_norms > 0, squared_norms, 1))  # all zero: 0 / 1


def window_energy(search: Float[Array, "n height width c"], side: int) -> Float[Array, "n rows columns"]:
    """`|x|**2` for each window x of `side` x `side` cells."""
    squares = jnp.sum(jnp.square(search), axis=-1)
    return jax.lax.reduce_window(squares, 0.0, jax.lax.add, (1, side, side), (1, 1, 1), "VALID")


def peak_contrast_score(
    similarity: Float[Array, "n n"], offset: Float[Array, "2"], background: Float[Array, ""], config: Config
) -> Float[Array, ""]:
    """`sigmoid(slope (s[peak] - background - midpoint))`: about the chance that the box overlaps the target by half.

    Args:
      similarity: s, of the chosen scale.
      background: the mean of s over the whole search region, now or when last it was searched as a whole.
      offset: from the centre to the new place, (x, y) in samples of the search crop; the nearest cell counts.
      config: with the midpoint and the slope, as fitted on training sequences.
    """
    column, row = jnp.round(offset / CELL).astype(jnp.int32) + len(similarity) // 2
    contrast = similarity[row, column] - background
    return jax.nn.sigmoid(config.score_slope * (contrast - config.score_midpoint))
