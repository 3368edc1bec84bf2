"""Random inputs for timing and for tests: frames of noise, boxes, and weights."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mfst_jax.config import MODELS, Config, Preset
from mfst_jax.model import MFST
from mfst_jax.params import AlexNetVariant, Contents, Params

Size = tuple[int, int]
"""Height and width of a frame, in pixels."""


def noise(size: Size, count: int) -> np.ndarray:
    """Frames of noise, [count, height, width, 3] uint8."""
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def random_boxes(size: Size, count: int) -> np.ndarray:
    """Random boxes [count, 4] float32 within a frame, a sixth of it wide and high."""
    height, width = size
    corners = np.random.default_rng(1).uniform(0.1, 0.7, (count, 2)) * (width, height)
    return np.hstack([corners, np.tile([width / 6, height / 6], (count, 1))]).astype(np.float32)


def alexnet_of(preset: Preset) -> AlexNetVariant:
    """Variant of AlexNet that a preset is meant for."""
    return "caffe" if preset == "authors" else "torchvision"


def random_params(config: Config, alexnet: AlexNetVariant = "torchvision", *, se: bool = True) -> Params:
    """Random weights of the backbones that `config` uses, with features of the usual size.

    Args:
      config: which backbones there are.
      alexnet: the variant of the backbone A.
      se: whether there are SE-blocks, unless `config` turns them off.
    """
    siamfc, has_alexnet = (model in config.models for model in MODELS)
    se = se and config.se is not False
    contents = Contents(siamfc, alexnet if has_alexnet else None, siamfc and se, has_alexnet and se)
    example = jnp.zeros((127, 127, 3), jnp.float32), jnp.zeros((1, 255, 255, 3), jnp.float32)
    shapes = jax.eval_shape(MFST(contents, config).init, jax.random.key(0), *example)
    rng = np.random.default_rng(0)

    def fill(path: Sequence[Any], leaf: Any) -> jax.Array:
        name = path[-1].key
        if name == "kernel":
            values = rng.standard_normal(leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))
        else:
            values = np.full(leaf.shape, 1.0 if name in ("scale", "var") else 0.0)
        return jnp.asarray(values, leaf.dtype)

    return Params(dict(jax.tree_util.tree_map_with_path(fill, shapes)), contents)
