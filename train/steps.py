"""Optimiser step, whatever a recipe trains: the state, the schedule, the optimiser, accumulation over parts."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
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
from mfst_jax.train import backbone, hosts, se_blocks, upper_convolutions
from mfst_jax.train.data.pairs import Crops
from mfst_jax.train.kept_features import KeptPairs
from mfst_jax.train.losses import balanced_logistic, labels, nothing_there
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import (
    Correlations,
    Others,
    Responses,
    Trainable,
    freeze,
    maps_with_loss,
    responses_from_correlations,
    responses_from_crops,
)

Batch = Correlations | Crops | KeptPairs
Losses = dict[Any, Float[Array, ""]]
"""Losses by layer, or of `fused` layers."""


@struct.dataclass
class TrainState:
    """State of training between two steps.

    Attributes:
      step: Number of steps done.
      trainable: Parameters that are trained.
      statistics: Running statistics of BN in a backbone that is trained; empty for SE-blocks.
      optimiser: State of the optimiser.
      averaged: Moving average of `trainable`; None where the recipe asks for none.
      averaged_statistics: Moving average of `statistics` by the same rule, as the averaged weights have other features
        than the last ones; None where the recipe asks for none.
      losses: Sums over the steps of this epoch. A NaN stays in the sum, so that none goes unnoticed.
    """

    step: Int[Array, ""]
    trainable: Trainable | backbone.Backbone
    statistics: Any
    optimiser: Any
    averaged: Trainable | backbone.Backbone | None
    averaged_statistics: Any
    losses: Losses

    @property
    def result(self) -> Trainable | backbone.Backbone:
        """Result of the run so far: the averaged weights where there are any, the last ones otherwise."""
        return self.trainable if self.averaged is None else self.averaged

    @property
    def result_statistics(self) -> Any:
        """Running statistics of BN that go with `result`."""
        return self.statistics if self.averaged is None else self.averaged_statistics


def init(recipe: Recipe, params: Params, biases: Mapping[Layer, float] | None = None) -> TrainState:
    """State before the first step: random weights by the recipe's seed, and these biases or 0."""
    if recipe.trains == "backbone":
        trainable, running = backbone.fresh(recipe, params, biases or {})
    else:
        trainable, running = se_blocks.fresh(recipe, params, biases or {}), {}
    first = optimiser(recipe).init(trainable)
    averaged, averaged_statistics = (trainable, running) if recipe.average else (None, None)
    losses = _zeros(("fused",) if recipe.fused_loss else trainable.biases)
    return TrainState(jnp.zeros((), jnp.int32), trainable, running, first, averaged, averaged_statistics, losses)


def learning_rate(recipe: Recipe, step: int | Int[Array, ""]) -> Float[Array, ""]:
    """Learning rate of a step: from `learning_rate` to `final_learning_rate`, after the recipe's warm-up."""
    step = jnp.asarray(step)
    warm = jnp.minimum((step.astype(jnp.float32) + 1) / (recipe.warmup_steps + 1), 1)
    if recipe.schedule == "cosine":
        done = step.astype(jnp.float32) / (recipe.epochs * recipe.steps_per_epoch)
        share = 0.5 * (1 + jnp.cos(jnp.pi * done))
        return warm * (recipe.final_learning_rate + share * (recipe.learning_rate - recipe.final_learning_rate))
    # Sec. IV-A c): by one factor after each epoch
    epoch = step // recipe.steps_per_epoch
    decay = (recipe.final_learning_rate / recipe.learning_rate) ** (1 / max(1, recipe.epochs - 1))
    return warm * recipe.learning_rate * jnp.float32(decay) ** epoch.astype(jnp.float32)


