"""Values of an ONNX graph: constants, and the few operations that every stage needs, as NumPy calls them."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import spox.opset.ai.onnx.v17 as op
from spox import Var


def floats(value: Any) -> Var:
    """Constant in float32."""
    return op.const(np.asarray(value, np.float32))


def ints(value: Any) -> Var:
    """Constant in int64, which shapes and indices are in."""
    return op.const(np.asarray(value, np.int64))


def cast(value: Var, kind: type[np.generic]) -> Var:
    """Value in another type."""
    return op.cast(value, to=kind)


def total(values: Sequence[Var]) -> Var:
    """Sum of several values, from the first to the last."""
    return reduce(op.add, values)


def sum_over(value: Var, axes: Sequence[int], *, keepdims: bool = False) -> Var:
    """Sum over axes."""
    return op.reduce_sum(value, ints(axes), keepdims=int(keepdims))


def mean_over(value: Var, axes: Sequence[int] | None = None) -> Var:
    """Mean over axes, or over all of them."""
    return op.reduce_mean(value, axes=axes, keepdims=0)


def highest(value: Var, axes: Sequence[int] | None = None, *, keepdims: bool = False) -> Var:
    """Maximum over axes, or over all of them."""
    return op.reduce_max(value, axes=axes, keepdims=int(keepdims))


def lowest(value: Var, axes: Sequence[int] | None = None) -> Var:
    """Minimum over axes, or over all of them."""
    return op.reduce_min(value, axes=axes, keepdims=0)


def length(value: Var, axis: int) -> Var:
    """Length of an axis, int64 []."""
    return op.reshape(op.shape(value, start=axis, end=axis + 1), ints(np.zeros(0)))


def as_vector(value: Var) -> Var:
    """Value [] or [1] as [1], as slices and shapes want it."""
    return op.reshape(value, ints([1]))


def choose(condition: Var, then: Any, otherwise: Any) -> Var:
    """Constant `then` or `otherwise`, which may differ in their sizes."""
    (chosen,) = op.if_(condition, then_branch=lambda: [op.const(then)], else_branch=lambda: [op.const(otherwise)])
    return chosen


def divide_or_keep(value: Var, divisor: Var) -> Var:
    """Value over a divisor; where the divisor is not above 0, the value itself."""
    return op.div(value, op.where(op.greater(divisor, floats(0)), divisor, floats(1)))
