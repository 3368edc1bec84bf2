"""Growth: the factor by which the target grew, told from the features of one search region around the peak.

The paper crops each frame at several scales. With features there is no need for a second crop: a target that grew by a
factor covers as many times more cells, so the cells around its new place are resampled, as if the region had been
cropped wider, and compared with the exemplar and, if asked for, with what the target looked like lately. A target that
turned may no longer tell its size by the exemplar. docs/choices.md compares this with other ways.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.config import Config, Layer, Model
from mfst_jax.localisation import CELL, scale_priors
from mfst_jax.model import Exemplar
from mfst_jax.score import cosine

RECENT_RATE = 0.05
"""Share of a new frame in the features of the target as it has looked lately."""

RegionFeatures = Mapping[Model, Mapping[Any, Float[Array, "n n _"]]]
"""Recalibrated features of one search region, or of its centre."""
TargetFeatures = Mapping[Model, Mapping[Layer, Float[Array, "_ _ _"]]]
"""Features of the target: those of the exemplar, or of the same shapes."""


def growth_factor(
    exemplar: Exemplar,
    search: RegionFeatures,
    offset: Float[Array, "2"],
    config: Config,
    recent: TargetFeatures | None = None,
    recent_share: float | Float[Array, ""] = 0.0,
) -> Float[Array, ""]:
    """Scale factor at which the target looks most like itself; 1 where no other makes it look more alike.

    Args:
      exemplar: the target's features in the first frame.
      search: features of the search region.
      offset: from the region's centre to the target's new place, (x, y) in samples of the search crop.
      config: the scale factors, the penalty on all but the middle one, and the tilt.
      recent: the target's features as it has looked lately; none where the exemplar alone counts.
      recent_share: share of `recent` in the similarity.
    """
    similarities = similarity_by_factor(exemplar.features, search, offset, config)
    if recent:
        similarities += recent_share * (similarity_by_factor(recent, search, offset, config) - similarities)
    similarities = jnp.maximum(similarities, 0) * scale_priors(config)
    best, middle = jnp.argmax(similarities).astype(jnp.int32), config.scale_count // 2
    chosen = jnp.where(similarities[best] > similarities[middle], best, middle)
    return jnp.asarray(config.scale_factors(), jnp.float32)[chosen]


def similarity_by_factor(
    target: TargetFeatures, search: RegionFeatures, offset: Float[Array, "2"], config: Config
) -> Float[Array, " scales"]:
    """Cosine similarity of the target and the features at its new place, for each scale factor.

    It is averaged over all layers of all models.

    Args:
      target: its features.
      search: features of the search region.
      offset: from the region's centre to the target's new place, (x, y) in samples of the search crop.
      config: the scale factors, and the layers in use.
    """
    by_layer = []
    factors, widest = np.array(config.scale_factors()), config.scale_factors()[-1]
    for model, targets in target.items():
        for layer in config.layers(model):
            features, maps = targets[layer], search[model][layer]
            windows = resample(maps, offset[::-1] / CELL, len(features), factors, widest)
            products = jnp.einsum("suvc,uvc->s", windows, features)
            energies = jnp.sum(jnp.square(windows), axis=(1, 2, 3))
            by_layer.append(cosine(features, products, energies))
    return jnp.mean(jnp.stack(by_layer), axis=0)


def learn_recent(
    recent: dict[Model, dict[Layer, Float[Array, "_ _ _"]]],
    search: RegionFeatures,
    offset: Float[Array, "2"],
    growth: Float[Array, ""],
    config: Config,
) -> dict[Model, dict[Layer, Float[Array, "_ _ _"]]]:
    """Features of the target as it has looked lately, after a further frame: a running mean.

    Args:
      recent: those so far.
      search: features of the search region.
      offset: from the region's centre to the target's new place, (x, y) in samples of the search crop.
      growth: the factor by which the target grew in this frame; the greatest of the scale factors if it is greater.
      config: the scale factors, and the layers in use; those of others stay.
    """
    widest = config.scale_factors()[-1]
    factors = jnp.minimum(growth, widest)[None]

    def learn(before: Array, maps: Array) -> Array:
        (now,) = resample(maps, offset[::-1] / CELL, len(before), factors, widest)
        return before + RECENT_RATE * (now - before)

    return {
        model: by_layer | {layer: learn(by_layer[layer], search[model][layer]) for layer in config.layers(model)}
        for model, by_layer in recent.items()
    }


def damped(factor: Float[Array, "*shape"], damping: float | Float[Array, ""]) -> Float[Array, "*shape"]:
    """Factor on the running scale, of which the new `factor` makes up a share: `1 - damping + damping * factor`."""
    return 1 - damping + damping * factor


def resample(
    maps: Float[Array, "n n c"],
    offset: Float[Array, "2"],
    side: int,
    factors: Float[Any, " factors"],
    widest: float,
) -> Float[Array, "factors side side c"]:
    """Grids of `side` x `side` points from a feature map, one for each factor, interpolated bilinearly.

    Args:
      maps: features of one layer.
      offset: (rows, columns) in cells from the centre of the map to the centre of the grids. Beyond the map its edge is
        repeated.
      side: points in a row of a grid.
      factors: cells from one point of a grid to the next.
      widest: a bound of the factors.
    """
    size = len(maps)
    middle = offset + (size - 1) / 2
    reach = (side - 1) / 2 * widest
    within = min(math.ceil(2 * reach) + 2, size)  # cells in a row that the interpolation reads
    first = jnp.clip(jnp.floor(middle - reach).astype(jnp.int32), 0, size - within)
    patch = lax.dynamic_slice(maps, (*first, np.int32(0)), (within, within, maps.shape[-1]))
    steps = (factors[:, None] * (np.arange(side, dtype=factors.dtype) - (side - 1) / 2)[None]).astype(np.float32)

    def weights(axis: int) -> Float[Array, "factors side within"]:
        places = jnp.clip(middle[axis] + steps, 0, size - 1) - first[axis].astype(jnp.float32)
        return jax.nn.relu(1 - jnp.abs(places[..., None] - np.arange(within, dtype=np.float32)[None, None]))

    rows = jnp.einsum("suy,yxc->suxc", weights(0), patch)
    return jnp.einsum("svx,suxc->suvc", weights(1), rows)