def optimiser(recipe: Recipe) -> Any:
    """SGD or AdamW on the recipe's schedule, an `optax.GradientTransformation`; weight decay is of kernels alone."""
    rate = partial(learning_rate, recipe)
    parts = [optax.clip_by_global_norm(recipe.clip_norm)] if recipe.clip_norm else []
    decays = [optax.add_decayed_weights(recipe.weight_decay, mask=_kernels)] if recipe.weight_decay else []
    if recipe.anchor:
        decays.append(decay_towards_start(recipe.anchor))
    if recipe.bias_rate != 1:
        decays.append(optax.masked(optax.scale(recipe.bias_rate), _of_responses))
    if recipe.optimiser == "adamw":
        parts += [optax.scale_by_adam(recipe.momentum), *decays, optax.scale_by_learning_rate(rate)]
        return optax.chain(*parts)
    sgd = optax.sgd(rate, momentum=recipe.momentum)
    parts += decays
    return optax.chain(*parts, sgd) if parts else sgd


def decay_towards_start(share: float) -> optax.GradientTransformation:
    """Decay towards the first weights: `share` of the distance from them is added to each update.

    The optimiser's state keeps the first weights.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(lambda each, now, start: each + share * (now - start), updates, params, state), state

    return optax.GradientTransformation(lambda params: params, update)


def train_step(
    state: TrainState,
    frozen: Any,
    batch: Batch,
    key: Key[Array, ""],
    *,
    recipe: Recipe,
) -> TrainState:
    """State after one step on a batch.

    The loss is the weighted sum of the layers' own losses, each a mean over the pairs; or, by the recipe's
    `fused_loss`, that of their weighted sum.

    Args:
      state: from `init`, or from the step before.
      frozen: from `frozen_part`; None where the batch is what the frozen backbone saw.
      batch: arrays whose first axis is the parts to accumulate over, the second the pairs of a part.
      key: of the whole run; what a step draws depends on it and on the step's number.
      recipe: what to do.
    """
    positive = jnp.asarray(labels(recipe.label_radius))

    def loss(trainable: Any, running: Any, part: Batch, key: Array) -> tuple[Array, tuple[Losses, Any]]:
        responses, others, of_alexnet, running = _responses(trainable, running, frozen, part, key, recipe)
        compared = maps_with_loss(responses, trainable.biases, recipe)
        losses: Losses = {name: jnp.mean(balanced_logistic(each, positive)) for name, each in compared.items()}
        if recipe.fused_loss:
            return losses["fused"], (losses, running)
        total = [recipe.loss_weight(layer) * each for layer, each in losses.items()]
        if others is not None:
            for layer, response in others.maps.items():
                weight = recipe.other_videos * recipe.loss_weight(layer)
                total.append(weight * nothing_there(response + trainable.biases[layer], others.different))
        if of_alexnet is not None:
            beside = trainable.beside
            both = responses["conv5"] + jnp.exp(beside["log_factor"]) * of_alexnet + beside["bias"]
            total.append(recipe.beside_alexnet * jnp.mean(balanced_logistic(both, positive)))
        return jnp.sum(jnp.stack(total)), (losses, running)

    def add_part(carried: Any, inputs: Any) -> Any:
        total, running = carried
        (_, (losses, running)), gradients = jax.value_and_grad(loss, has_aux=True)(state.trainable, running, *inputs)
        share = 1 / recipe.accumulation
        return jax.tree.map(lambda a, b: a + share * b, total, (gradients, losses)), running

    zero = jax.tree.map(jnp.zeros_like, (state.trainable, state.losses))
    keys = jax.random.split(jax.random.fold_in(key, state.step), recipe.accumulation)
    with jax.default_matmul_precision(recipe.precision):
        (gradients, losses), running = _over_parts(add_part, (zero, state.statistics), (batch, keys))
    with jax.numpy_dtype_promotion("standard"):  # AdamW raises a Python float to a step number
        updates, optimiser_state = optimiser(recipe).update(gradients, state.optimiser, state.trainable)
    trainable = jax.tree.map(jnp.add, state.trainable, updates)
    averaged, averaged_statistics = None, None
    if state.averaged is not None:
        before = state.averaged, state.averaged_statistics
        averaged, averaged_statistics = _average(before, (trainable, running), state.step, recipe.average)
    summed = jax.tree.map(jnp.add, state.losses, losses)
    return TrainState(state.step + 1, trainable, running, optimiser_state, averaged, averaged_statistics, summed)


@functools.cache
def compiled(recipe: Recipe, devices: int = 1) -> Callable[[TrainState, Any, Batch, Key[Array, ""]], TrainState]:
    """Jitted `train_step` of a recipe for batches on so many devices, with this machine's best compiler options."""

    def step(state: TrainState, frozen: Any, batch: Batch, key: Key[Array, ""]) -> TrainState:
        with hosts.batches_on(devices):
            return train_step(state, frozen, batch, key, recipe=recipe)

    return jax.jit(step, compiler_options=compiler_options(thorough=True))


