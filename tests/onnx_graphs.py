"""Small ONNX graphs, run: what a stage of the exported graph makes of arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime
from spox import Tensor, Var, argument, build

Stage = Callable[..., Var | tuple[Var, ...]]


class Graph:
    """A function of values as a graph for arrays of any sizes."""

    def __init__(self, function: Stage, kinds: Sequence[tuple[Any, int]]):
        """`kinds` are the types of the arrays and their numbers of axes."""
        values = [argument(Tensor(kind, (None,) * axes)) for kind, axes in kinds]
        found = function(*values)
        outputs = found if isinstance(found, tuple) else (found,)
        model = build(
            {f"x{number}": value for number, value in enumerate(values)},
            {f"y{number}": value for number, value in enumerate(outputs)},
        )
        self._session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def __call__(self, *arrays: Any) -> Any:
        """What it gives: a list of arrays."""
        return self._session.run(None, {f"x{number}": np.asarray(array) for number, array in enumerate(arrays)})


def run(function: Stage, *arrays: Any) -> Any:
    """What a function of values gives for arrays: a list of arrays."""
    arrays = tuple(np.asarray(array) for array in arrays)
    return Graph(function, [(array.dtype, array.ndim) for array in arrays])(*arrays)
