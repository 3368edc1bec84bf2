"""Random weights, for benchmarks, tests and trials: the right shapes, and features of the usual size."""

import math

import jax.numpy as jnp
import numpy as np

from mfst_jax.checkpoints import weight_names
from mfst_jax.config import Config
from mfst_jax.params import Contents, Params, contents_for


def random_params(config: Config | Contents, seed: int = 0) -> Params:
    """Random weights of the network that a configuration uses.

    Kernels are normally distributed with a variance of 2 over the number of inputs (He et al. 2015), so that features
    keep their size from layer to layer. Biases are 0, and batch normalisation changes nothing.

    Args:
      config: how the weights will be used: they hold its backbones, A in torchvision's variant, and SE-blocks unless it
        turns them off (`params.contents_for`). Or the contents themselves.
      seed: seed of the kernels; the same one gives the same weights.

    Returns:
      Weights with the names and shapes that `weight_names.expected` lists, float32, on JAX's default device.
    """
    contents = contents_for(config) if isinstance(config, Config) else config
    rng = np.random.default_rng(seed)
    arrays = {name: jnp.asarray(_draw(rng, name, shape)) for name, shape in weight_names.expected(contents).items()}
    return Params(weight_names.nest(arrays), contents)


def _draw(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    match name.rpartition("/")[2]:
        case "kernel":
            return rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / math.prod(shape[:-1])))
        case "scale" | "var":
            return np.ones(shape, np.float32)
        case _:
            return np.zeros(shape, np.float32)
