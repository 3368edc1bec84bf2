"""Pickled trees of NumPy arrays, and `.npy` files that hold one, read without running anything of theirs.

What a pickled array names has stand-ins here, which check every argument themselves; NumPy never sees unchecked values
of a file. They know arrays as Python 2 and 3 pickle them at protocol 2 to 5.

Reference: `numpy.ndarray.__reduce_ex__` and `numpy.dtype.__reduce__` for the arguments and states, NEP 1 for `.npy`.
"""

import math
import pickle
import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from weight_port.formats import pickle_machine, pickled_values
from weight_port.formats.pickled_values import Buildable, Function, Leaf, LongText, Tree, Unread, shown

_LONGEST_HEADER = 1024
_NUMBERS = re.compile(r"[iu][1248]|f[248]|b1")
_OTHERS = {"O": "objects", "U": "text", "S": "text", "a": "text", "M": "dates", "m": "durations", "V": "records"}
_OTHERS |= {"c": "complex numbers", "f": "floats of another width"}
_ORDERS = ("<", ">", "|", "=")


def loads(data: bytes, names: Mapping[str, Any] | None = None) -> Tree:
    """Arrays of a pickled tree of dictionaries, lists and tuples, and what else is in there.

    The arrays may be views of `data`.

    Args:
      data: the pickle.
      names: what its globals stand for, where it is more than `NAMES`.

    Raises:
      pickle.UnpicklingError: a name that is refused (the message gives it), an array that is not as it claims, damage,
        or more than the limits of `pickled_values`.
      ValueError: text that should be a number or text and is none.
    """
    top, _ = pickle_machine.load(data, NAMES if names is None else names)
    return pickled_values.collect(top)


def loads_npy(data: bytes) -> Tree:
    """Arrays of the tree that `numpy.save` pickled as an array of one object, as by `loads`.

    A plain array of numbers is refused: it has no name.

    Raises:
      pickle.UnpicklingError, ValueError: as in `loads`, and for any other header.
    """
    lengths = 2 if data[6:7] == b"\1" else 4
    start = 8 + lengths
    length = int.from_bytes(data[8:start], "little")
    header = data[start : start + min(length, _LONGEST_HEADER)]
    if not re.fullmatch(rb"\{'descr': '\|O\d?', 'fortran_order': (True|False), 'shape': \(\), ?\}\s*", header):
        raise ValueError(f"expected the header of one pickled object, found {bytes(header)!r:.100}")
    top, _ = pickle_machine.load(data, NAMES, start=start + length)
    return pickled_values.collect(top.item() if isinstance(top, _Array) else top)


class _Dtype(Buildable):
    """Stand-in for `numpy.dtype`: a number type and its byte order, or something else as long as no array has it."""

    def __init__(self, code: Any):
        self.code, self.order = pickled_values.name(code), "="

    def build(self, state: Any) -> None:
        match state:
            case (_, order, *_):
                self.order = pickled_values.name(order)
            case _:
                raise pickle.UnpicklingError(f"expected the state of a dtype, found {shown(state)}")

    def odd(self) -> str | None:
        """Type that it stands for, where that is no numbers; None where it is."""
        if _NUMBERS.fullmatch(self.code) or not re.fullmatch(r"[OUSaMmV]\d*|c(8|16|32)|f(12|16)", self.code):
            return None
        return _OTHERS[self.code[0]] if self.order in _ORDERS else None

    def value(self) -> np.dtype:
        if not _NUMBERS.fullmatch(self.code) or self.order not in _ORDERS:
            raise pickle.UnpicklingError(f"expected the dtype of numbers, found {shown(self.order + self.code)}")
        return np.dtype(self.order + self.code)


