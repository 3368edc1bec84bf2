"""AlexNet from conv3 on, and training of S's conv4 and conv5 alone for what they add to A, from kept features of conv3.

Both networks then share everything up to conv3. S is trained on its own responses, and on the sum of its conv5's
response and A's: what A tells already takes no effort of S, so S learns what A does not tell.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.fast.stem import DIMENSIONS
from mfst_jax.fast.toom_cook import F_4_3
from mfst_jax.train import toom_cook_gradients
from mfst_jax.train.backbone_operations import operations
from mfst_jax.train.correlation_gradients import correlate_pairs
from mfst_jax.train.kept_features import KeptPairs
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import Features, Others, Responses

OTHERS = 3
"""Number of other pairs whose search images each exemplar is compared with."""


def features(weights: dict[str, Any], conv3: Sequence[Float[Array, "n _ _ 384"]], *, last_relu: bool) -> list[Features]:
    """Features of conv3 to conv5 of AlexNet, from those of conv3.

    Args:
      weights: parameters of conv4 and conv5.
      conv3: batches of features after their ReLU, of exemplars and of search regions for instance.
      last_relu: as `AlexNet.last_relu`.
    """
    conv4 = _relu(_convolve(conv3, weights["conv4"]))
    conv5 = _convolve(conv4, weights["conv5"])
    if last_relu:
        conv5 = _relu(conv5)
    batches = zip(conv3, conv4, conv5, strict=True)
    return [{"conv3": third, "conv4": fourth, "conv5": fifth} for third, fourth, fifth in batches]


def features_of_pooled(
    weights: dict[str, Any], pooled: Sequence[Float[Array, "n _ _ 192"]], *, last_relu: bool
) -> list[Features]:
    """Features of conv3 to conv5 of AlexNet, as by `features`, from those of conv2 after its pool."""
    return features(weights, _relu(_convolve(pooled, weights["conv3"])), last_relu=last_relu)


def _relu(batches: Sequence[Array]) -> list[Array]:
    return [nn.relu(maps) for maps in batches]


def _convolve(batches: Sequence[Array], weights: dict[str, Array]) -> list[Array]:
    kernel, bias = weights["kernel"], jnp.reshape(weights["bias"], (1, 1, 1, -1))
    if operations():
        return [maps + bias for maps in toom_cook_gradients.convolve_batches(F_4_3, tuple(batches), kernel)]
    return [lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=DIMENSIONS) + bias for x in batches]


def responses(
    trained: dict[str, Any], alexnet: dict[str, Any], kept: KeptPairs, recipe: Recipe
) -> tuple[Responses, Others | None, Float[Array, "n 17 17"] | None]:
    """Responses of S to pairs without their biases, and of A.

    Args:
      trained: conv4 and conv5 of S.
      alexnet: conv4 and conv5 of A.
      kept: the pairs.
      recipe: which layers have a loss.

    Returns:
      The responses of S to the pairs by trained layer; where the recipe asks for it those of each exemplar to the
      search images of the next `OTHERS` pairs; and A's (`response_of_alexnet`).
    """
    images = [jnp.asarray(each, jnp.float32) for each in (kept.exemplar, kept.search)]
    exemplars, searches = features(trained, images, last_relu=False)
    targets = {layer: recipe.factor(layer) * exemplars[layer] for layer in recipe.layers}
    of_pairs = {layer: correlate_pairs(z, searches[layer]) for layer, z in targets.items()}
    others = None
    if recipe.other_videos:
        shifts = range(1, min(OTHERS, len(kept.video) - 1) + 1)

        def next_ones(values: Array, pair: Callable[[Array], Array]) -> Array:
            return jnp.stack([pair(jnp.roll(values, -shift, axis=0)) for shift in shifts], axis=1)

        maps = {layer: next_ones(searches[layer], partial(correlate_pairs, z)) for layer, z in targets.items()}
        others = Others(maps, next_ones(jnp.asarray(kept.video), lambda video: video != kept.video))
    if not recipe.beside_alexnet:
        return of_pairs, others, None
    z, x = features(alexnet, images, last_relu=True)
    return of_pairs, others, lax.stop_gradient(response_of_alexnet(z, x))


def response_of_alexnet(exemplars: Features, searches: Features) -> Float[Array, "n 17 17"]:
    """Response of A to pairs: the mean of its layers' responses, each between 0 and 1 over its map."""
    maps = [correlate_pairs(exemplars[layer], searches[layer]) for layer in exemplars]
    low, high = ([each(m, axis=(-2, -1), keepdims=True) for m in maps] for each in (jnp.min, jnp.max))
    scaled = [(m - a) / jnp.where(b > a, b - a, 1) for m, a, b in zip(maps, low, high, strict=True)]
    return jnp.mean(jnp.stack(scaled), axis=0)
