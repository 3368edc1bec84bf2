"""Fusion of response maps, of layers and then of models: hard weight, soft mean, soft weight (paper section III-C)."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from mfst_jax.config import MODELS, Config, Model, Strategy


def fuse(
    responses: Float[Array, "maps scales h w"], strategy: Strategy, weights: Sequence[float]
) -> Float[Array, "scales h w"]:
    """Fused response map of each scale, by one of the paper's three strategies.

    Args:
      responses: the maps r_t to fuse, each over all scales. max(r_t) is ONE number over scales and positions.
      strategy: hard weight, soft mean or soft weight.
      weights: w_t, one for each map; `soft_mean` ignores them.
    """
    shares = jnp.asarray(weights, responses.dtype).reshape(-1, 1, 1, 1)
    match strategy:
        case "hard":  # Eq. (5): r* = sum_t w_t r_t
            return jnp.sum(shares * responses, axis=0)
        case "soft_mean":  # Eq. (6): r* = sum_t r_t / max(r_t)
            return jnp.sum(by_maximum(responses), axis=0)
        case "soft":  # Eq. (7): r* = sum_t w_t r_t / max(r_t)
            return jnp.sum(shares * by_maximum(responses), axis=0)


def by_maximum(responses: Float[Array, "maps scales h w"]) -> Float[Array, "maps scales h w"]:
    """Maps r_t / |max(r_t)|.

    Signs stay, so that a map below zero everywhere keeps its peak; a map of zeros stays zero.
    """
    peak = jnp.abs(jnp.max(responses, axis=(1, 2, 3), keepdims=True))
    return responses / jnp.where(peak > 0, peak, 1)


def fuse_hierarchy(
    responses: dict[Model, Float[Array, "layers scales h w"]], config: Config
) -> Float[Array, "scales h w"]:
    """Final map of each scale: the layers of each model are fused first, then the models."""
    # Sec. III-C: r^S and r^A of the layers, then the final map of the two
    models = [model for model in MODELS if model in responses]
    maps = [fuse(responses[model], config.fusion(model), config.weights(model)) for model in models]
    if len(maps) == 1:
        return maps[0]
    return fuse(jnp.stack(maps), config.model_fusion, config.model_weights)
