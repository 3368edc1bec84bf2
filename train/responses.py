"""Responses of a frozen backbone under trained SE-blocks, from images or from correlations kept since an earlier step.

A layer's response is `r = f sum_c w^z_c w^x_c (x_c * z_c) + b`: SE-blocks reweigh whole channels, so all that their
training needs of a pair are its channel-wise correlations `x_c * z_c` and the channels' means, from which the weights
`w` follow (paper section III-B b). Both ways give the same numbers up to rounding.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from mfst_jax.config import LAYERS, Config, Layer
from mfst_jax.fast.network import PreparedNetwork
from mfst_jax.fast.prepared import AnyParams, PreparedParams, prepare
from mfst_jax.localisation import RESPONSE_SIZE
from mfst_jax.model import MFST
from mfst_jax.params import Params
from mfst_jax.se_block import SEBlocks
from mfst_jax.train.correlation_gradients import correlate_pairs
from mfst_jax.train.data.augmentation import augment
from mfst_jax.train.data.pairs import Crops
from mfst_jax.train.recipe import Recipe

TAPS: dict[Layer, int] = {"conv3": 10 * 10, "conv4": 8 * 8, "conv5": 6 * 6}
"""Number of cells of an exemplar's features."""

CELLS = RESPONSE_SIZE**2

DROPOUT = 2**31
"""Number that a step's key is folded with where channels are dropped: augmentation splits the key itself."""

Features = dict[Layer, Float[Array, "n _ _ _"]]
Responses = dict[Layer, Float[Array, "n 17 17"]]


@struct.dataclass
class Others:
    """Responses of exemplars to search images of other pairs.

    Attributes:
      maps: Responses by layer, without their biases.
      different: Whether the search image is of another video than the exemplar, so that nothing in it is the target.
    """

    maps: dict[Layer, Float[Array, "exemplars searches 17 17"]]
    different: Bool[Array, "exemplars searches"]


@struct.dataclass
class Correlations:
    """Correlations of pairs by a frozen backbone: all that the training of SE-blocks needs.

    Attributes:
      maps: Cross-correlation of each channel, as a mean over the exemplar's cells: the sum may be too large for
        float16.
      exemplar: Channel means of the exemplar's features.
      search: Channel means of the search features.
    """

    maps: Mapping[Layer, Float[Array | np.ndarray, "*batch 289 _"]]
    exemplar: Mapping[Layer, Float[Array | np.ndarray, "*batch _"]]
    search: Mapping[Layer, Float[Array | np.ndarray, "*batch _"]]


@struct.dataclass
class Trainable:
    """Trainable parameters.

    Attributes:
      blocks: Parameters of `SEBlocks`; None without SE-blocks, where every weight is 1. A layer that has none shares
        those of the layer before it.
      biases: Bias b of each layer's response, a scalar. Tracking does without.
    """

    blocks: dict[str, Any] | None
    biases: dict[Layer, Any]

    @property
    def block_of_each(self) -> dict[str, Any]:
        """Parameters of `SEBlocks` with one block for each layer, shared ones as often as they have layers."""
        assert self.blocks is not None, "there are SE-blocks"
        blocks = dict(self.blocks)
        for lower, layer in pairwise(LAYERS):
            blocks.setdefault(layer, blocks[lower])
        return {layer: blocks[layer] for layer in LAYERS}


def freeze(params: Params, recipe: Recipe) -> PreparedParams:
    """Backbone of the recipe, prepared for inference."""
    return prepare(params, Config(models=(recipe.model,), se=False))


def backbone_features(frozen: AnyParams, recipe: Recipe, images: Float[Array, "n side side 3"]) -> Features:
    """Features of the frozen backbone, from RGB images in 0..255, with BN in inference mode and without gradient."""
    config = Config(models=(recipe.model,), se=False)
    if isinstance(frozen, PreparedParams):
        seen: Any = PreparedNetwork(frozen, config).features(images)
        return lax.stop_gradient(seen[recipe.model])
    by_model: Any = MFST(frozen.contents, config).apply(frozen.variables, images, method="features")
    return lax.stop_gradient(by_model[recipe.model])


def correlate(exemplar: Features, search: Features) -> Correlations:
    """Correlations of pairs, from their features."""

    def maps(layer: Layer) -> Array:
        return lax.map(lambda pair: channel_correlation(*pair), (exemplar[layer], search[layer]))

    return Correlations({layer: maps(layer) for layer in LAYERS}, _means(exemplar), _means(search))


