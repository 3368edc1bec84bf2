"""SE-blocks that come with the package, and the published backbones that they were trained on.

Backbones that others published are not ours to ship; the SE-blocks that we trained for them are. Each of their files
also holds a fingerprint of the backbone, by which `checkpoints.load` recognises it in a user's weights.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import Float

from mfst_jax.checkpoints import weight_names
from mfst_jax.config import LAYERS, MODELS, Model
from mfst_jax.params import Contents, Params

FOLDER = Path(__file__).parents[1] / "weights"
FINGERPRINT = "fingerprint"
TOLERANCE = 0.01
"""Relative difference allowed between two norms. Rounding to float16 makes 2e-4, another training several tenths."""


def attach(params: Params) -> Params:
    """Weights with our SE-blocks for each backbone that these were trained on, where it has none of its own.

    AlexNet gets them only beside an S with SiamFC's network, for by itself it tracks better without (docs/training.md).
    Weights that recommend a configuration stay as they are.
    """
    contents = with_attached(params)
    if contents == params.contents:
        return params
    variables = {**params.variables, "params": {**params.variables["params"]}}
    for model in MODELS:
        if contents.holds_se(model) and not params.contents.holds_se(model):
            variables["params"][f"{model}_se"] = weight_names.nest(
                {
                    name: jnp.asarray(weight_names.to_float32(array))
                    for name, array in read(model).items()
                    if name != FINGERPRINT
                }
            )
    return Params(variables, contents)


def with_attached(params: Params) -> Contents:
    """Contents that weights have once `attach` has given them our SE-blocks. No array is put on a device for it."""
    contents = params.contents
    if contents.config is not None or not contents.siamfc or contents.siamfc_variant != "siamfc":
        return contents
    held: dict[str, Any] = {
        f"{model}_se": True
        for model in MODELS
        if contents.holds(model)
        and not contents.holds_se(model)
        and is_same(fingerprint(params.variables["params"][model]), read(model)[FINGERPRINT])
    }
    return dataclasses.replace(contents, **held)


def fingerprint(backbone: Mapping[str, Any]) -> Float[np.ndarray, " filters"]:
    """Norms of the filters of conv3, conv4 and conv5: conversion and rounding keep them, another training does not."""
    kernels = [np.asarray(backbone[layer]["kernel"], np.float32) for layer in LAYERS]
    return np.concatenate([np.sqrt(np.sum(np.square(kernel), axis=(0, 1, 2))) for kernel in kernels])


def is_same(one: Float[np.ndarray, " filters"], other: Float[np.ndarray, " filters_2"]) -> bool:
    """Whether two fingerprints are of the same training."""
    return one.shape == other.shape and bool(np.all(np.abs(one - other) <= TOLERANCE * np.abs(other)))


@functools.cache
def read(model: Model) -> dict[str, np.ndarray]:
    """SE-blocks of `model` by their names within the branch, and the backbone's fingerprint."""
    arrays, branch = safetensors.numpy.load_file(FOLDER / f"{model}_se.safetensors"), f"params/{model}_se/"
    return {name.removeprefix(branch): array for name, array in arrays.items()}
