"""The values that a pickle of unknown origin is made of here, and the arrays gathered from them.

Text is `str`, and `LongText` where it is too long for a name. Bytes, and with them the text of Python 2, are views of
the file. Keys of dictionaries are text, whatever they were. What a pickle builds or calls for is a stand-in.

Nothing here hashes, compares or prints what a file nests, and what nests is walked through within limits: a value that
is in many places of a small file may stand for more than any memory holds.
"""

import itertools
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LIMIT = 2**30
"""The most bytes that the arrays of one file may take."""
_MOST_ENTRIES = 500_000
_MOST_ARRAYS = 10_000
_DEEPEST = 32
LONGEST_NAME = 255
_LONGEST_PATH = 1000


@dataclass(frozen=True)
class Function:
    """A name that a pickle may call; `run` takes the stand-ins and plain values that it is called with."""

    run: Callable[..., Any]


@dataclass(frozen=True)
class LongText:
    """Text too long for a name, undecoded."""

    utf8: memoryview


class Buildable(ABC):
    """Stands in for something whose content follows as a state."""

    @abstractmethod
    def build(self, state: Any) -> None:
        """Takes the state, after checking it."""


class Leaf(ABC):
    """Stands in for an array."""

    @abstractmethod
    def nbytes(self) -> int:
        """The size of the array, before there is one."""

    @abstractmethod
    def array(self) -> np.ndarray:
        """The array itself, as a view of the file where that is possible."""


def collect(top: Any) -> dict[str, np.ndarray]:
    """The arrays in nested dictionaries, lists and tuples, by their keys and indices joined by slashes.

    Everything else in there is passed over.

    Raises:
      pickle.UnpicklingError: two arrays with the same path, or more levels, entries, arrays or bytes than the limits.
      ValueError: what an array itself raises.
    """
    arrays: dict[str, np.ndarray] = {}
    nbytes = 0
    for path, leaf in _leaves(top, "", 0, itertools.count()):
        if path in arrays:
            raise pickle.UnpicklingError(f"expected every path once, found {path!r} twice")
        if len(arrays) == _MOST_ARRAYS:
            raise pickle.UnpicklingError(f"expected at most {_MOST_ARRAYS} arrays, found more")
        nbytes += leaf.nbytes()
        if nbytes > LIMIT:
            raise pickle.UnpicklingError(f"expected at most {LIMIT} bytes of arrays, found more")
        arrays[path] = leaf.array()
    return arrays


def _leaves(node: Any, path: str, depth: int, entries: Iterator[int]) -> Iterator[tuple[str, Leaf]]:
    if isinstance(node, Leaf):
        yield path, node
    elif isinstance(node, dict | list | tuple):
        if depth == _DEEPEST or len(path) > _LONGEST_PATH:
            raise pickle.UnpicklingError(f"expected at most {_DEEPEST} levels and paths of {_LONGEST_PATH}, found more")
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            if next(entries) == _MOST_ENTRIES:
                raise pickle.UnpicklingError(f"expected at most {_MOST_ENTRIES} entries, found more")
            yield from _leaves(child, f"{path}/{key}" if path else str(key), depth + 1, entries)


def shown(value: Any) -> str:
    """A value of a file for an error message; what may be nested is only named."""
    if isinstance(value, str | int | float | None):
        return f"{value!r:.40}"
    return type(value).__name__


def name(value: Any) -> str:
    """Text that is short enough for a name, also if written by Python 2."""
    if isinstance(value, memoryview) and len(value) <= LONGEST_NAME:
        return str(value, "utf-8")
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"expected text of at most {LONGEST_NAME} bytes, found {shown(value)}")
    return value


def extents(value: Any) -> tuple[int, ...]:
    """A shape, or anything like it: some whole numbers that are not negative."""
    sequence = isinstance(value, tuple | list) and len(value) <= 64  # what NumPy can do
    if not sequence or not all(type(side) is int and 0 <= side < 2**63 for side in value):
        raise pickle.UnpicklingError(f"expected a tuple of at most 64 sizes, found another {shown(value)}")
    return tuple(value)


def fill(target: Any, items: Sequence[Any]) -> None:
    """Puts alternating keys and values into a dictionary."""
    if not isinstance(target, dict):
        raise pickle.UnpicklingError(f"expected a dictionary to fill, found {shown(target)}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        text = str(key) if isinstance(key, int | float | None) else name(key)
        if text in target:
            raise pickle.UnpicklingError(f"expected every key once, found {shown(text)} twice")
        target[text] = value
