"""SE-blocks on a frozen backbone: state, optimiser step, and how well their responses show the target."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jaxtyping import Array, Float, Int, Key

from mfst_jax import fusion, localisation
from mfst_jax.attention import SEBlocks
from mfst_jax.backbones import CHANNELS
from mfst_jax.compilation import jit
from mfst_jax.config import LAYERS, Config, Layer
from mfst_jax.params import Params
from train.losses import balanced_logistic, labels
from train.recipe import Recipe
from train.responses import (
    Correlations,
    Crops,
    Trainable,
    responses_from_correlations,
    responses_from_crops,
)

ByLayer = dict[Layer, Float[Array, ""]]


@struct.dataclass
class TrainState:
    """All that one step hands to the next."""

    step: Int[Array, ""]
    trainable: Trainable
    optimiser: Any
    losses: ByLayer
    """Sums over the steps of this epoch. NaN stays, so that none goes by unseen."""


class Measures(NamedTuple):
    """Sums over pairs."""

    losses: ByLayer
    centre_errors: dict[str, Float[Array, ""]]
    """Distance of the peak from the target in samples of the search region, by layer, and of the layers `fused`."""


def layer_channels(params: Params, recipe: Recipe) -> dict[Layer, int]:
    """Channels of the features that the SE-blocks reweigh."""
    variant = "siamfc" if recipe.model == "siamfc" else params.contents.alexnet
    assert variant is not None, "the weights hold the recipe's backbone"
    return dict(zip(LAYERS, CHANNELS[variant][2:], strict=True))


def init(recipe: Recipe, params: Params, biases: Mapping[Layer, float] | None = None) -> TrainState:
    """The state before the first step: SE-blocks at random by the recipe's seed, and these biases or 0."""
    seen = {layer: jnp.zeros((1, 1, 1, channels)) for layer, channels in layer_channels(params, recipe).items()}
    blocks = jax.jit(SEBlocks().init)(jax.random.key(recipe.seed), seen)["params"]
    trainable = Trainable(blocks, {layer: jnp.float32((biases or {}).get(layer, 0)) for layer in LAYERS})
    return TrainState(jnp.zeros((), jnp.int32), trainable, optimiser(recipe).init(trainable), _zeros())


def learning_rate(recipe: Recipe, step: int | Int[Array, ""]) -> Float[Array, ""]:
    """`learning_rate` in the first epoch, less by the same factor in each, `final_learning_rate` in the last."""
    epoch = jnp.asarray(step) * recipe.decay_speed // recipe.steps_per_epoch
    decay = (recipe.final_learning_rate / recipe.learning_rate) ** (1 / max(1, recipe.epochs - 1))
    return recipe.learning_rate * jnp.float32(decay) ** epoch.astype(jnp.float32)


def optimiser(recipe: Recipe) -> Any:
    """SGD with momentum on that schedule, an `optax.GradientTransformation`."""
    return optax.sgd(partial(learning_rate, recipe), momentum=recipe.momentum)


def train_step(
    state: TrainState,
    params: Params | None,
    batch: Correlations | Crops,
    key: Key[Array, ""],
    *,
    recipe: Recipe,
) -> TrainState:
    """One step on a batch.

    The loss is the sum of the layers' own losses, each a mean over the pairs. No weight belongs to two layers, so that
    each learns from its own response.

    Args:
      state: from `init`, or from the step before.
      params: the backbone; None where the batch is what it saw.
      batch: arrays whose first axis is the parts to accumulate over, the second the pairs of a part.
      key: of the whole run; what a step draws depends on it and on the step's number.
      recipe: what to do.
    """
    positive = jnp.asarray(labels(recipe.label_radius, recipe.label_distance))

    def loss(trainable: Trainable, part: Correlations | Crops, key: Array) -> tuple[Array, ByLayer]:
        if isinstance(part, Correlations):
            responses = responses_from_correlations(trainable, part, recipe)
        else:
            assert params is not None, "a batch of crops needs the backbone"
            responses = responses_from_crops(trainable, params, part, key, recipe)
        losses = {
            layer: jnp.mean(balanced_logistic(responses[layer] + trainable.biases[layer], positive)) for layer in LAYERS
        }
        return jnp.sum(jnp.stack(list(losses.values()))), losses

    def add_part(total: Any, inputs: Any) -> tuple[Any, None]:
        (_, losses), gradients = jax.value_and_grad(loss, has_aux=True)(state.trainable, *inputs)
        share = 1 / recipe.accumulation
        return jax.tree.map(lambda a, b: a + share * b, total, (gradients, losses)), None

    zero = jax.tree.map(jnp.zeros_like, (state.trainable, state.losses))
    keys = jax.random.split(jax.random.fold_in(key, state.step), recipe.accumulation)
    with jax.default_matmul_precision(recipe.precision):
        (gradients, losses), _ = lax.scan(add_part, zero, (batch, keys))
    updates, optimiser_state = optimiser(recipe).update(gradients, state.optimiser, state.trainable)
    trainable = jax.tree.map(jnp.add, state.trainable, updates)
    return TrainState(state.step + 1, trainable, optimiser_state, jax.tree.map(jnp.add, state.losses, losses))


@partial(jit, static_argnames=("recipe",))
def measure(trainable: Trainable, kept: Correlations, *, recipe: Recipe) -> Measures:
    """Measures over pairs whose target is in the middle. The layers are fused as the preset PAPER fuses them."""
    config = Config(models=(recipe.model,))
    positive = jnp.asarray(labels(recipe.label_radius, recipe.label_distance))
    with jax.default_matmul_precision(recipe.precision):
        responses = responses_from_correlations(trainable, kept, recipe)
        losses = {
            layer: jnp.sum(balanced_logistic(responses[layer] + trainable.biases[layer], positive)) for layer in LAYERS
        }
        for layer, factor, trained in zip(LAYERS, config.factors(recipe.model), recipe.factors, strict=True):
            responses[layer] *= factor / trained
        maps: dict[str, Array] = {layer: localisation.upsample(responses[layer], config.upsampling) for layer in LAYERS}

    def fuse(layers: Float[Array, "3 272 272"]) -> Float[Array, "272 272"]:
        return fusion.fuse(layers[:, None], config.fusion(recipe.model), config.weights(recipe.model))[0]

    def centre_error(response: Float[Array, "272 272"]) -> Float[Array, ""]:
        return jnp.linalg.norm(localisation.displacement(response, config.upsampling))

    maps["fused"] = jax.vmap(fuse, in_axes=1)(jnp.stack([maps[layer] for layer in LAYERS]))
    return Measures(losses, {name: jnp.sum(jax.vmap(centre_error)(each)) for name, each in maps.items()})


def reset_losses(state: TrainState) -> TrainState:
    """The state at the start of an epoch."""
    return dataclasses.replace(state, losses=_zeros())


def _zeros() -> ByLayer:
    return {layer: jnp.zeros(()) for layer in LAYERS}