def channel_correlation(
    exemplar: Float[Array, "h w c"], search: Float[Array, "height width c"]
) -> Float[Array, "289 c"]:
    """Cross-correlation channel by channel, `m[i, j, c] = 1/(h w) sum_{u, v} z[u, v, c] x[i + u, j + v, c]`.

    All cells are in one row.
    """
    high, wide, channels = exemplar.shape

    def add_row(u: Array, total: Array) -> Array:
        taps = lax.dynamic_index_in_dim(exemplar, u, keepdims=False)
        rows = lax.dynamic_slice_in_dim(search, u, RESPONSE_SIZE, axis=0)
        for v in range(wide):
            total += taps[v][None, None] * rows[:, v : v + RESPONSE_SIZE]
        return total

    zeros = jnp.zeros((RESPONSE_SIZE, RESPONSE_SIZE, channels), search.dtype)
    return lax.fori_loop(0, high, add_row, zeros).reshape(CELLS, channels) / (high * wide)


def responses_from_correlations(
    trainable: Trainable, kept: Correlations, recipe: Recipe, dropout: Key[Array, ""] | None = None
) -> Responses:
    """Responses of each layer without their bias, from kept correlations; `dropout` is the key of those of a step."""
    kept = jax.tree.map(lambda each: jnp.asarray(each, jnp.float32), kept)
    if trainable.blocks is None:
        weights = jax.tree.map(jnp.ones_like, kept.exemplar)
    else:
        weights = pair_weights(trainable, recipe, kept.exemplar, kept.search, dropout)
    sums = {layer: TAPS[layer] * jnp.einsum("npc,nc->np", kept.maps[layer], weights[layer]) for layer in LAYERS}
    return _scaled({layer: each.reshape(-1, RESPONSE_SIZE, RESPONSE_SIZE) for layer, each in sums.items()}, recipe)


def responses_from_crops(
    trainable: Trainable, frozen: AnyParams, crops: Crops, key: Key[Array, ""], recipe: Recipe
) -> Responses:
    """Responses of each layer without their bias, from curated crops, augmented by `key`."""
    exemplar_images, search_images = augment(key, crops.exemplar, crops.search, recipe.augmentation)
    exemplar = backbone_features(frozen, recipe, exemplar_images)
    search = backbone_features(frozen, recipe, search_images)
    dropout = jax.random.fold_in(key, DROPOUT)
    weights = pair_weights(trainable, recipe, _means(exemplar), _means(search), dropout)

    reweighed = {layer: exemplar[layer] * weights[layer][:, None, None] for layer in LAYERS}
    return _scaled({layer: correlate_pairs(reweighed[layer], search[layer]) for layer in LAYERS}, recipe)


def pair_weights(
    trainable: Trainable,
    recipe: Recipe,
    exemplar: Mapping[Layer, Array | np.ndarray],
    search: Mapping[Layer, Array | np.ndarray],
    dropout: Key[Array, ""] | None = None,
) -> dict[Layer, Float[Array, "n _"]]:
    """Products `w^z_c w^x_c` of each pair's SE weights, from the channel means of both images.

    Where both share w, they come from the exemplar's means alone. With a key of dropout, channels are left out by the
    recipe's `se_dropout`, the same in both images.
    """

    def weights(means: Mapping[Layer, Any]) -> Any:
        variables: Any = {"params": trainable.block_of_each}
        return SEBlocks().apply(variables, {k: mean[:, None, None] for k, mean in means.items()})

    of_exemplar = weights(exemplar)
    of_search = of_exemplar if recipe.se_statistics == "exemplar" else weights(search)
    products = jax.tree.map(jnp.multiply, of_exemplar, of_search)
    if dropout is None or not recipe.se_dropout:
        return products
    kept = 1 - recipe.se_dropout
    keys = dict(zip(LAYERS, jax.random.split(dropout, len(LAYERS)), strict=True))
    masks = {layer: jax.random.bernoulli(keys[layer], kept, each.shape) for layer, each in products.items()}
    return {layer: jnp.where(masks[layer], each / kept, 0) for layer, each in products.items()}


def maps_with_loss(
    responses: Responses, biases: Mapping[Layer, Any], recipe: Recipe
) -> dict[str, Float[Array, "n 17 17"]]:
    """Maps that have a loss: the responses of the layers that have a bias, with it.

    By the recipe's `fused_loss` it is their sum as `fused`, by the weights that fuse the layers in tracking.
    """
    with_bias: dict[str, Array] = {layer: responses[layer] + bias for layer, bias in biases.items()}
    if not recipe.fused_loss:
        return with_bias
    weights = zip(LAYERS, recipe.layers_fused_with.weights(recipe.model), strict=True)
    return {"fused": jnp.sum(jnp.stack([weight * with_bias[layer] for layer, weight in weights]), axis=0)}


def _scaled(sums: Responses, recipe: Recipe) -> Responses:
    return {layer: recipe.factor(layer) * sums[layer] for layer in LAYERS}


def _means(features: Features) -> dict[Layer, Float[Array, "n _"]]:
    return {layer: jnp.mean(maps, axis=(1, 2)) for layer, maps in features.items()}
