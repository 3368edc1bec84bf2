"""Both backbones on folded weights: by Toom-Cook convolutions on CPUs, by XLA's own convolutions elsewhere.

`mfst_jax.backbones` is the reference. On CPUs bias and ReLU come after a max pool, with which they commute; Caffe's
local response normalisation does not commute, and has them before it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.backbones import local_response_norm
from mfst_jax.config import LAYERS, Layer, LowerLayer, Model
from mfst_jax.fast import stem, toom_cook
from mfst_jax.fast.folding import Folded
from mfst_jax.model import Features
from mfst_jax.params import AlexNetVariant

Method = Literal["toom_cook", "direct", "quick"]
"""Ways to compute: on CPUs, on accelerators, and on CPUs as long as the first is being compiled. The last two leave the
convolutions of the backbones to XLA, "quick" the correlation too."""
Weights = Mapping[Model, Mapping[str, tuple[Any, Float[Array, " o"]]]]
"""Filters and bias of each convolution, as `transform` makes them: conv1, conv2, and conv3 to conv5 as far as they are
needed."""
BELOW = ("conv1", "conv2")
"""Convolutions below those whose features are used."""
Maps = Float[Array, "n _ _ _"]
Row = Float[Array, "n down across tile groups o"]  # one row of every tile, as stem and toom_cook give it

STRIP = 65
"""Rows of conv1 that are computed at a time, so that intermediate results stay in cache: 6 k - 1 wastes least."""
SCHEMES = {"conv2": toom_cook.F_6_5, "conv3": toom_cook.F_4_3, "conv4": toom_cook.F_4_3, "conv5": toom_cook.F_4_3}


def transform(name: str, folded: Folded, inputs: int, method: Method) -> tuple[Any, np.ndarray]:
    """Filters and bias of one convolution, transformed for `method`.

    Args:
      name: of the convolution, `conv1` to `conv5`.
      folded: its kernel and bias.
      inputs: its number of input channels.
      method: how it will be computed.
    """
    kernel, bias = folded
    if method != "toom_cook":
        return kernel.astype(np.float32), bias.astype(np.float32)
    if name == "conv1":
        return stem.transform_filters(kernel), bias.astype(np.float32)
    return toom_cook.transform_filters(kernel, inputs // kernel.shape[2], SCHEMES[name]), bias.astype(np.float32)


def restore(name: str, transformed: tuple[Any, Float[Array, " o"]]) -> tuple[Any, Float[Array, " o"]]:
    """Kernel and bias of one convolution, from what `transform` made for Toom-Cook."""
    filters, bias = transformed
    if name == "conv1":
        return stem.restore_kernel(filters), bias
    return toom_cook.restore_kernel(filters, SCHEMES[name]), bias


@dataclass(frozen=True)
class Backbones:
    """Backbones with folded weights, run on the same images.

    Attributes:
      weights: Filters and biases by model and convolution.
      alexnet: Variant of the backbone A; None where it is not there.
      method: How convolutions are computed.
      shared: Names of the first convolutions of S that are A's too, as far as conv3 at least, and computed once.
      below: Layers of A below conv3 that are wanted too.
    """

    weights: Weights
    alexnet: AlexNetVariant | None
    method: Method
    shared: tuple[str, ...] = ()
    below: tuple[LowerLayer, ...] = ()

    def features(self, images: Float[Array, "n side side 3"]) -> Features:
        """Features of conv3 to conv5, from RGB images in 0..255, as far down as there are weights, and of `below`."""
        pool1, pooled = self._pooled(images)
        features: Features = {}
        for model in sorted(self.weights) if self.shared else self.weights:  # S after A, whose features it goes on from
            by_layer: dict[Layer, Maps] = {}
            x = pooled.get(model)
            for layer in LAYERS:
                if layer in self.shared and model == "siamfc":
                    x = by_layer[layer] = features["alexnet"][layer]
                elif layer in self.weights[model]:
                    assert x is not None, "what does not see the images goes on from what does"
                    x = by_layer[layer] = self._convolve(x, model, layer, done=features)
            features[model] = by_layer
            features[model] |= {layer: pool1[model] for layer in self.below if model == "alexnet"}
        return {model: features[model] for model in self.weights}

    def pooled(self, images: Float[Array, "n side side 3"]) -> dict[Model, Maps]:
        """Feature maps after conv2 and its pool, which conv3 sees, from RGB images in 0..255."""
        return self._pooled(images)[1]

    def directly(self) -> "Backbones":
        """Backbones with the same weights by XLA's convolutions: slower, but compiled in a fraction of the time."""
        if self.method != "toom_cook":
            return self
        by_model = self.weights.items()
        weights = {model: {name: restore(name, layer) for name, layer in layers.items()} for model, layers in by_model}
        return dataclasses.replace(self, weights=weights, method="direct")

    @property
    def _from_images(self) -> Weights:
        """Weights of the backbones that see the images themselves: not of S, where it goes on from A's features."""
        return {model: layers for model, layers in self.weights.items() if not (self.shared and model == "siamfc")}

    def _pooled(self, images: Float[Array, "n side side 3"]) -> tuple[dict[Model, Maps], dict[Model, Maps]]:
        """Feature maps after conv1 and its pool, as far as they are wanted, and after conv2 and its pool."""
        if self.method != "toom_cook":
            return self._pooled_directly(images)
        # One image at a time stays in cache.
        return jax.tree.map(lambda x: x[:, 0], lax.map(self._pooled_by_tiles, images))

    def _pooled_directly(self, images: Float[Array, "n side side 3"]) -> tuple[dict[Model, Maps], dict[Model, Maps]]:
        """Feature maps as by `_pooled`, by XLA's convolutions."""
        maps = self._split(_convolve_directly(images, self._conv1(), stride=stem.STRIDE))
        pool1 = {model: max_pool(self._activate(x, model, "conv1")) for model, x in maps.items()}
        maps = {model: _convolve_directly(x, self.weights[model]["conv2"][0]) for model, x in pool1.items()}
        return self._wanted(pool1), {m: max_pool(self._activate(x, m, "conv2")) for m, x in maps.items()}

    def _pooled_by_tiles(self, image: Float[Array, "side side 3"]) -> tuple[dict[Model, Maps], dict[Model, Maps]]:
        """Feature maps as by `_pooled`, for one image, by Toom-Cook."""
        size = stem.size(len(image))
        pairs, filters = stem.pair_rows(image), self._conv1()
        strips: list[dict[Model, Maps]] = []
        for first in range(0, size - 1, STRIP - 1):  # the last row of a strip is the next one's first
            count = min(STRIP, size - first)
            rows = [self._split(row) for row in stem.convolve(pairs, filters, first, count, done=strips)]
            by_model = {model: [row[model] for row in rows] for model in self._from_images}
            strips.append({m: self._pool_rows(of_m, (count, size), m, "conv1") for m, of_m in by_model.items()})
        pool1 = {m: jnp.concatenate([strip[m] for strip in strips], axis=1) for m in self._from_images}
        pooled: dict[Model, Maps] = {}
        for model, x in pool1.items():
            rows = toom_cook.convolve(x, self.weights[model]["conv2"][0], SCHEMES["conv2"], done=pooled)
            size = x.shape[1] - SCHEMES["conv2"].taps + 1
            pooled[model] = self._pool_rows(rows, (size, size), model, "conv2")
        return self._wanted(pool1), pooled

    def _wanted(self, pool1: dict[Model, Maps]) -> dict[Model, Maps]:
        return {model: maps for model, maps in pool1.items() if self.below and model == "alexnet"}

    def _conv1(self) -> Any:
        """Filters of conv1 of all backbones side by side, as if they were one."""
        filters = [layers["conv1"][0] for layers in self._from_images.values()]
        return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), *filters)

    def _split(self, maps: Float[Array, "*shape _"]) -> dict[Model, Float[Array, "*shape _"]]:
        """Channels of conv1 by backbone."""
        ends = np.cumsum([layers["conv1"][1].size for layers in self._from_images.values()])
        return dict(zip(self._from_images, jnp.split(maps, ends[:-1], axis=-1), strict=True))

    def _activate(self, x: Maps, model: Model, name: str) -> Maps:
        """Feature maps after bias, ReLU and, where the backbone has it, normalisation."""
        x = jax.nn.relu(x + self.weights[model][name][1].reshape(1, 1, 1, -1))
        return local_response_norm(x) if self._is_normalised(model) else x

    def _pool_rows(self, rows: list[Row], size: tuple[int, int], model: Model, name: str) -> Maps:
        """Feature maps after bias, ReLU, normalisation and max pool, from the rows of tiles.

        As few rows as possible are put together.
        """
        bias = self.weights[model][name][1]
        if self._is_normalised(model):
            maps = _as_maps([jax.nn.relu(row + _by_group(bias, row)) for row in rows], size)
            return max_pool(_materialise(local_response_norm, maps))
        return jax.nn.relu(max_pool(_as_maps(rows, size, pool=True), axes=(2,)) + bias.reshape(1, 1, 1, -1))

    def _is_normalised(self, model: Model) -> bool:
        return model == "alexnet" and self.alexnet == "caffe"

    def _convolve(self, x: Maps, model: Model, layer: Layer, done: Any) -> Maps:
        """Feature maps of a layer, with its bias and, but for conv5 of S, its ReLU."""
        filters, bias = self.weights[model][layer]
        activate = (lambda x: x) if (model, layer) == ("siamfc", "conv5") else jax.nn.relu
        if self.method != "toom_cook":
            return activate(_convolve_directly(x, filters) + bias.reshape(1, 1, 1, -1))
        rows = toom_cook.convolve(x, filters, SCHEMES[layer], done=done)
        size = x.shape[1] - SCHEMES[layer].taps + 1
        return _as_maps([activate(row + _by_group(bias, row)) for row in rows], (size, size))