class _Array(Leaf, Buildable):
    """Stand-in for `numpy.ndarray`."""

    def __init__(self) -> None:
        self.dtype: Any = None
        self.shape: tuple[int, ...] = ()
        self.order: Literal["C", "F"] = "C"
        self.axes: tuple[int, ...] | None = None
        self.data: Any = None

    def build(self, state: Any) -> None:
        match state:
            case (_, shape, dtype, fortran, data):
                self.shape, self.order = pickled_values.extents(shape), "F" if fortran else "C"
                self.dtype, self.data = dtype, data
            case _:
                raise pickle.UnpicklingError(f"expected the state of an array, found {shown(state)}")

    def item(self) -> Any:
        """Object in an array of one object."""
        if not isinstance(self.data, list) or len(self.data) != 1:
            raise pickle.UnpicklingError(f"expected one pickled object, found {shown(self.data)} of another length")
        return self.data[0]

    def odd(self) -> str | None:
        what = self.dtype.odd() if isinstance(self.dtype, _Dtype) else None
        return None if what is None else f"array of {what}"

    def nbytes(self) -> int:
        return math.prod(self.shape) * self._dtype().itemsize

    def array(self) -> np.ndarray:
        data = raw(self.data)
        if len(data) != self.nbytes():
            raise pickle.UnpicklingError(f"expected {self.nbytes()} bytes for shape {self.shape}, found {len(data)}")
        array = np.frombuffer(data, self._dtype()).reshape(self.shape, order=self.order)
        return array if self.axes is None else array.transpose(self.axes)

    def _dtype(self) -> np.dtype:
        if not isinstance(self.dtype, _Dtype):
            raise pickle.UnpicklingError(f"expected the dtype of an array, found {shown(self.dtype)}")
        return self.dtype.value()


def raw(data: Any) -> bytes | memoryview:
    """Bytes of an array. Protocol 2 has them as text, one character for each byte."""
    if isinstance(data, memoryview):
        return data
    if isinstance(data, LongText):
        if np.frombuffer(data.utf8, np.uint8).max() > 0xC3:  # it would take up to four times the room first
            raise pickle.UnpicklingError("expected one character for a byte, found others")
        data = str(data.utf8, "utf-8")
    if not isinstance(data, str):
        raise pickle.UnpicklingError(f"expected the bytes of an array, found {shown(data)}")
    return data.encode("latin-1")


def _encode(text: Any, encoding: Any) -> Any:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"expected bytes as Latin-1, found {shown(encoding)}")
    return text


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> _Array:
    if order not in ("C", "F", "K"):
        raise pickle.UnpicklingError(f"expected the order of an array, found {shown(order)}")
    array = _Array()
    array.build((1, shape, dtype, order == "F", data))
    array.axes = None if axes is None else pickled_values.extents(axes)
    return array


def _ordered_dict(pairs: Any = None) -> dict[str, Any]:
    """Dictionary from a list of its pairs, as Python 2 hands it over, after which the list is of no use.

    Later pairs are set as items.
    """
    result: dict[str, Any] = {}
    if pairs is None:
        return result
    if not isinstance(pairs, list):
        raise pickle.UnpicklingError(f"expected a list of pairs, found {shown(pairs)}")
    for key, value in pairs:
        pickled_values.fill(result, (key, value))
    pairs[:] = [None]  # no pair, so that a file cannot have any number of dictionaries made of the same list
    return result


def _deque(items: Any = None, *_: Any) -> list[Any]:
    """List of items, as Python 2 hands it over. Later items are appended."""
    return items if isinstance(items, list) else []


def _getattr(path: str) -> Function:
    """Stand-in for an attribute: protocol 2 has classes within classes as attributes."""

    def run(owner: Any, *_: Any) -> Unread:
        if not isinstance(owner, Unread):
            raise pickle.UnpicklingError(f"refused the global {path}, which no array needs")
        return owner

    return Function(run)


NAMES: dict[str, Any] = {
    **{f"numpy.{core}.multiarray._reconstruct": Function(lambda *_: _Array()) for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": Function(lambda *_: None) for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": Function(_frombuffer) for core in ("core", "_core")},
    **dict.fromkeys(("numpy.ndarray", "numpy.memmap", "numpy.core.memmap.memmap")),  # only arguments of _reconstruct
    "numpy.dtype": Function(lambda code, *_: _Dtype(code)),
    "_codecs.encode": Function(_encode),
    "__builtin__.bytes": Function(lambda: memoryview(b"")),  # that is how protocol 2 has no bytes at all
    "builtins.bytes": Function(lambda: memoryview(b"")),
    "__builtin__.getattr": _getattr("__builtin__.getattr"),
    "builtins.getattr": _getattr("builtins.getattr"),
    "collections.OrderedDict": Function(_ordered_dict),
    "collections.defaultdict": Function(lambda *_: {}),  # what is in it follows as items
    "collections.deque": Function(_deque),
    "collections.Counter": Function(lambda counts=None: counts),  # the milestones of learning rate schedules
}
"""Stand-ins for the globals of a pickled tree."""
