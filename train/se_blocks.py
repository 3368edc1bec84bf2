"""Training of SE-blocks on a frozen backbone."""

from collections.abc import Mapping

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
    """Random SE-blocks by the recipe's seed, and these biases or 0."""
    seen = {layer: jnp.zeros((1, 1, 1, channels)) for layer, channels in layer_channels(params, recipe).items()}
    blocks = jax.jit(SEBlocks().init)(jax.random.key(recipe.seed), seen)["params"]
    return Trainable(blocks, {layer: jnp.float32(biases.get(layer, 0)) for layer in LAYERS})