def _by_group(bias: Float[Array, " _"], row: Row) -> Float[Array, "1 1 1 1 groups o"]:
    return bias.reshape(1, 1, 1, 1, *row.shape[-2:])


def _as_maps(rows: list[Row], size: tuple[int, int], *, pool: bool = False) -> Maps:
    """Feature maps from the rows of their tiles, cropped to `size` (height, width).

    With `pool`, the rows are pooled too.
    """
    joined = toom_cook.join_pooled(rows) if pool else toom_cook.join(rows)
    n, down, across, tile, groups, outputs = joined.shape
    # Joined first and flattened then: in the other order each index would take XLA a division.
    maps = joined.reshape(n, down, across * tile, groups * outputs)
    height, width = size
    return maps[:, : (height - 1) // 2 if pool else height, :width]


def _materialise(function: Callable[[Maps], Maps], maps: Maps) -> Maps:
    """Result of an elementwise `function`, written to memory once before anything reads it.

    Behind a barrier alone, XLA for CPUs was seen to compute it again for each window of a pool. It does not do that to
    what is concatenated from parts, and shares the parts out between cores.
    """
    middle = maps.shape[1] // 2
    return jnp.concatenate([function(maps[:, :middle]), function(maps[:, middle:])], axis=1)


def max_pool(x: Float[Array, "n h w c"], axes: tuple[int, ...] = (1, 2)) -> Float[Array, "n _ _ c"]:
    """Maxima of each three at stride 2 along `axes`, by slices: on CPUs faster than a window reduction."""
    for axis in axes:
        last = 2 * ((x.shape[axis] - 1) // 2)
        first, second, third = (lax.slice_in_dim(x, i, last - 1 + i, 2, axis) for i in range(3))
        x = jnp.maximum(jnp.maximum(first, second), third)
    return x


def _convolve_directly(x: Float[Array, "n h w i"], kernel: Float[Array, "a b _ o"], stride: int = 1) -> Maps:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1] // kernel.shape[2],
    )
