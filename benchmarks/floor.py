"""Floor of a step: its operations, and how fast this machine multiplies matrices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mfst_jax import tracker
from mfst_jax.bench.roofline import work
from mfst_jax.config import Config
from mfst_jax.params import Params

SIDE = 2048
"""Side of the matrices that are multiplied."""
MATMUL_FLOPS = 2 * SIDE**3


def step_flops(params: Params, config: Config) -> int:
    """Operations of one step by the plain modules, which compute each convolution directly."""
    frame, box = jnp.zeros((256, 256, 3), jnp.uint8), jnp.array([100, 100, 50, 50], jnp.float32)
    state = tracker.init(params, frame, box, config=config)
    return work(lambda *arguments: tracker.step(*arguments)[1].box, params, state, frame).flops


def make_matmul() -> Callable[[], Any]:
    """Function that multiplies large float32 matrices by XLA."""
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32))
    multiply = jax.jit(lambda a: a @ a)
    return lambda: multiply(matrix).block_until_ready()