def frozen_part(recipe: Recipe, params: Params) -> Any:
    """Frozen input of a step: the frozen backbone for inference, or the frozen part of what is trained.

    It is None where the correlations of the frozen backbone are kept, and A's conv4 and conv5 where features of conv3
    are.

    Raises:
      InputError: weights that lack what the recipe starts from.
    """
    if recipe.trains == "backbone":
        return backbone.above_kept(params) if recipe.kept_views else backbone.frozen_part(recipe, params)
    return None if recipe.cached_pairs else freeze(params, recipe)


def reset_losses(state: TrainState) -> TrainState:
    """State at the start of an epoch."""
    return dataclasses.replace(state, losses=_zeros(state.losses))


def _responses(
    trainable: Any,
    running: Any,
    frozen: Any,
    part: Batch,
    key: Array,
    recipe: Recipe,
) -> tuple[Responses, Others | None, Array | None, Any]:
    """Responses without their biases, of the pairs and to other videos; A's; and BN's running statistics after them."""
    if isinstance(part, Correlations):
        return responses_from_correlations(trainable, part, recipe, key), None, None, running
    if isinstance(part, KeptPairs):
        return *upper_convolutions.responses(trainable.weights, frozen, part, recipe), running
    if isinstance(trainable, backbone.Backbone):
        of_pairs, others, running = backbone.responses(trainable, frozen, running, part, key, recipe)
        return of_pairs, others, None, running
    assert frozen is not None, "a batch of crops needs the frozen backbone"
    return responses_from_crops(trainable, frozen, part, key, recipe), None, None, running


def _over_parts(function: Callable[[Any, Any], Any], first: Any, inputs: Any) -> Any:
    """Result of `function(carried, input)` over all `inputs`, beginning with `first`.

    It is a scan, but unrolled on CPUs, where XLA's convolutions are many times slower within a loop than outside.
    """
    if jax.default_backend() == "cpu":
        for number in range(len(jax.tree.leaves(inputs)[0])):
            first = function(first, jax.tree.map(lambda each, number=number: each[number], inputs))
        return first
    return lax.scan(lambda carried, each: (function(carried, each), None), first, inputs)[0]


def _average(before: Any, now: Any, steps: Int[Array, ""], decay: float) -> Any:
    """Moving average after one more step; of the first steps it is the mean, so that the start does not linger."""
    done = steps.astype(jnp.float32)
    share = jnp.maximum(1 - decay, 1 / (done + 1))
    return jax.tree.map(lambda old, new: old + share * (new - old), before, now)


def _kernels(trainable: Any) -> Any:
    """Mask of the kernels: True for each leaf that has `kernel` as its name."""
    return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[-1], "key", None) == "kernel", trainable)


def _of_responses(trainable: Any) -> Any:
    """Mask of what is learnt of responses rather than of features: biases, and the factor of A's response."""
    path_of = lambda path, _: getattr(path[0], "name", None) in ("biases", "beside")  # noqa: E731
    return jax.tree_util.tree_map_with_path(path_of, trainable)


def _zeros(names: Iterable[str]) -> Losses:
    return {name: jnp.zeros(()) for name in names}
