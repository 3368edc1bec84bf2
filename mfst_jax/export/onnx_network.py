"""Second stage of the ONNX graph: features of the crops, their channel weights, and responses to the exemplar.

Maps are [n, channels, height, width] here, as ONNX has them, and [height, width, channels] in the state.
"""

from typing import NamedTuple

import numpy as np
import spox.opset.ai.onnx.v17 as op
from spox import Var

from mfst_jax.config import LAYERS, Config, Layer, LowerLayer, Model
from mfst_jax.export.signature import SIDES
from mfst_jax.export.values import floats, ints, mean_over
from mfst_jax.fast.folding import fold
from mfst_jax.params import Params, uses_se

Maps = dict[Model, dict[Layer | LowerLayer, Var]]


class Exemplar(NamedTuple):
    """Features of the target, as the state has them.

    Attributes:
      features: Recalibrated, [height, width, channels].
      channel_weights: Weights [1, channels] of models whose search features share them.
    """

    features: Maps
    channel_weights: Maps


class Linear(NamedTuple):
    """Weights of a convolution or a dense layer, as constants.

    Attributes:
      kernel: [output channels, input channels of a group, height, width], or [inputs, outputs] of a dense layer.
      bias: [output channels], or [outputs].
      groups: Groups of channels of a convolution.
    """

    kernel: Var
    bias: Var
    groups: int = 1


class Network:
    """Backbones and SE-blocks in use. Their weights are in the graph once, whatever branches of it apply them."""

    def __init__(self, params: Params, config: Config):
        self._params, self._config = params, config
        self._convolutions = {model: _convolutions(params, config, model) for model in config.models}
        self._blocks: dict[Model, dict[Layer | LowerLayer, tuple[Linear, Linear]]] = {
            model: {layer: _block(params, model, layer) for layer in config.layers(model)}
            for model in config.models
            if uses_se(params.contents, config, model)
        }

    def features(self, images: Var) -> Maps:
        """Features of the models and layers in use before any SE-block, from RGB images in 0..255.

        Of A there are those below conv3 that correlation filters look at, too.
        """
        found: Maps = {}
        for model, convolutions in self._convolutions.items():
            normalised = model == "alexnet" and self._params.contents.alexnet == "caffe"
            x, by_layer = images, {}
            for name, (kernel, bias, groups) in convolutions.items():
                stride = 2 if name == "conv1" else 1
                x = op.conv(x, kernel, bias, strides=[stride, stride], group=groups)
                if (model, name) != ("siamfc", "conv5"):
                    x = op.relu(x)
                if name in LAYERS:
                    by_layer[name] = x
                else:
                    # Krizhevsky et al. 2012, section 3.3, with the constants of Caffe's AlexNet
                    x = op.lrn(x, size=5, alpha=1e-4, beta=0.75, bias=1.0) if normalised else x
                    x, _ = op.max_pool(x, kernel_shape=[3, 3], strides=[2, 2])
                    by_layer[name.replace("conv", "pool")] = x
            wanted = (*self._config.layers_below(model), *self._config.layers(model))
            found[model] = {layer: by_layer[layer] for layer in wanted}
        return found

    def match(self, exemplar: Exemplar, maps: Maps) -> tuple[Maps, Maps]:
        """Response maps [regions, cells, cells] of each layer, and recalibrated features, from those of the regions."""
        maps, _ = self.recalibrated(maps, exemplar.channel_weights)
        return respond(exemplar.features, maps, self._config), maps

    def recalibrated(self, maps: Maps, shared: Maps) -> tuple[Maps, Maps]:
        """Features times their channel weights, and these weights.

        Args:
          maps: the features of all crops.
          shared: channel weights [1, channels] that the exemplar brings; other features set their own.
        """
        found: Maps = {}
        by_model: Maps = {}
        for model, by_layer in maps.items():
            if model not in self._blocks:
                found[model] = by_layer
                continue
            blocks = self._blocks[model]
            by_model[model] = weights = shared.get(model) or {
                layer: channel_weights(by_layer[layer], *block) for layer, block in blocks.items()
            }
            found[model] = by_layer | {layer: recalibrate(by_layer[layer], w) for layer, w in weights.items()}
        return found, by_model


def _convolutions(params: Params, config: Config, model: Model) -> dict[str, Linear]:
    """Convolutions of a backbone up to the last layer in use, in network order."""
    folded, inputs, found = fold(params, model), 3, {}
    for name in ("conv1", "conv2", *LAYERS[: LAYERS.index(config.layers(model)[-1]) + 1]):
        kernel, bias = folded[name]
        ours = floats(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32))
        found[name] = Linear(ours, floats(bias), groups=inputs // kernel.shape[2])
        inputs = kernel.shape[3]
    return found


def _block(params: Params, model: Model, layer: Layer) -> tuple[Linear, Linear]:
    """Both dense layers of a layer's SE-block: the one that squeezes, and the one that excites."""
    block = params.variables["params"][f"{model}_se"][layer]
    squeeze, excite = (
        Linear(floats(block[part]["kernel"]), floats(block[part]["bias"])) for part in ("squeeze", "excite")
    )
    return squeeze, excite


def channel_weights(maps: Var, squeeze: Linear, excite: Linear) -> Var:
    """Weights [n, channels] in (0, 1) by the SE-block of a layer, from its features."""
    return op.sigmoid(_dense(op.relu(_dense(mean_over(maps, [2, 3]), squeeze)), excite))


def recalibrate(maps: Var, weights: Var) -> Var:
    """Features times their channel weights."""
    return op.mul(maps, op.unsqueeze(weights, ints([2, 3])))


def respond(exemplar: Maps, maps: Maps, config: Config) -> Maps:
    """Response maps [regions, cells, cells] of each layer.

    Args:
      exemplar: recalibrated features of the target, [height, width, channels].
      maps: recalibrated features of the search regions.
      config: the layers in use, and their response factors.
    """
    return {
        model: {
            layer: op.mul(floats(factor), cross_correlate(exemplar[model][layer], maps[model][layer], SIDES[layer]))
            for layer, factor in zip(config.layers(model), config.factors(model), strict=True)
        }
        for model in config.models
    }


def cross_correlate(exemplar: Var, maps: Var, side: int) -> Var:
    """Cross-correlation [n, rows, columns] (equation 4).

    One matrix product has each of the exemplar's cells with each of the maps'; convolutions with ones and zeros sum its
    shifts, along columns and then along rows. ONNX Runtime takes several times as long for one convolution with the
    exemplar as its filter.

    Args:
      exemplar: [side, side, channels].
      maps: [n, channels, height, width].
      side: cells on a side of the exemplar.
    """
    by_cell = op.reshape(exemplar, ints([side * side, -1]))
    products = op.matmul(by_cell, op.reshape(maps, ints([0, 0, -1])))
    size = op.concat([ints([-1, side * side]), op.shape(maps, start=2)], axis=0)
    shifts = np.eye(side)
    by_row = op.conv(op.reshape(products, size), floats(np.tile(shifts, (side, 1, 1))[:, :, None, :]), group=side)
    return op.squeeze(op.conv(by_row, floats(shifts[None, :, :, None])), ints([1]))


def _dense(x: Var, layer: Linear) -> Var:
    return op.add(op.matmul(x, layer.kernel), layer.bias)
