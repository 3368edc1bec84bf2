"""Values that a pickle of unknown origin is read as, and the arrays gathered from them.

Text is `str`, and `LongText` where it is too long for a name. Bytes, and with them the text of Python 2, are views of
the file. Keys of dictionaries are text, whatever they were. What a pickle builds or calls for is a stand-in; `Unread`
stands in for everything that no array needs, and holds nothing of it.

Nothing here hashes, compares or prints what a file nests, and nested values are walked through within limits: a value
that is in many places of a small file may stand for more than any memory holds.
"""

import itertools
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LIMIT = 2**30
"""Greatest number of bytes that the arrays of one file may take."""
_MOST_ENTRIES = 500_000
_MOST_ARRAYS = 10_000
_MOST_UNREAD = 1_000
_PLAIN = ("builtins.", "__builtin__.")
_DEEPEST = 32
LONGEST_NAME = 255
_LONGEST_PATH = 1000


@dataclass(eq=False)
class Unread:
    """Stand-in for an object that no array needs.

    Its state and the arguments that it is called with are dropped at once.

    Attributes:
      what: Name of its class, or what else its file says of it.
      items: Items that the pickle sets on it as on a dictionary, which many classes derive from.
    """

    what: str
    items: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tree:
    """Content of nested dictionaries, lists and tuples, by the keys and indices that lead to it, joined by slashes.

    Attributes:
      arrays: Arrays by path.
      unread: Description of each of the first objects that were passed over unread, by path. Python's own types are
        left out.
    """

    arrays: dict[str, np.ndarray]
    unread: dict[str, str]


@dataclass(frozen=True)
class Function:
    """Function that a pickle may call by its name.

    Attributes:
      run: Takes the stand-ins and plain values that it is called with.
    """

    run: Callable[..., Any]


@dataclass(frozen=True)
class LongText:
    """Text too long for a name, undecoded.

    Attributes:
      utf8: The text in UTF-8.
    """

    utf8: memoryview


class Buildable(ABC):
    """Stand-in for something whose content follows as a state."""

    @abstractmethod
    def build(self, state: Any) -> None:
        """Takes the state, after checking it."""


class Leaf(ABC):
    """Stand-in for an array."""

    def odd(self) -> str | None:
        """Type of the array's items, where these are no numbers; None where they are."""
        return None

    @abstractmethod
    def nbytes(self) -> int:
        """Size of the array in bytes, before it is made."""

    @abstractmethod
    def array(self) -> np.ndarray:
        """Array itself, as a view of the file where that is possible."""


def collect(top: Any) -> Tree:
    """Arrays in nested dictionaries, lists and tuples, and whatever else in there is no plain value.

    Raises:
      pickle.UnpicklingError: two arrays with the same path, or more levels, entries, arrays or bytes than the limits.
      ValueError: an array is refused by its stand-in.
    """
    tree = Tree({}, {})
    nbytes = 0
    for path, leaf in _leaves(top, "", 0, itertools.count()):
        what = leaf.what if isinstance(leaf, Unread) else leaf.odd()
        if isinstance(leaf, Unread) or what is not None:
            if what is not None and len(tree.unread) < _MOST_UNREAD and not what.startswith(_PLAIN):
                tree.unread[path] = what
            continue
        if path in tree.arrays:
            raise pickle.UnpicklingError(f"expected every path once, found {path!r} twice")
        if len(tree.arrays) == _MOST_ARRAYS:
            raise pickle.UnpicklingError(f"expected at most {_MOST_ARRAYS} arrays, found more")
        nbytes += leaf.nbytes()
        if nbytes > LIMIT:
            raise pickle.UnpicklingError(f"expected at most {LIMIT} bytes of arrays, found more")
        tree.arrays[path] = leaf.array()
    return tree


def _leaves(node: Any, path: str, depth: int, entries: Iterator[int]) -> Iterator[tuple[str, Leaf | Unread]]:
    if isinstance(node, Leaf | Unread):
        yield path, node
    if isinstance(node, Unread):
        node = node.items
    if isinstance(node, dict | list | tuple):
        if depth == _DEEPEST or len(path) > _LONGEST_PATH:
            raise pickle.UnpicklingError(f"expected at most {_DEEPEST} levels and paths of {_LONGEST_PATH}, found more")
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            if next(entries) == _MOST_ENTRIES:
                raise pickle.UnpicklingError(f"expected at most {_MOST_ENTRIES} entries, found more")
            yield from _leaves(child, f"{path}/{key}" if path else str(key), depth + 1, entries)


def shown(value: Any) -> str:
    """Value of a file for an error message; of one that may be nested only the type is named."""
    if isinstance(value, str | int | float | None):
        return f"{value!r:.40}"
    if isinstance(value, Unread):
        return value.what
    return type(value).__name__


def name(value: Any) -> str:
    """Text that is short enough for a name, also if written by Python 2."""
    if isinstance(value, memoryview) and len(value) <= LONGEST_NAME:
        return str(value, "utf-8")
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"expected text of at most {LONGEST_NAME} bytes, found {shown(value)}")
    return value


def extents(value: Any) -> tuple[int, ...]:
    """Shape, or anything like it: some whole numbers that are not negative."""
    sequence = isinstance(value, tuple | list) and len(value) <= 64  # what NumPy can do
    if not sequence or not all(type(side) is int and 0 <= side < 2**63 for side in value):
        raise pickle.UnpicklingError(f"expected a tuple of at most 64 sizes, found another {shown(value)}")
    return tuple(value)


def fill(target: Any, items: Sequence[Any]) -> None:
    """Puts alternating keys and values into a dictionary. A key that is no name becomes one: `<tuple 3>`."""
    if isinstance(target, Unread):
        target = target.items
    if not isinstance(target, dict):
        raise pickle.UnpicklingError(f"expected a dictionary to fill, found {shown(target)}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        text = _key(key, len(target))
        if text in target:
            raise pickle.UnpicklingError(f"expected every key once, found {shown(text)} twice")
        target[text] = value


def _key(key: Any, number: int) -> str:
    """Key as text; `number` tells it from the others of its dictionary where it is no text itself."""
    if isinstance(key, int | float | None):
        return str(key)
    hashable = isinstance(key, tuple | Unread | LongText) or (isinstance(key, Leaf) and not isinstance(key, Buildable))
    if hashable or (isinstance(key, memoryview) and len(key) > LONGEST_NAME):
        return f"<{shown(key)} {number}>"
    return name(key)
