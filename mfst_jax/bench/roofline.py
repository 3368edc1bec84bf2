"""Roofline of a program: its operations and bytes, and what a device manages of each in a second."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

CARDS = {
    "Tesla T4": (8.1, 320),
    "Tesla V100-SXM2-16GB": (15.7, 900),
    "NVIDIA TITAN Xp": (12.15, 547.7),
    "NVIDIA GeForce RTX 3090": (35.6, 936),
    "NVIDIA GeForce RTX 4090": (82.6, 1008),
    "NVIDIA L4": (30.3, 300),
    "NVIDIA A100-SXM4-40GB": (19.5, 1555),
    "NVIDIA A100-SXM4-80GB": (19.5, 2039),
    "NVIDIA H100 80GB HBM3": (67.0, 3350),
    "NVIDIA H200": (67.0, 4800),
}
"""TFLOP/s in float32 (no TF32) and GB/s, from NVIDIA's data sheets, by JAX's name of the card."""
WARM = 3
"""Number of calls that are not timed."""


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


@dataclass(frozen=True)
class Limits:
    """Limits of a device, in float32.

    Attributes:
      flops: Operations in a second.
      moved: Bytes in a second, read or written.
    """

    flops: float
    moved: float

    def least(self, work: Work) -> tuple[float, str]:
        """Least seconds for some work, and what they are bound by: operations or bytes.

        A compiler may do better that keeps arrays on the chip between two operations.
        """
        bounds = {"operations": work.flops / self.flops, "bytes": work.moved / self.moved}
        by = max(bounds, key=lambda name: bounds[name])
        return bounds[by], by


def work(function: Callable[..., Any], *arguments: Any) -> Work:
    """Work of one call of `function`, counted in what JAX traces: no compiler has changed it yet.

    Of a choice between programs the one with the most operations counts.
    """
    return _work(jax.make_jaxpr(function)(*arguments).jaxpr)


def measure_limits(side: int, megabytes: int, precision: str) -> Limits:
    """Limits of the default device: the fastest of several matrix products, and of several passes over memory.

    Args:
      side: of the matrices.
      megabytes: size of the array that is read and written.
      precision: of the products, as in `Config.precision`.
    """
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((side, side), np.float32))
    multiply = jax.jit(lambda a: jnp.matmul(a, a, precision=precision))
    numbers = jnp.zeros(megabytes * 2**18, jnp.float32)
    add = jax.jit(lambda x: x + 1)
    return Limits(
        2 * side**3 / min(seconds(lambda: multiply(matrix), 9)),
        2 * numbers.nbytes / min(seconds(lambda: add(numbers), 9)),
    )


def seconds(call: Callable[[], Any], rounds: int) -> list[float]:
    """Seconds of each of some calls, once the first ones are through, until its results are there."""
    found = []
    for number in range(WARM + rounds):
        start = time.perf_counter()
        jax.block_until_ready(call())
        if number >= WARM:
            found.append(time.perf_counter() - start)
    return found


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
        values = jax.tree.leaves(list(equation.params.values()), is_leaf=lambda value: hasattr(value, "eqns"))
        inner = [_work(getattr(value, "jaxpr", value)) for value in values if hasattr(value, "eqns")]
        if name == "cond":
            inner = [max(inner, key=lambda each: each.flops)]
        for _ in range(equation.params.get("length", 1) if name == "scan" else 1):
            total = sum(inner, total)
    return total


def _bytes(equation: Any) -> int:
    return sum(variable.aval.size * variable.aval.dtype.itemsize for variable in (*equation.invars, *equation.outvars))
