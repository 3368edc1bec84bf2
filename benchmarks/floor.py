"""Least work of a program, its operations and bytes, and how fast this machine multiplies matrices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mfst_jax import tracker
from mfst_jax.config import Config
from mfst_jax.params import Params

SIDE = 2048
"""Side of the matrices that are multiplied."""
MATMUL_FLOPS = 2 * SIDE**3


@dataclass(frozen=True)
class Work:
    """Work of a program's convolutions and matrix products.

    Attributes:
      flops: Multiplications and additions.
      moved: Bytes of their operands and results, each read or written once.
    """

    flops: int
    moved: int

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.moved + other.moved)


def work(function: Callable[..., Any], *arguments: Any) -> Work:
    """Work of one call of `function`, counted in what JAX traces: no compiler has changed it yet."""
    return _work(jax.make_jaxpr(function)(*arguments).jaxpr)


def step_flops(params: Params, config: Config) -> int:
    """Operations of one step by the plain modules, which compute each convolution directly."""
    frame, box = jnp.zeros((256, 256, 3), jnp.uint8), jnp.array([100, 100, 50, 50], jnp.float32)
    state = tracker.init(params, frame, box, config=config)
    return work(lambda *arguments: tracker.step(*arguments)[1].box, params, state, frame).flops


def _work(jaxpr: Any) -> Work:
    total = Work(0, 0)
    for equation in jaxpr.eqns:
        name, result = equation.primitive.name, equation.outvars[0].aval
        if name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            outputs = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
            total += Work(2 * result.size * int(np.prod(kernel)) // outputs, _bytes(equation))
        elif name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            depth = int(np.prod([equation.invars[0].aval.shape[axis] for axis in contracted]))
            total += Work(2 * result.size * depth, _bytes(equation))
        inner = jax.tree.leaves(list(equation.params.values()), is_leaf=lambda value: hasattr(value, "eqns"))
        for _ in range(equation.params.get("length", 1) if name == "scan" else 1):
            for value in inner:
                if hasattr(value, "eqns"):
                    total += _work(getattr(value, "jaxpr", value))
    return total


def _bytes(equation: Any) -> int:
    return sum(variable.aval.size * variable.aval.dtype.itemsize for variable in (*equation.invars, *equation.outvars))


def make_matmul() -> Callable[[], Any]:
    """Function that multiplies large float32 matrices by XLA."""
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32))
    multiply = jax.jit(lambda a: a @ a)
    return lambda: multiply(matrix).block_until_ready()
