"""Calibration of response factors and biases on training pairs, so that SE weights start in the middle of their range.

An SE weight lies in (0, 1) and starts near 1/2. Where a factor is so small that even weights of 1 leave the responses
too flat for the loss, training pushes all weights towards 1: sigmoids saturate, and the block no longer looks at its
input. So each layer's factor is the one that fits best without SE-blocks, divided by 1/2 for each of the two weights,
or by the recipe's first SE weight.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfst_jax.compilation import jit
from mfst_jax.config import LAYERS, Layer
from mfst_jax.train.losses import balanced_logistic, labels
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import Correlations, Trainable, responses_from_correlations

FIRST_WEIGHT = 0.5
"""SE weight of a random SE-block, on average."""
NEWTON_STEPS = 30


class Calibration(NamedTuple):
    """Factor and bias of each layer.

    Attributes:
      factors: Response factors; where SE-blocks are trained, for their first weights on both inputs.
      biases: Biases by layer.
    """

    factors: tuple[float, float, float]
    biases: dict[Layer, float]


def calibrate(kept: Correlations, recipe: Recipe) -> Calibration:
    """Factors and biases of least loss on these pairs without SE-blocks, the factors then for first SE weights."""
    responses = responses_from_correlations(Trainable(None, {}), kept, recipe)
    positive = jnp.asarray(labels(recipe.label_radius))
    factors, biases = [], {}
    for layer, first in zip(LAYERS, recipe.factors, strict=True):
        scale, bias = np.asarray(_fit(responses[layer], positive)).tolist()
        factors.append(first * scale / (first_product(recipe) if recipe.trains == "se_blocks" else 1))
        biases[layer] = bias
    return Calibration((factors[0], factors[1], factors[2]), biases)


def first_product(recipe: Recipe) -> float:
    """Product of a channel's SE weights on both inputs before training."""
    return (recipe.se_first_weight or FIRST_WEIGHT) ** 2


def without_blocks(recipe: Recipe) -> Recipe:
    """Recipe with the factors that fit without SE-blocks, given one whose factors were calibrated."""
    conv3, conv4, conv5 = (factor * first_product(recipe) for factor in recipe.factors)
    return dataclasses.replace(recipe, factors=(conv3, conv4, conv5))


@jit
def _fit(responses: Float[Array, "n 17 17"], positive: Array) -> Float[Array, "2"]:
    """Scale and bias of least mean loss, by damped Newton steps on responses of mean 0 and deviation 1."""
    mean, deviation = jnp.mean(responses), jnp.std(responses)
    standard = (responses - mean) / deviation

    def loss(line: Float[Array, "2"]) -> Float[Array, ""]:
        return jnp.mean(balanced_logistic(line[0] * standard + line[1], positive))

    def step(_: Array, line: Float[Array, "2"]) -> Float[Array, "2"]:
        towards = jnp.linalg.solve(jax.hessian(loss)(line) + 1e-6 * jnp.eye(2), jax.grad(loss)(line))
        lengths = 0.5 ** jnp.arange(6).astype(jnp.float32)
        tried = line[None] - jnp.concatenate([lengths, jnp.zeros(1)])[:, None] * towards[None]
        return tried[jnp.argmin(jax.vmap(loss)(tried))]

    scale, bias = jax.lax.fori_loop(0, NEWTON_STEPS, step, jnp.zeros(2))
    scale = jnp.maximum(scale, 1e-3)  # where responses do not, or wrongly, tell the target
    return jnp.stack([scale / deviation, bias - scale * mean / deviation])
