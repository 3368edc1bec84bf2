"""Training of SE-blocks on a frozen backbone: what they begin with."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from mfst_jax.backbones import CHANNELS
from mfst_jax.config import LAYERS, Layer
from mfst_jax.params import Params
from mfst_jax.se_block import SEBlocks
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import Trainable


def layer_channels(params: Params, recipe: Recipe) -> dict[Layer, int]:
    """Numbers of channels of the features that the SE-blocks reweigh."""
    contents = params.contents
    variant = {"siamfc": "siamfc", "alexnet": "torchvision"}[contents.siamfc_variant]
    variant = variant if recipe.model == "siamfc" else contents.alexnet
    assert variant is not None, "the weights hold the recipe's backbone"
    return dict(zip(LAYERS, CHANNELS[variant][2:], strict=True))


def fresh(recipe: Recipe, params: Params, biases: Mapping[Layer, float]) -> Trainable:
    """SE-blocks with random weights by the recipe's seed, or with its first SE weight; and these biases or 0.

    Where blocks are shared, a layer with as many channels as the one before it has none (`Trainable.block_of_each`).
    """
    channels = layer_channels(params, recipe)
    seen = {layer: jnp.zeros((1, 1, 1, count)) for layer, count in channels.items()}
    blocks: dict[str, Any] = jax.jit(SEBlocks().init)(jax.random.key(recipe.seed), seen)["params"]
    if recipe.se_shared:
        alike = {layer for lower, layer in pairwise(LAYERS) if channels[layer] == channels[lower]}
        blocks = {layer: block for layer, block in blocks.items() if layer not in alike}
    if recipe.se_first_weight:
        blocks = {layer: _starting_at(recipe.se_first_weight, block) for layer, block in blocks.items()}
    return Trainable(blocks, {layer: jnp.float32(biases.get(layer, 0)) for layer in LAYERS})


def _starting_at(weight: float, block: dict[str, Any]) -> dict[str, Any]:
    """SE-block whose weights are all the same, whatever it sees: its last kernel is 0, its last bias their logit."""
    excite = block["excite"]
    bias = jnp.full_like(excite["bias"], math.log(weight / (1 - weight)))
    return {**block, "excite": {"kernel": jnp.zeros_like(excite["kernel"]), "bias": bias}}
