"""S itself as what is trained: SiamFC from random weights, by the response of its conv5 (Bertinetto et al. 2016)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Key

from mfst_jax.backbones import SiamFC
from mfst_jax.config import Layer
from mfst_jax.correlation import cross_correlate_by_taps
from mfst_jax.crops import EXEMPLAR_SIZE
from mfst_jax.params import Contents, Params
from train.augment import augment
from train.recipe import Recipe
from train.responses import Crops, Responses

LAYER: Layer = "conv5"
"""Whose response is trained."""


@struct.dataclass
class Backbone:
    """What is trained."""

    weights: dict[str, Any]
    """Parameters of `SiamFC`."""
    biases: dict[Layer, Any]
    """b of the response of conv5, a scalar. Tracking does without."""


def fresh(recipe: Recipe) -> tuple[Backbone, dict[str, Any]]:
    """Weights at random by the recipe's seed, and BN's running statistics, means of 0 and variances of 1."""
    image = jnp.zeros((1, EXEMPLAR_SIZE, EXEMPLAR_SIZE, 3))
    variables = jax.jit(SiamFC().init)(jax.random.key(recipe.seed), image)
    return Backbone(variables["params"], {LAYER: jnp.zeros(())}), variables["batch_stats"]


def responses(
    trainable: Backbone, running: dict[str, Any], crops: Crops, key: Key[Array, ""], recipe: Recipe
) -> tuple[Responses, dict[str, Any]]:
    """The response of conv5 to augmented crops without its bias, and BN's running statistics after them.

    In BN exemplars and search images are batches of their own, as they go through the network one after the other.
    """
    seen = []
    for images in augment(key, crops.exemplar, crops.search, recipe.augmentation):
        variables = {"params": trainable.weights, "batch_stats": running}
        features, moved = SiamFC(training=True).apply(variables, images, mutable=["batch_stats"])
        running = dict(moved["batch_stats"])
        seen.append(features[LAYER])
    maps = jax.vmap(lambda z, x: cross_correlate_by_taps(z, x[None])[0])(*seen)
    return {LAYER: recipe.factor(LAYER) * maps}, running


def with_backbone(params: Params, trainable: Backbone, running: dict[str, Any]) -> Params:
    """`params` with this S in the place of any other, whose SE-blocks go with it."""
    variables = {kind: {**branches} for kind, branches in params.variables.items()}
    variables["params"].pop("siamfc_se", None)
    variables["params"]["siamfc"] = jax.tree.map(np.asarray, trainable.weights)
    variables.setdefault("batch_stats", {})["siamfc"] = jax.tree.map(np.asarray, running)
    contents = dataclasses.replace(
        params.contents, siamfc=True, siamfc_se=False, siamfc_bias=False, siamfc_grey=False, config=None
    )
    return Params(variables, contents)


def alone(trainable: Backbone, running: dict[str, Any]) -> Params:
    """This S and nothing else."""
    return with_backbone(Params({"params": {}}, Contents(siamfc=True, alexnet=None)), trainable, running)
