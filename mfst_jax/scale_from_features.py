"""Growth: the factor by which the target grew, told from the features of one search region around the peak.

The paper crops each frame at several scales. With features there is no need for a second crop: a target that grew by a
factor covers as many times more cells, so the cells around its new place are resampled, as if the region had been
cropped wider, and compared with the exemplar. docs/choices.md compares this with other ways.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.config import Config, Layer, Model
from mfst_jax.localisation import CELL, scale_priors
from mfst_jax.model import Exemplar
from mfst_jax.score import cosine

RegionFeatures = Mapping[Model, Mapping[Layer, Float[Array, "n n _"]]]


def growth_factor(
    exemplar: Exemplar, search: RegionFeatures, offset: Float[Array, "2"], config: Config
) -> Float[Array, ""]:
    """Scale factor at which the target looks most like its exemplar; 1 where no other makes it look more alike.

    Args:
      exemplar: the target's features.
      search: recalibrated features of one search region, or of its centre.
      offset: from the region's centre to the target's new place, (x, y) in samples of the search crop.
      config: the scale factors, the penalty on all but the middle one, and the tilt.
    """
    similarities = jnp.maximum(similarity_by_factor(exemplar, search, offset, config), 0) * scale_priors(config)
    best, middle = jnp.argmax(similarities).astype(jnp.int32), config.scale_count // 2
    chosen = jnp.where(similarities[best] > similarities[middle], best, middle)
    return jnp.asarray(config.scale_factors(), jnp.float32)[chosen]


def similarity_by_factor(
    exemplar: Exemplar, search: RegionFeatures, offset: Float[Array, "2"], config: Config
) -> Float[Array, " scales"]:
    """Cosine similarity of the exemplar and the features at the target's new place, for each scale factor.

    It is averaged over all layers of all models. The arguments are those of `growth_factor`.
    """
    by_layer = []
    for model, targets in exemplar.features.items():
        for layer in config.layers(model):
            target, maps = targets[layer], search[model][layer]
            windows = resample(maps, offset[::-1] / CELL, len(target), config.scale_factors())
            products = jnp.einsum("suvc,uvc->s", windows, target)
            energies = jnp.sum(jnp.square(windows), axis=(1, 2, 3))
            by_layer.append(cosine(target, products, energies))
    return jnp.mean(jnp.stack(by_layer), axis=0)


def damped(factor: Float[Array, "*shape"], damping: float | Float[Array, ""]) -> Float[Array, "*shape"]:
    """Factor on the running scale, of which the new `factor` makes up a share: `1 - damping + damping * factor`."""
    return 1 - damping + damping * factor


def resample(
    maps: Float[Array, "n n c"], offset: Float[Array, "2"], side: int, factors: tuple[float, ...]
) -> Float[Array, "factors side side c"]:
    """Grids of `side` x `side` points from a feature map, one for each factor, interpolated bilinearly.

    Args:
      maps: features of one layer.
      offset: (rows, columns) in cells from the centre of the map to the centre of the grids. Beyond the map its edge is
        repeated.
      side: points in a row of a grid.
      factors: cells from one point of a grid to the next.
    """
    size = len(maps)
    middle = offset + (size - 1) / 2
    reach = (side - 1) / 2 * max(factors)
    within = min(math.ceil(2 * reach) + 2, size)  # cells in a row that the interpolation reads
    first = jnp.clip(jnp.floor(middle - reach).astype(jnp.int32), 0, size - within)
    patch = lax.dynamic_slice(maps, (*first, np.int32(0)), (within, within, maps.shape[-1]))
    steps = np.multiply.outer(np.array(factors), np.arange(side) - (side - 1) / 2).astype(np.float32)

    def weights(axis: int) -> Float[Array, "factors side within"]:
        places = jnp.clip(middle[axis] + steps, 0, size - 1) - first[axis].astype(jnp.float32)
        return jax.nn.relu(1 - jnp.abs(places[..., None] - np.arange(within, dtype=np.float32)[None, None]))

    rows = jnp.einsum("suy,yxc->suxc", weights(0), patch)
    return jnp.einsum("svx,suxc->suvc", weights(1), rows)
