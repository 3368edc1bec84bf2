"""Folding of weights for inference: BN, normalisation and all else that is linear goes into kernels and biases."""

from typing import Any

import numpy as np
from jaxtyping import Float

from mfst_jax.backbones import BATCH_NORM_EPSILON, IMAGENET_MEAN, IMAGENET_STD, LUMINANCE
from mfst_jax.config import Model
from mfst_jax.params import Contents, Params

Folded = tuple[Float[np.ndarray, "h w i o"], Float[np.ndarray, " o"]]
"""Kernel and bias of a convolution, in float64."""


def fold(params: Params, model: Model) -> dict[str, Folded]:
    """Folded convolutions of one backbone by name.

    conv1 takes RGB in 0..255, and nothing but ReLU is left to do after each convolution.
    """
    layers: dict[str, Any] = params.variables["params"][model]
    folded: dict[str, Folded] = {}
    for number in range(1, 6):
        name = f"conv{number}"
        kernel = np.asarray(layers[name]["kernel"], np.float64)
        bias = np.asarray(layers[name].get("bias", np.zeros(kernel.shape[-1])), np.float64)
        if number == 1:
            kernel, bias = _from_rgb(kernel, bias, params.contents, model)
        if f"bn{number}" in layers:
            kernel, bias = _fold_norm(
                kernel, bias, layers[f"bn{number}"], params.variables["batch_stats"][model][f"bn{number}"]
            )
        folded[name] = kernel, bias
    return folded


def _from_rgb(kernel: np.ndarray, bias: np.ndarray, contents: Contents, model: Model) -> Folded:
    """conv1 with the backbone's own preparation of the image folded in."""
    if model == "siamfc" and contents.siamfc_grey:  # its one input channel is sum_c l_c x_c
        return kernel * LUMINANCE[0, 0, 0].astype(np.float64)[:, None], bias
    normalised = contents.alexnet == "torchvision" if model == "alexnet" else contents.siamfc_variant == "alexnet"
    if normalised:  # (x / 255 - mean) / std
        mean, std = (constant.astype(np.float64).reshape(3, 1) for constant in (IMAGENET_MEAN, IMAGENET_STD))
        return kernel / (255 * std), bias - np.sum(kernel * (mean / std), axis=(0, 1, 2))
    return kernel, bias


def _fold_norm(kernel: np.ndarray, bias: np.ndarray, norm: Any, statistics: Any) -> Folded:
    """Kernel and bias with BN folded in: `scale (x - mean) / sqrt(var + epsilon) + shift` after the convolution."""
    scale, shift, mean, var = (
        np.asarray(array, np.float64) for array in (norm["scale"], norm["bias"], statistics["mean"], statistics["var"])
    )
    scale = scale / np.sqrt(var + BATCH_NORM_EPSILON)
    return kernel * scale, (bias - mean) * scale + shift
