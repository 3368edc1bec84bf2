"""Both backbones on folded weights: by Toom-Cook for CPUs, by the library's own convolutions for anything else.

`mfst_jax.backbones` is the reference. Bias and ReLU come after a max pool, with which they commute; Caffe's local
response normalisation does not, and has them before it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.backbones import local_response_norm
from mfst_jax.config import LAYERS, Layer, Model
from mfst_jax.fast import stem, toom_cook
from mfst_jax.fast.folding import Folded
from mfst_jax.params import AlexNetVariant

Method = Literal["toom_cook", "direct"]
Weights = Mapping[Model, Mapping[str, tuple[Any, Float[Array, "o"]]]]
"""Filters and bias of each convolution, as `transform` makes them; of conv3 to conv5 as many as are needed."""
Maps = Float[Array, "n _ _ _"]

STRIP = 63
"""Rows of conv1 and conv2 to compute at a time, so that what lies between stays in cache: 4 k - 1 wastes least."""
SCHEMES = {"conv2": toom_cook.F_4_5, "conv3": toom_cook.F_4_3, "conv4": toom_cook.F_4_3, "conv5": toom_cook.F_4_3}


def transform(name: str, folded: Folded, inputs: int, method: Method) -> tuple[Any, np.ndarray]:
    """Filters and bias of one convolution, from its kernel and bias and its number of input channels."""
    kernel, bias = folded
    if method == "direct":
        return kernel.astype(np.float32), bias.astype(np.float32)
    if name == "conv1":
        return stem.transform_filters(kernel), bias.astype(np.float32)
    return toom_cook.transform_filters(kernel, inputs // kernel.shape[2], SCHEMES[name]), bias.astype(np.float32)


@dataclass(frozen=True)
class Backbones:
    """The backbones that there are weights for, on the same images."""

    weights: Weights
    alexnet: AlexNetVariant | None
    method: Method

    def features(self, images: Float[Array, "n side side 3"]) -> dict[Model, dict[Layer, Float[Array, "n _ _ _"]]]:
        """conv3 to conv5 of RGB images in 0..255, as far down as there are weights."""
        if self.method == "direct":
            pooled = self._pooled_directly(images)
        else:  # one image at a time stays in cache
            pooled = jax.tree.map(lambda x: x[:, 0], lax.map(self._pooled_by_strips, images))
        features: dict[Model, dict[Layer, Maps]] = {}
        for model, x in pooled.items():
            found: dict[Layer, Maps] = {}
            for layer in LAYERS:
                if layer in self.weights[model]:
                    relu = (model, layer) != ("siamfc", "conv5")
                    x = found[layer] = self._convolve(x, model, layer, relu=relu, done=features)
            features[model] = found
        return features

    def _pooled_directly(self, images: Float[Array, "n side side 3"]) -> dict[Model, Maps]:
        """conv1 and conv2, each with its pool."""
        pooled = self._pool_conv1(_convolve_directly(images, self._conv1(), stride=stem.STRIDE))
        return {
            model: self._pool(_convolve_directly(x, self.weights[model]["conv2"][0]), model, "conv2")
            for model, x in pooled.items()
        }

    def _pooled_by_strips(self, image: Float[Array, "side side 3"]) -> dict[Model, Maps]:
        """The same for one image, some rows at a time: so all stays in cache."""
        pairs, filters = stem.pair_rows(image), self._conv1()
        size = (image.shape[0] - stem.TAPS) // stem.STRIDE + 1
        maps = _by_strips(lambda first, rows, done: stem.convolve(pairs, filters, first, rows, done=done), size)
        pooled = jax.tree.map(lambda *strips: jnp.concatenate(strips, axis=1), *map(self._pool_conv1, maps))
        found: dict[Model, Maps] = {}
        scheme = SCHEMES["conv2"]
        for model, x in pooled.items():
            filters = self.weights[model]["conv2"][0]

            def convolve(first: int, rows: int, done: Any, x: Maps = x, filters: Any = filters) -> Maps:
                strip = x[:, first : first + rows + scheme.taps - 1]
                return toom_cook.convolve(strip, filters, scheme, done=(done, found))

            maps = _by_strips(convolve, x.shape[1] - scheme.taps + 1)
            found[model] = jnp.concatenate([self._pool(strip, model, "conv2") for strip in maps], axis=1)
        return found

    def _conv1(self) -> Any:
        """The filters of all backbones, as if they were one."""
        filters = [layers["conv1"][0] for layers in self.weights.values()]
        return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), *filters)

    def _pool_conv1(self, x: Maps) -> dict[Model, Maps]:
        ends = np.cumsum([layers["conv1"][1].shape[0] for layers in self.weights.values()])
        parts = jnp.split(x, ends[:-1], axis=-1)
        return {model: self._pool(part, model, "conv1") for model, part in zip(self.weights, parts, strict=True)}

    def _pool(self, x: Maps, model: Model, name: str) -> Maps:
        """Bias, ReLU and max pool, with what normalisation there is."""
        bias = self.weights[model][name][1].reshape(1, 1, 1, -1)
        if model == "alexnet" and self.alexnet == "caffe":
            return max_pool(local_response_norm(jax.nn.relu(x + bias)))
        return jax.nn.relu(max_pool(x) + bias)

    def _convolve(self, x: Maps, model: Model, name: str, *, relu: bool, done: Any) -> Float[Array, "n _ _ _"]:
        filters, bias = self.weights[model][name]
        if self.method == "toom_cook":
            return toom_cook.convolve(x, filters, SCHEMES[name], bias=bias, relu=relu, done=done)
        y = _convolve_directly(x, filters) + bias.reshape(1, 1, 1, -1)
        return jax.nn.relu(y) if relu else y


def _by_strips(convolve: Callable[[int, int, Any], Maps], rows: int) -> list[Maps]:
    """The rows of a convolution in strips for max pools, one after the other: the last row of each is the next's first.

    Args:
      convolve: from the first row, the number of rows and what has to be done before to these rows.
      rows: how many there are.
    """
    strips: list[Maps] = []
    for first in range(0, rows - 1, STRIP - 1):
        strips.append(convolve(first, min(STRIP, rows - first), strips[-1:]))
    return strips


def max_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n _ _ c"]:
    """The largest of each 3 x 3 at stride 2, by slices: on CPUs faster than a window reduction."""
    for axis in (1, 2):
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
