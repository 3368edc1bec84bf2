"""Measures of responses to pairs: losses, and the distance of the peak from the middle."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfst_jax import fusion, localisation
from mfst_jax.compilation import jit
from mfst_jax.config import Config, Model
from mfst_jax.train.losses import balanced_logistic, labels
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import Correlations, Trainable, maps_with_loss, responses_from_correlations


class Measures(NamedTuple):
    """Sums of measures over pairs.

    Attributes:
      losses: Losses of the layers that have a bias, or that of `fused` by the recipe's `fused_loss`.
      centre_errors: Distances of the peak from the target in samples of the search region, by layer, and for the fused
        layers as `fused`.
    """

    losses: dict[str, Float[Array, ""]]
    centre_errors: dict[str, Float[Array, ""]]


@partial(jit, static_argnames=("recipe", "config"))
def measure(trainable: Trainable, kept: Correlations, *, recipe: Recipe, config: Config | None = None) -> Measures:
    """Measures over pairs whose target is in the middle.

    Args:
      trainable: what is trained.
      kept: the pairs, as the backbone sees them.
      recipe: the recipe of the run.
      config: how the layers are fused; by default as in `Recipe.layers_fused_with`, for SiamFC's network or A.
    """
    config, model = config or recipe.layers_fused_with, recipe.model
    layers = config.layers(model)
    positive = jnp.asarray(labels(recipe.label_radius))
    with jax.default_matmul_precision(recipe.precision):
        responses = responses_from_correlations(trainable, kept, recipe)
        compared = maps_with_loss(responses, trainable.biases, recipe)
        losses = {name: jnp.sum(balanced_logistic(each, positive)) for name, each in compared.items()}
        maps: dict[str, Array] = {}
        for layer, factor in zip(layers, config.factors(model), strict=True):
            response = factor / recipe.factor(layer) * responses[layer]
            maps[layer] = localisation.upsample(response, config.upsampling)

    def fuse(by_layer: Float[Array, "layers 272 272"]) -> Float[Array, "272 272"]:
        return fusion.fuse(by_layer[:, None], config.fusion(model), config.weights(model))[0]

    maps["fused"] = jax.vmap(fuse, in_axes=1)(jnp.stack([maps[layer] for layer in layers]))
    return Measures(losses, {name: _centre_errors(each, config) for name, each in maps.items()})


@partial(jit, static_argnames=("recipe",))
def centre_errors_with_alexnet(of_s: Correlations, of_a: Correlations, *, recipe: Recipe) -> Float[Array, ""]:
    """Sum over pairs of the distance of the peak from the target, S and A fused as in `Recipe.tracked_with`."""
    config = recipe.tracked_with
    kept: dict[Model, tuple[Correlations, Recipe]] = {
        "siamfc": (of_s, recipe),
        "alexnet": (of_a, Recipe(model="alexnet")),
    }
    maps: dict[Model, Array] = {}
    for model, (correlations, of_model) in kept.items():
        responses = responses_from_correlations(Trainable(None, {}), correlations, of_model)
        factors = dict(zip(config.layers(model), config.factors(model), strict=True))
        maps[model] = jnp.stack([factors[each] / of_model.factor(each) * responses[each] for each in factors])

    def fuse(by_model: dict[Model, Float[Array, "layers 17 17"]]) -> Float[Array, "272 272"]:
        upsampled = {model: localisation.upsample(each, config.upsampling) for model, each in by_model.items()}
        return fusion.fuse_hierarchy({model: each[:, None] for model, each in upsampled.items()}, config)[0]

    return _centre_errors(jax.vmap(fuse, in_axes=1)(maps), config)


def _centre_errors(responses: Float[Array, "n 272 272"], config: Config) -> Float[Array, ""]:
    def centre_error(response: Float[Array, "272 272"]) -> Float[Array, ""]:
        return jnp.linalg.norm(localisation.displacement(response, config.upsampling))

    return jnp.sum(jax.vmap(centre_error)(responses))
