"""Training of the backbone S itself, by the responses of its layers (Bertinetto et al. 2016).

Its network is SiamFC's, from random weights, or torchvision's AlexNet, from the weights that it got on ImageNet: as
SiamRPN and its successors start, with the first convolutions frozen.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, Float, Key

from mfst_jax import backbones
from mfst_jax.config import Layer
from mfst_jax.crops import EXEMPLAR_SIZE
from mfst_jax.errors import InputError
from mfst_jax.fast.correlation import cross_correlate_by_taps
from mfst_jax.params import Contents, Params
from mfst_jax.train.backbone_operations import operations
from mfst_jax.train.data.augmentation import augment
from mfst_jax.train.data.pairs import Crops
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import Features, Others, Responses, correlate_pairs

FIRST_LOG_FACTOR, FIRST_BIAS = 1.5, -2.0
"""Where the factor of A's response and the bias beside it start: A's response is between 0 and 1."""
CONVOLUTIONS = tuple(f"conv{number}" for number in range(1, 6))


@struct.dataclass
class Backbone:
    """Trainable parameters.

    Attributes:
      weights: Parameters of S by layer, without those that are frozen.
      biases: Bias b of each trained response, a scalar. Tracking does without.
      beside: Logarithm of the factor of A's response, and the bias, in the sum of S's conv5's response and A's; empty
        where that has no loss. Tracking does without.
    """

    weights: dict[str, Any]
    biases: dict[Layer, Any]
    beside: dict[str, Any] = struct.field(default_factory=dict)


def fresh(recipe: Recipe, params: Params, biases: Mapping[Layer, float]) -> tuple[Backbone, dict[str, Any]]:
    """First weights of S, and BN's running statistics, means of 0 and variances of 1, where it has BN.

    Raises:
      InputError: the recipe starts from AlexNet, and `params` holds none of torchvision's shape.
    """
    starts = {layer: jnp.float32(biases.get(layer, 0)) for layer in recipe.layers}
    if recipe.network == "alexnet":
        weights = _imagenet(params)
        trained = {name: weights[name] for name in CONVOLUTIONS[recipe.frozen_convolutions :]}
        beside = {}
        if recipe.beside_alexnet:
            beside = {"log_factor": jnp.float32(FIRST_LOG_FACTOR), "bias": starts["conv5"] + FIRST_BIAS}
        return Backbone(jax.tree.map(jnp.asarray, trained), starts, beside), {}
    image = jnp.zeros((1, EXEMPLAR_SIZE, EXEMPLAR_SIZE, 3))
    variables = jax.jit(backbones.SiamFC().init)(jax.random.key(recipe.seed), image)
    return Backbone(variables["params"], starts), variables["batch_stats"]


def frozen_part(recipe: Recipe, params: Params) -> dict[str, Any]:
    """Parameters of the frozen convolutions. Raises `InputError` as `fresh` does."""
    if recipe.network != "alexnet":
        return {}
    weights = _imagenet(params)
    return {name: weights[name] for name in CONVOLUTIONS[: recipe.frozen_convolutions]}


def above_kept(params: Params) -> dict[str, Any]:
    """Parameters of A's conv4 and conv5, which kept features of conv3 go through. Raises as `fresh` does."""
    weights = _imagenet(params)
    return {name: weights[name] for name in CONVOLUTIONS[3:]}


def _imagenet(params: Params) -> dict[str, Any]:
    if params.contents.alexnet != "torchvision":
        raise InputError(f"weights: expected torchvision's AlexNet to start from, found {params.contents.describe()}")
    return params.variables["params"]["alexnet"]


def features(
    trainable: Backbone,
    frozen: dict[str, Any],
    running: dict[str, Any],
    images: Float[Array, "n side side 3"],
    recipe: Recipe,
) -> tuple[Features, dict[str, Any]]:
    """Features of conv3 to conv5, by the batch's statistics, and BN's running statistics after them.

    Args:
      trainable: the parameters that are trained.
      frozen: the others.
      running: BN's running statistics before.
      images: RGB in 0..255.
      recipe: which network S is.
    """
    network = backbones.siamfc(contents(recipe), training=True, **operations())
    variables = {"params": {**lax.stop_gradient(frozen), **trainable.weights}, "batch_stats": running}
    apply: Any = network.apply
    found, moved = apply(variables, images, mutable=["batch_stats"])
    return found, dict(moved.get("batch_stats", {}))


def responses(
    trainable: Backbone,
    frozen: dict[str, Any],
    running: dict[str, Any],
    crops: Crops,
    key: Key[Array, ""],
    recipe: Recipe,
) -> tuple[Responses, Others | None, dict[str, Any]]:
    """Responses of augmented crops without their biases, and BN's running statistics after them.

    In BN exemplars and search images are batches of their own, as they go through the network one after the other.

    Returns:
      The responses of the pairs by trained layer; where the recipe asks for it those of each exemplar to each search
      image; and the running statistics.
    """
    seen = []
    for images in augment(key, crops.exemplar, crops.search, recipe.augmentation):
        found, running = features(trainable, frozen, running, images, recipe)
        seen.append(found)
    exemplars, searches = seen
    of_pairs, of_all = {}, {}
    for layer in recipe.layers:
        z, x = recipe.factor(layer) * exemplars[layer], searches[layer]
        if recipe.other_videos:
            of_all[layer] = jax.vmap(cross_correlate_by_taps, in_axes=(0, None))(z, x)
            of_pairs[layer] = of_all[layer][jnp.arange(len(z)), jnp.arange(len(z))]
        else:
            of_pairs[layer] = correlate_pairs(z, x)
    different = jnp.asarray(crops.video)[:, None] != crops.video[None]
    return of_pairs, Others(of_all, different) if recipe.other_videos else None, running


def contents(recipe: Recipe) -> Contents:
    """Contents of weights of this S alone."""
    return Contents(siamfc=True, alexnet=None, siamfc_variant=recipe.network)


def with_backbone(params: Params, trainable: Backbone, running: dict[str, Any], recipe: Recipe) -> Params:
    """Weights that the run began with, with this S in the place of any other S and its SE-blocks."""
    variables = {kind: {**branches} for kind, branches in params.variables.items()}
    variables["params"].pop("siamfc_se", None)
    variables.setdefault("batch_stats", {}).pop("siamfc", None)
    new = {"params": {**frozen_part(recipe, params), **trainable.weights}, "batch_stats": running}
    for kind, branch in new.items():
        if branch:
            variables[kind]["siamfc"] = jax.tree.map(np.asarray, branch)
    of_s, beside = contents(recipe), params.contents
    held = dataclasses.replace(of_s, alexnet=beside.alexnet, alexnet_se=beside.alexnet_se)
    return Params({kind: branches for kind, branches in variables.items() if branches}, held)


def alone(params: Params, trainable: Backbone, running: dict[str, Any], recipe: Recipe) -> Params:
    """Weights of this S and nothing else."""
    both = with_backbone(params, trainable, running, recipe)
    only = {kind: {"siamfc": branches["siamfc"]} for kind, branches in both.variables.items() if "siamfc" in branches}
    return Params(only, contents(recipe))
