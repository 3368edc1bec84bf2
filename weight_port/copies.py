"""Copies of networks among named arrays: where a table finds its names, and what becomes of them and of the rest.

Names have prefixes, because people save networks inside of networks, and wrappers within them. What lies beside the
network is set aside; a tensor of the network that has no place is a problem. Nothing here raises on strange arrays:
problems are gathered.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mfst_jax.checkpoints import file_kinds, weight_names
from mfst_jax.params import Contents
from weight_port.rules import Arrays, Line, Table, scope

_WRAPPERS = ("module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts that PyTorch puts into names where a module is wrapped, at whatever level: for several devices,
compiled, ..."""
_WRAPPED = re.compile(rf"(?<=[./])(?:{'|'.join(_WRAPPERS)})[./]")
_AVERAGED = "/ExponentialMovingAverage"
"""Suffix of TensorFlow's names of averages."""
_BACKBONES = (Contents(siamfc=True, alexnet=None), Contents(siamfc=False, alexnet="torchvision"))
_DEEPEST = 12
"""Greatest number of components of a table's name, wrappers included."""


@dataclass(frozen=True, eq=False)
class Copy:
    """Copy of a network among named arrays: there may be several, such as the last and the averaged weights.

    Attributes:
      table: Table of its layout.
      prefix: Text before its names.
      suffix: Text after its names.
      names: The array's name for each of the table's names that is there.
    """

    table: Table
    prefix: str
    suffix: str
    names: Mapping[str, str]

    @property
    def label(self) -> str:
        """Name of the copy for users, without control characters: its prefix, `/` where it has none."""
        return file_kinds.printable(f"{self.prefix}{self.suffix}".strip("./")) or "/"

    @functools.cached_property
    def ours(self) -> frozenset[str]:
        """Our names of its tensors."""
        return frozenset(
            name
            for line in self.table.lines
            if all(theirs in self.names or theirs in line.optional for theirs in line.theirs)
            for name in line.ours
        )

    @functools.cached_property
    def arrays(self) -> frozenset[str]:
        """Names of its arrays."""
        return frozenset(self.names.values())

    @property
    def branches(self) -> frozenset[str]:
        """Branches of ours that are in it, as in `Table.branches`."""
        return frozenset(weight_names.branch_of(name) for name in self.ours)

    @property
    def whole(self) -> bool:
        """Whether it has every tensor of a backbone."""
        return any(self.ours.issuperset(weight_names.expected(contents)) for contents in _BACKBONES)

    def claims(self, name: str) -> bool:
        """Whether a name that the table does not know is of this network all the same, as far as names can tell.

        In PyTorch's files dots lead into a network, and slashes into what else a file has.
        """
        if not name.startswith(self.prefix) or not name.endswith(self.suffix):
            return False
        rest = name[len(self.prefix) : len(name) - len(self.suffix)]
        if self.table.scopes is not None:
            return scope(rest) in self.table.scopes
        return "/" not in rest and ("." in rest or not any("." in known for known in self.table.known))


@dataclass(frozen=True, eq=False)
class Applied:
    """Result of applying a table to named arrays. A problem is one line.

    Attributes:
      arrays: Arrays in float32, by flat name.
      origins: Name or names of each array in the source.
      notes: Remarks for the provenance, a line each.
      kept: Values of small tensors without a place, as JSON has them.
      problems: What is wrong, a line each.
    """

    arrays: dict[str, np.ndarray] = field(repr=False)
    origins: dict[str, str]
    notes: list[str]
    kept: dict[str, Any]
    problems: list[str]


def find(tables: Iterable[Table], names: Iterable[str]) -> list[Copy]:
    """Copies of one network among `names`: first those that have most names, then those that have fewer.

    They are of the table that has a place for most names of one copy, the first of several. Any common prefix will do,
    also none, and wrappers within the names; what a table drops is in no copy.
    """
    tables = tuple(tables)
    found: dict[int, dict[tuple[str, str], dict[str, str]]] = {number: {} for number in range(len(tables))}
    for name in names:
        stem = name.removesuffix(_AVERAGED)
        for start, known in _tails(stem):
            for number, table in enumerate(tables):
                if known in table.known and table.drops(name) is None:
                    copy = found[number].setdefault((stem[:start], name[len(stem) :]), {})
                    copy.setdefault(known, name)
    if not any(found.values()):
        return []
    best = max(found, key=lambda number: max(map(len, found[number].values()), default=0))
    copies = [Copy(tables[best], prefix, suffix, names) for (prefix, suffix), names in found[best].items()]
    return sorted(copies, key=lambda copy: -len(copy.names))


def networks(tables: Sequence[Table], names: Sequence[str]) -> list[list[Copy]]:
    """Copies of each network among `names`: those that `find` finds, and complete ones of the other backbone."""
    found = find(tables, names)
    if not found:
        return []
    known = {name for copy in found for name in copy.arrays}
    others = [table for table in tables if not table.branches & found[0].branches]
    more = [copy for copy in find(others, [name for name in names if name not in known]) if copy.whole]
    return [found, more] if more else [found]


