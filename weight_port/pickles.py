"""Pickled trees of NumPy arrays, read without running anything of theirs.

A pickle is a program: it may call whatever it can name. Here it can name the three globals that a pickled array needs,
and gets stand-ins for them, which check every argument themselves; NumPy never sees what the file says unchecked. Any
other name is refused before anything is looked up.

Reference: the array and dtype states are those of `numpy.ndarray.__reduce__` and `numpy.dtype.__reduce__`.
"""

import io
import math
import pickle
import pickletools
import re
from typing import Any

import numpy as np

_DEEPEST = 8
_MOST_TENSORS = 10_000


def loads(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of a pickled nested dictionary, by their path in it joined by slashes.

    Raises:
      pickle.UnpicklingError: a global outside the allow-list (the message names it), or something other than
        dictionaries with text keys around arrays of numbers.
      Exception: whatever else a damaged pickle makes the unpickler raise.
    """
    _check_memo(data)
    arrays: dict[str, np.ndarray] = {}
    _collect(_Unpickler(io.BytesIO(data)).load(), "", 0, arrays)
    return arrays


def _check_memo(data: bytes) -> None:
    """Refuses memo indices beyond the number of opcodes: the unpickler would make room for all the ones below."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int) and argument > count:
            raise pickle.UnpicklingError(f"expected memo indices in order, found {argument} at opcode {count}")


def _collect(node: Any, path: str, depth: int, arrays: dict[str, np.ndarray]) -> None:
    if isinstance(node, _Array):
        if len(arrays) == _MOST_TENSORS:
            raise pickle.UnpicklingError(f"expected at most {_MOST_TENSORS} arrays, found more")
        arrays[path] = node.value()
        return
    if not isinstance(node, dict) or depth == _DEEPEST:
        found = f"more than {_DEEPEST} levels" if isinstance(node, dict) else type(node).__name__
        raise pickle.UnpicklingError(f"expected dictionaries around arrays, found {found} at {path or 'the top'!r}")
    for key, child in node.items():
        if not isinstance(key, str):
            raise pickle.UnpicklingError(f"expected text as key, found {type(key).__name__} at {path or 'the top'!r}")
        _collect(child, f"{path}/{key}" if path else key, depth + 1, arrays)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # A new function each time: what the pickle does to it stays with this pickle.
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return lambda *_: _Array()
        if (module, name) == ("numpy", "dtype"):
            return lambda code, *_: _Dtype(code)
        if (module, name) == ("numpy", "ndarray"):
            return "numpy.ndarray"  # only ever an argument of _reconstruct
        raise pickle.UnpicklingError(f"refused the global {module}.{name}, which no array needs")


class _Dtype:
    """Stands in for `numpy.dtype`: a number type and its byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any):
        if not isinstance(code, str) or not re.fullmatch(r"[fiu][1248]|b1", code):
            raise pickle.UnpicklingError(f"expected the dtype of numbers, found {code!r:.40}")
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        _, order, *_ = state
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"expected a byte order, found {order!r:.40}")
        self.order = order

    def value(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Array:
    """Stands in for `numpy.ndarray`: the checked state, from which `value` makes the array."""

    __slots__ = ("data", "dtype", "fortran", "shape")

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
            raise pickle.UnpicklingError(f"expected the shape of an array, found {shape!r:.40}")
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("expected a dtype and bytes as the state of an array, found something else")
        self.shape, self.dtype, self.fortran, self.data = shape, dtype, bool(fortran), data

    def value(self) -> np.ndarray:
        if not hasattr(self, "data"):
            raise pickle.UnpicklingError("expected the content of an array, found none")
        dtype = self.dtype.value()
        expected = math.prod(self.shape) * dtype.itemsize
        if len(self.data) != expected:
            raise pickle.UnpicklingError(f"expected {expected} bytes for shape {self.shape}, found {len(self.data)}")
        return np.frombuffer(self.data, dtype).reshape(self.shape, order="F" if self.fortran else "C")
