"""Losses: the labels of a response map, and the balanced logistic loss (Bertinetto et al. 2016, section 2.2)."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mfst_jax.localisation import CELL, RESPONSE_SIZE

HIGHEST = 16
"""Number of highest cells of a map that `nothing_there` counts."""


def labels(radius: float = 16.0) -> Bool[np.ndarray, "17 17"]:
    """Labels of a response map: True where `|dx| + |dy|` from the centre is at most `radius` samples of the crop.

    A cell is 8 samples wide. The distance is that of the authors' code. At a radius of 16 it gives 13 cells, the same
    as the Euclidean one of SiamFC's paper.
    """
    offset = np.abs(np.arange(RESPONSE_SIZE) - (RESPONSE_SIZE - 1) // 2) * CELL
    x, y = np.meshgrid(offset, offset)
    return x + y <= radius


def balanced_logistic(
    responses: Float[Array, "*batch 17 17"], positive: Bool[Array, "17 17"]
) -> Float[Array, "*batch"]:
    """Balanced logistic loss `sum_u a_u log(1 + exp(-y_u r_u))` of each response map.

    y is 1 on positive cells and -1 on others; each kind weighs 1/2 in total.
    """
    positive = jnp.broadcast_to(positive, responses.shape)
    # log(1 + exp(-y r)) = softplus(-y r)
    costs = jax.nn.softplus(jnp.where(positive, -responses, responses))
    return 0.5 * (_mean(costs, positive) + _mean(costs, ~positive))


def nothing_there(
    responses: Float[Array, "exemplars searches 17 17"], different: Bool[Array, "exemplars searches"]
) -> Float[Array, ""]:
    """Loss of maps that should show nothing: `log(1 + exp(r))` of their highest cells, averaged over such maps.

    Args:
      responses: of each exemplar to each search image.
      different: which of them are of different videos.
    """
    highest = jax.lax.top_k(responses.reshape(*responses.shape[:2], -1), HIGHEST)[0]
    costs = jnp.mean(jax.nn.softplus(highest), axis=-1)
    return jnp.sum(costs, where=different) / jnp.maximum(jnp.sum(different), 1).astype(costs.dtype)


def _mean(costs: Float[Array, "*batch 17 17"], where: Bool[Array, "*batch 17 17"]) -> Float[Array, "*batch"]:
    return jnp.mean(costs, axis=(-2, -1), where=where)
