"""Training of the backbone S itself, by the responses of its layers (Bertinetto et al. 2016).

Its network is SiamFC's, from random weights, or torchvision's AlexNet, from the weights that it got on ImageNet: as
SiamRPN and its successors start, with the first convolutions frozen.
"""

import dataclasses
from collections.abc import Mapping, Sequence
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
from mfst_jax.fast.backbones import BELOW, Backbones
from mfst_jax.fast.prepared import PreparedParams, prepare_below
from mfst_jax.params import Contents, Params
from mfst_jax.train import siamfc_network, upper_convolutions
from mfst_jax.train.backbone_operations import operations
from mfst_jax.train.correlation_gradients import correlate_all, correlate_pairs
from mfst_jax.train.data.augmentation import augment
from mfst_jax.train.data.pairs import Crops
from mfst_jax.train.hosts import one_device
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import Features, Others, Responses

FIRST_LOG_FACTOR, FIRST_BIAS = 1.5, -2.0
"""Where the factor of A's response and the bias beside it start: A's response is between 0 and 1."""
CONVOLUTIONS = tuple(f"conv{number}" for number in range(1, 6))


@struct.dataclass
class Frozen:
    """Convolutions of S that are not trained.

    Attributes:
      below: A's conv1 and conv2 prepared for inference, where both are frozen and a batch is on one device.
      weights: Parameters of the other frozen convolutions by layer.
    """

    below: PreparedParams | None
    weights: dict[str, Any]


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
    weights = variables["params"]
    if recipe.conv1_from_alexnet:
        weights = {**weights, "conv1": {"kernel": _with_imagenets_filters(weights["conv1"]["kernel"], params)}}
    return Backbone(weights, starts), variables["batch_stats"]


def frozen_part(recipe: Recipe, params: Params) -> Frozen:
    """Frozen convolutions. Raises `InputError` as `fresh` does."""
    weights = _frozen_weights(recipe, params)
    if not {*BELOW} <= {*weights} or not one_device():
        return Frozen(None, weights)
    return Frozen(prepare_below(params, "alexnet"), {name: weights[name] for name in weights if name not in BELOW})


def above_kept(params: Params) -> dict[str, Any]:
    """Parameters of A's conv4 and conv5, which kept features of conv3 go through. Raises as `fresh` does."""
    weights = _imagenet(params)
    return {name: weights[name] for name in CONVOLUTIONS[3:]}


def _frozen_weights(recipe: Recipe, params: Params) -> dict[str, Any]:
    """Parameters of all frozen convolutions by layer."""
    if recipe.network != "alexnet":
        return {}
    weights = _imagenet(params)
    return {name: weights[name] for name in CONVOLUTIONS[: recipe.frozen_convolutions]}


def _with_imagenets_filters(conv1: Float[Array, "11 11 3 96"], params: Params) -> Float[Array, "11 11 3 96"]:
    """SiamFC's random filters, the first 64 of which are AlexNet's, for images that are not normalised.

    Each has the norm of the one that it replaces: their scale is BN's, and the norm decides how fast they are learnt.
    """
    lent = _imagenet(params)["conv1"]["kernel"] / backbones.IMAGENET_STD.reshape(1, 1, 3, 1)
    replaced = conv1[..., : lent.shape[-1]]
    norms = [jnp.linalg.norm(filters.reshape(-1, filters.shape[-1]), axis=0) for filters in (lent, replaced)]
    lent *= jnp.expand_dims(norms[1] / norms[0], (0, 1, 2))
    return jnp.concatenate([lent, conv1[..., lent.shape[-1] :]], axis=-1)


def _imagenet(params: Params) -> dict[str, Any]:
    if params.contents.alexnet != "torchvision":
        raise InputError(f"weights: expected torchvision's AlexNet to start from, found {params.contents.describe()}")
    return params.variables["params"]["alexnet"]


def features(
    trainable: Backbone,
    frozen: Frozen,
    running: dict[str, Any],
    batches: Sequence[Float[Array, "n _ _ 3"]],
    recipe: Recipe,
) -> tuple[list[Features], dict[str, Any]]:
    """Features of conv3 to conv5 of batches, by each one's own statistics, and BN's running statistics after them.

    Args:
      trainable: the parameters that are trained.
      frozen: from `frozen_part`.
      running: BN's running statistics before.
      batches: square RGB images in 0..255, exemplars and search images for instance.
      recipe: which network S is.
    """
    weights = {**lax.stop_gradient(frozen.weights), **trainable.weights}
    if frozen.below is not None:
        below = Backbones({"alexnet": frozen.below.convolutions["alexnet"]}, "torchvision", frozen.below.method)
        pooled = [lax.stop_gradient(below.pooled(images)["alexnet"]) for images in batches]
        return upper_convolutions.features_of_pooled(weights, pooled, last_relu=False), running
    quick = operations()
    if quick and recipe.network == "siamfc":
        return siamfc_network.features(weights, running, batches)
    network = backbones.siamfc(contents(recipe), training=True, **quick)
    apply: Any = network.apply
    found = []
    for images in batches:
        seen, moved = apply({"params": weights, "batch_stats": running}, images, mutable=["batch_stats"])
        found.append(seen)
        running = dict(moved.get("batch_stats", {}))
    return found, running


def responses(
    trainable: Backbone,
    frozen: Frozen,
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
    images = augment(key, crops.exemplar, crops.search, recipe.augmentation)
    (exemplars, searches), running = features(trainable, frozen, running, images, recipe)
    of_pairs, of_all = {}, {}
    for layer in recipe.layers:
        z, x = recipe.factor(layer) * exemplars[layer], searches[layer]
        if recipe.other_videos:
            of_all[layer] = correlate_all(z, x)
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
    new = {"params": {**_frozen_weights(recipe, params), **trainable.weights}, "batch_stats": running}
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