def _tails(name: str) -> Iterator[tuple[int, str]]:
    """Places where a table's name may start in `name`, and that name without wrappers."""
    starts = [0, *(match.end() for match in re.finditer(r"[./]", name))]
    for start in starts[-_DEEPEST:]:
        tail = name[start:]
        if re.split("[./]", tail, maxsplit=1)[0] not in _WRAPPERS:
            yield start, _WRAPPED.sub("", tail)


def apply(
    copy: Copy, arrays: Arrays, *, others: Sequence[Copy] = (), unread: Mapping[str, str] | None = None
) -> Applied:
    """Arrays under our names, by the table of `copy`.

    Args:
      copy: the network to take.
      arrays: all that there is.
      others: copies that are set aside.
      unread: objects that were passed over unread, and what each is: a problem where it is of the network.
    """
    table, named = copy.table, copy.names
    applied = Applied({}, {}, [], {}, [])
    placed: set[str] = set()
    for line in table.lines:
        present = [name for name in line.theirs if name in named]
        required = [name for name in line.theirs if name not in line.optional]
        if not any(name in named for name in required):
            continue
        placed.update(named[name] for name in present)
        origin = " and ".join(named[name] for name in present)
        if missing := [name for name in required if name not in named]:
            expected = f"{copy.prefix}{missing[0]}{copy.suffix}"
            applied.problems.append(f"{expected}: expected a tensor of that name beside {origin}, found none")
            continue
        sources = [arrays[named[name]] if name in named else None for name in line.theirs]
        wrong = [name for name in present if arrays[named[name]].dtype.name not in weight_names.FLOATS]
        if wrong:
            dtypes = ", ".join(arrays[named[name]].dtype.name for name in wrong)
            applied.problems.append(f"{origin}: expected floating point, found {dtypes}")
            continue
        _claim(applied, line, origin, sources)
    if rounded := sum(arrays[name].dtype.name == "float64" for name in placed):
        applied.notes.append(f"rounded from float64 to float32: {rounded} tensors")
    left = {name: array for name, array in arrays.items() if name not in placed}
    _set_aside(applied, copy, others, left, {} if unread is None else unread)
    return applied


def _claim(applied: Applied, line: Line, origin: str, sources: list[np.ndarray | None]) -> None:
    for name in line.ours:
        if name in applied.arrays:
            applied.problems.append(f"{name}: expected one source, found {applied.origins[name]} and {origin}")
            return
    numbers = [None if source is None else weight_names.to_float32(source) for source in sources]
    try:
        targets = line.change.to_ours(*numbers)
    except (ValueError, IndexError):  # of a shape that the change cannot take
        shapes = " and ".join(str(source.shape) for source in sources if source is not None)
        applied.problems.append(f"{origin}: expected what can become {' and '.join(line.ours)}, found shape {shapes}")
        return
    for name, array in zip(line.ours, targets, strict=True):
        applied.arrays[name], applied.origins[name] = array, origin
    _note(applied, line.note)


def _set_aside(applied: Applied, copy: Copy, others: Sequence[Copy], left: Arrays, unread: Mapping[str, str]) -> None:
    """Deals with tensors that no line has a place for.

    They are dropped or kept, if the table says so; those of the network are problems.
    """
    table = copy.table
    beside: list[str] = []
    passed: list[str] = []
    elsewhere = tuple(other.prefix for other in others if len(other.prefix) > len(copy.prefix))
    copied = {name for other in others for name in other.arrays}
    for name in (*left, *unread):
        reason = table.drops(name)
        own = name.removeprefix(copy.prefix)
        kept = table.kept is not None and re.fullmatch(table.kept, own) and name in left and left[name].size <= 1
        if reason is not None:
            _note(applied, reason)
        elif kept:
            applied.kept[own] = left[name].astype(float).reshape(-1).tolist()
        elif name.startswith(elsewhere) or name in copied or not copy.claims(name):
            (beside if name in left else passed).append(name)
        elif name in unread:
            applied.problems.append(f"{name}: expected a tensor, found an object: {unread[name]}")
        else:
            applied.problems.append(f"{name}: expected a name of this layout ({table.name}), found none of them")
    for other in others:
        _note(applied, f"set aside another copy of the network: {other.label}")
    if beside := [name for name in beside if name not in copied]:
        _note(applied, f"set aside what is not of the network: {file_kinds.listed(beside)}")
    if passed:
        named = [f"{name} ({unread[name]})" if name else unread[name] for name in passed]
        _note(applied, f"passed over unread: {file_kinds.listed(named)}")


def _note(applied: Applied, note: str | None) -> None:
    if note is not None and note not in applied.notes:
        applied.notes.append(note)
