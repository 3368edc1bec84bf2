"""The score: how far the target's similarity at its new place stands out from the rest of the search region.

A fused map is divided by its own maximum, so its peak says little. Normalised cross-correlation says more: for each
layer it is the cosine, in [-1, 1], between the exemplar and the window under it. Features after a ReLU resemble each
other everywhere, so what counts is how much more the target's place resembles it than the rest does. docs/choices.md
has the measurements.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mfst_jax.config import Config, Layer, Model
from mfst_jax.localisation import CELL

LEAST_CONTRAST = 1e-3
"""Least range of the similarities in a search region at which one place can be told from another. In real frames the
range is at least ten times as large; in blank ones it is due to rounding, and a thousandth of it (docs/choices.md)."""


def has_contrast(similarity: Float[Array, "n n"]) -> Bool[Array, ""]:
    """Whether a map of mean similarities tells one place from another. False where it holds a NaN."""
    return contrast(similarity) > LEAST_CONTRAST


def contrast(similarity: Float[Array, "n n"]) -> Float[Array, ""]:
    """Range of a map of mean similarities: the highest less the lowest."""
    return jnp.max(similarity) - jnp.min(similarity)


def mean_similarity(
    exemplar: Mapping[Model, Mapping[Layer, Float[Array, "h w c"]]],
    responses: Mapping[Model, Mapping[Layer, Float[Array, "n n"]]],
    search: Mapping[Model, Mapping[Layer, Float[Array, "_ _ _"]]],
    config: Config,
) -> Float[Array, "n n"]:
    """Normalised cross-correlation `<z, x> / (|z| |x|)` at every cell, averaged over all layers of all models.

    Args:
      exemplar: features z of the target.
      responses: `factor <z, x>` for each window x.
      search: the features that the windows x are cut from.
      config: the layers in use, and their response factors.
    """
    maps = []
    for model, products in raw_responses(responses, config).items():
        for layer in config.layers(model):
            z, x = exemplar[model][layer], search[model][layer]
            maps.append(cosine(z, products[layer], window_energy(x[None], len(z))[0]))
    return jnp.mean(jnp.stack(maps), axis=0)


def raw_responses(
    responses: Mapping[Model, Mapping[Layer, Float[Array, "*regions n n"]]], config: Config
) -> dict[Model, dict[Layer, Float[Array, "*regions n n"]]]:
    """Cross-correlations `<z, x>` themselves, from response maps, which are `factor <z, x>`."""
    return {
        model: {
            layer: by_layer[layer] / factor
            for layer, factor in zip(config.layers(model), config.factors(model), strict=True)
        }
        for model, by_layer in responses.items()
    }


def cosine(
    exemplar: Float[Array, "h w c"], product: Float[Array, "*windows"], energy: Float[Array, "*windows"]
) -> Float[Array, "*windows"]:
    """Cosine `<z, x> / (|z| |x|)` of the exemplar z and each window x; 0 where either is all zero.

    Args:
      exemplar: z.
      product: `<z, x>` for each window.
      energy: `|x|**2` for each window.
    """
    squared_norms = energy * jnp.sum(jnp.square(exemplar))
    return product * jax.lax.rsqrt(jnp.where(squared_norms > 0, squared_norms, 1))  # all zero: 0 / 1


def window_energy(search: Float[Array, "n height width c"], side: int) -> Float[Array, "n rows columns"]:
    """Energy `|x|**2` of each window x of `side` x `side` cells."""
    squares = jnp.sum(jnp.square(search), axis=-1)
    return jax.lax.reduce_window(squares, 0.0, jax.lax.add, (1, side, side), (1, 1, 1), "VALID")


def peak_contrast_score(
    similarity: Float[Array, "n n"], offset: Float[Array, "2"], background: Float[Array, ""], config: Config
) -> Float[Array, ""]:
    """Score in (0, 1), `sigmoid(slope (s[peak] - background - midpoint))`.

    It is about the chance that the box overlaps the target with an IoU of over 1/2.

    Args:
      similarity: the map s of mean similarities at the chosen scale.
      offset: from the map's centre to the target's new place, (x, y) in samples of the search crop; the nearest cell is
        taken.
      background: the mean of s over the whole search region, from this frame or from the last one that was searched as
        a whole.
      config: the midpoint and the slope, as fitted on training sequences.
    """
    column, row = jnp.round(offset / CELL).astype(jnp.int32) + len(similarity) // 2
    contrast = similarity[row, column] - background
    return jax.nn.sigmoid(config.score_slope * (contrast - config.score_midpoint))
