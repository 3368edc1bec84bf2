"""One optimiser step, whatever it is that a recipe trains: the state, the schedule, SGD, accumulation over parts."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jaxtyping import Array, Float, Int, Key

from mfst_jax.compilation import compiler_options
from mfst_jax.config import Layer
from mfst_jax.params import Params
from train import backbone, se
from train.losses import balanced_logistic, labels
from train.recipe import Recipe
from train.responses import (
    Correlations,
    Crops,
    Frozen,
    Responses,
    Trainable,
    responses_from_correlations,
    responses_from_crops,
)

ByLayer = dict[Layer, Float[Array, ""]]


@struct.dataclass
class TrainState:
    """All that one step hands to the next."""

    step: Int[Array, ""]
    trainable: Trainable | backbone.Backbone
    statistics: Any
    """The running statistics of BN in a backbone that is trained; empty for SE-blocks."""
    optimiser: Any
    losses: ByLayer
    """Sums over the steps of this epoch. NaN stays, so that none goes by unseen."""


def init(recipe: Recipe, params: Params, biases: Mapping[Layer, float] | None = None) -> TrainState:
    """The state before the first step: weights at random by the recipe's seed, and these biases or 0."""
    if recipe.trains == "backbone":
        trainable, running = backbone.fresh(recipe)
    else:
        trainable, running = se.fresh(recipe, params, biases or {}), {}
    first = optimiser(recipe).init(trainable)
    return TrainState(jnp.zeros((), jnp.int32), trainable, running, first, _zeros(trainable))


def learning_rate(recipe: Recipe, step: int | Int[Array, ""]) -> Float[Array, ""]:
    """`learning_rate` in the first epoch, less by the same factor in each, `final_learning_rate` in the last."""
    epoch = jnp.asarray(step) * recipe.decay_speed // recipe.steps_per_epoch
    decay = (recipe.final_learning_rate / recipe.learning_rate) ** (1 / max(1, recipe.epochs - 1))
    return recipe.learning_rate * jnp.float32(decay) ** epoch.astype(jnp.float32)


def optimiser(recipe: Recipe) -> Any:
    """SGD with momentum on that schedule, an `optax.GradientTransformation`; weight decay is of kernels alone."""
    sgd = optax.sgd(partial(learning_rate, recipe), momentum=recipe.momentum)
    if not recipe.weight_decay:
        return sgd
    return optax.chain(optax.add_decayed_weights(recipe.weight_decay, mask=_kernels), sgd)


def train_step(
    state: TrainState,
    frozen: Frozen | None,
    batch: Correlations | Crops,
    key: Key[Array, ""],
    *,
    recipe: Recipe,
) -> TrainState:
    """One step on a batch.

    The loss is the sum of the layers' own losses, each a mean over the pairs. No SE weight belongs to two layers, so
    that each learns from its own response; a backbone is trained by the response of conv5 alone.

    Args:
      state: from `init`, or from the step before.
      frozen: the frozen backbone; None where the batch is what it saw, or where it is the backbone that is trained.
      batch: arrays whose first axis is the parts to accumulate over, the second the pairs of a part.
      key: of the whole run; what a step draws depends on it and on the step's number.
      recipe: what to do.
    """
    positive = jnp.asarray(labels(recipe.label_radius, recipe.label_distance))

    def loss(trainable: Any, running: Any, part: Correlations | Crops, key: Array) -> tuple[Array, tuple[ByLayer, Any]]:
        responses, running = _responses(trainable, running, frozen, part, key, recipe)
        losses = {
            layer: jnp.mean(balanced_logistic(response + trainable.biases[layer], positive))
            for layer, response in responses.items()
        }
        return jnp.sum(jnp.stack(list(losses.values()))), (losses, running)

    def add_part(carried: Any, inputs: Any) -> Any:
        total, running = carried
        (_, (losses, running)), gradients = jax.value_and_grad(loss, has_aux=True)(state.trainable, running, *inputs)
        share = 1 / recipe.accumulation
        return jax.tree.map(lambda a, b: a + share * b, total, (gradients, losses)), running

    zero = jax.tree.map(jnp.zeros_like, (state.trainable, state.losses))
    keys = jax.random.split(jax.random.fold_in(key, state.step), recipe.accumulation)
    with jax.default_matmul_precision(recipe.precision):
        (gradients, losses), running = _in_turn(add_part, (zero, state.statistics), (batch, keys))
    updates, optimiser_state = optimiser(recipe).update(gradients, state.optimiser, state.trainable)
    trainable = jax.tree.map(jnp.add, state.trainable, updates)
    return TrainState(state.step + 1, trainable, running, optimiser_state, jax.tree.map(jnp.add, state.losses, losses))


@functools.cache
def compiled(recipe: Recipe) -> Callable[[TrainState, Frozen | None, Correlations | Crops, Key[Array, ""]], TrainState]:
    """`train_step` of a recipe, jitted with this machine's best compiler options."""
    return jax.jit(partial(train_step, recipe=recipe), compiler_options=compiler_options())


def reset_losses(state: TrainState) -> TrainState:
    """The state at the start of an epoch."""
    return dataclasses.replace(state, losses=_zeros(state.trainable))


def _responses(
    trainable: Any,
    running: Any,
    frozen: Frozen | None,
    part: Correlations | Crops,
    key: Array,
    recipe: Recipe,
) -> tuple[Responses, Any]:
    """The responses of the layers that have a loss, without their biases, and BN's running statistics from there on."""
    if isinstance(part, Correlations):
        return responses_from_correlations(trainable, part, recipe), running
    if isinstance(trainable, backbone.Backbone):
        return backbone.responses(trainable, running, part, key, recipe)
    assert frozen is not None, "a batch of crops needs the frozen backbone"
    return responses_from_crops(trainable, frozen, part, key, recipe), running


def _in_turn(function: Callable[[Any, Any], Any], first: Any, inputs: Any) -> Any:
    """`first` after `function(carried, input)` for each of `inputs`: a loop of the program's, but not on CPUs.

    There XLA's convolutions are many times slower within a loop than outside.
    """
    if jax.default_backend() == "cpu":
        for number in range(len(jax.tree.leaves(inputs)[0])):
            first = function(first, jax.tree.map(lambda each, number=number: each[number], inputs))
        return first
    return lax.scan(lambda carried, each: (function(carried, each), None), first, inputs)[0]


def _kernels(trainable: Any) -> Any:
    """Which of the leaves are kernels: True for each leaf that has `kernel` as its name."""
    return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[-1], "key", None) == "kernel", trainable)


def _zeros(trainable: Any) -> ByLayer:
    return {layer: jnp.zeros(()) for layer in trainable.biases}
