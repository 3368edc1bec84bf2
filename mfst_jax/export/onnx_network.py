"""Second stage of the ONNX graph: features of the crops, their channel weights, and responses to the exemplar.

Maps are [n, channels, height, width] here, as ONNX has them, and [height, width, channels] in the state.
"""

from typing import Any

import numpy as np
import spox.opset.ai.onnx.v17 as op
from spox import Var

from mfst_jax.config import LAYERS, Config, Layer, Model
from mfst_jax.export.signature import SIDES
from mfst_jax.export.values import floats, ints, mean_over
from mfst_jax.fast.folding import fold
from mfst_jax.params import Params, uses_se

Maps = dict[Model, dict[Layer, Var]]


def features(images: Var, params: Params, config: Config) -> Maps:
    """Features of the models and layers in use before any SE-block, from RGB images in 0..255."""
    found: Maps = {}
    for model in config.models:
        folded, inputs = fold(params, model), 3
        normalised = model == "alexnet" and params.contents.alexnet == "caffe"
        x, by_layer = images, {}
        for name in ("conv1", "conv2", *LAYERS[: LAYERS.index(config.layers(model)[-1]) + 1]):
            kernel, bias = folded[name]
            weights = floats(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32))
            stride, groups = 2 if name == "conv1" else 1, inputs // kernel.shape[2]
            x, inputs = op.conv(x, weights, floats(bias), strides=[stride, stride], group=groups), kernel.shape[3]
            if (model, name) != ("siamfc", "conv5"):
                x = op.relu(x)
            if name in LAYERS:
                by_layer[name] = x
            else:
                # Krizhevsky et al. 2012, section 3.3, with the constants of Caffe's AlexNet
                x = op.lrn(x, size=5, alpha=1e-4, beta=0.75, bias=1.0) if normalised else x
                x, _ = op.max_pool(x, kernel_shape=[3, 3], strides=[2, 2])
        found[model] = {layer: by_layer[layer] for layer in config.layers(model)}
    return found


def channel_weights(maps: Var, params: Params, model: Model, layer: Layer) -> Var:
    """Weights [n, channels] in (0, 1) by the SE-block of a layer, from its features."""
    block = params.variables["params"][f"{model}_se"][layer]
    hidden = op.relu(_dense(mean_over(maps, [2, 3]), block["squeeze"]))
    return op.sigmoid(_dense(hidden, block["excite"]))


def recalibrate(maps: Var, weights: Var) -> Var:
    """Features times their channel weights."""
    return op.mul(maps, op.unsqueeze(weights, ints([2, 3])))


def recalibrated(maps: Maps, shared: Maps, params: Params, config: Config) -> tuple[Maps, Maps]:
    """Features times their channel weights, and these weights.

    Args:
      maps: the features of all crops.
      shared: channel weights [1, channels] that the exemplar brings; other features set their own.
      params: the weights.
      config: the configuration.
    """
    found: Maps = {}
    by_model: Maps = {}
    for model, by_layer in maps.items():
        if not uses_se(params.contents, config, model):
            found[model] = by_layer
            continue
        own = {layer: channel_weights(x, params, model, layer) for layer, x in by_layer.items()}
        by_model[model] = shared.get(model, own)
        found[model] = {layer: recalibrate(x, by_model[model][layer]) for layer, x in by_layer.items()}
    return found, by_model


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


def _dense(x: Var, layer: dict[str, Any]) -> Var:
    return op.add(op.matmul(x, floats(layer["kernel"])), floats(layer["bias"]))
