"""How a name table is applied to named arrays, in both directions.

A rule names the tensors of one layout and ours, the flat names of `mfst_jax.layout`, by templates: `{field}` stands for
each of the words that the table lists for it. So every rule comes down to a few lines of plain names, and whatever a
line cannot place is a problem. Nothing here raises on strange arrays: problems are gathered.
"""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mfst_jax import layout

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Change:
    """What happens to a rule's arrays, float32, on the way to us and on the way back."""

    to_ours: Callable[..., tuple[np.ndarray, ...]]
    """Takes one array for each of their names, None for an optional one that is missing."""
    to_theirs: Callable[..., tuple[np.ndarray, ...]] | None
    """Takes one array for each of our names; None where there is no way back."""


SAME = Change(lambda array: (array,), lambda array: (array,))


@dataclass(frozen=True)
class Rule:
    """One line of a table."""

    theirs: str
    """Templates of the names on their side, apart by spaces; one with `?` behind it may be missing."""
    ours: str
    """Templates of our names, apart by spaces."""
    change: Change = SAME
    note: str | None = None
    """For the provenance, where what was done wants a word."""


@dataclass(frozen=True)
class Line:
    """A rule with one choice of words put in."""

    theirs: tuple[str, ...]
    optional: frozenset[str]
    ours: tuple[str, ...]
    change: Change
    note: str | None


@dataclass(frozen=True)
class Table:
    """One layout of weights."""

    name: str
    rules: tuple[Rule, ...]
    fields: Mapping[str, Sequence[str] | Mapping[str, str]] = field(default_factory=dict)
    """The words that may stand for a field, on both sides; where they differ, theirs -> ours."""
    prefix: str = ""
    """Stands before all their names when they are written. When they are read, any common prefix will do, none too,
    as long as it ends in a dot or slash: people save networks inside of networks."""
    dropped: Mapping[str, str] = field(default_factory=dict)
    """Patterns of whole names that have no place with us, each with the reason, for the provenance."""
    kept: str | None = None
    """A pattern of small tensors that have no place with us: their values go into the provenance, for the way back."""

    @functools.cached_property
    def lines(self) -> tuple[Line, ...]:
        """All rules with all words put in."""
        return tuple(line for rule in self.rules for line in self._expand(rule))

    def _expand(self, rule: Rule) -> Iterable[Line]:
        names = list(dict.fromkeys(re.findall(r"{(\w+)}", rule.theirs)))
        words = [self.fields[name] for name in names]
        for theirs in itertools.product(*words):
            mine = [
                choice[word] if isinstance(choice, Mapping) else word
                for choice, word in zip(words, theirs, strict=True)
            ]
            sources = rule.theirs.format(**dict(zip(names, theirs, strict=True))).split()
            yield Line(
                tuple(source.removesuffix("?") for source in sources),
                frozenset(source.removesuffix("?") for source in sources if source.endswith("?")),
                tuple(rule.ours.format(**dict(zip(names, mine, strict=True))).split()),
                rule.change,
                rule.note,
            )

    @functools.cached_property
    def known(self) -> frozenset[str]:
        """All names on their side, without prefix."""
        return frozenset(name for line in self.lines for name in line.theirs)


@dataclass(frozen=True)
class Applied:
    """What a table made of named arrays. A problem is one line."""

    arrays: dict[str, np.ndarray]
    """float32, by flat name."""
    origins: dict[str, str]
    """The source's name or names of each."""
    notes: list[str]
    kept: dict[str, Any]
    """The values of small tensors without a place, as JSON has them."""
    problems: list[str]


def recognise(tables: Iterable[Table], names: Iterable[str]) -> Table | None:
    """The table that has a place for most of `names`, the first of several; None where none has one for any."""
    names = list(names)
    best, most = None, 0
    for table in tables:
        placed = _common_prefix(table, names)[1]
        if placed > most:
            best, most = table, placed
    return best


def apply(table: Table, arrays: Arrays) -> Applied:
    """Every array under our names, as `table` has it."""
    applied = Applied({}, {}, [], {}, [])
    prefix, _ = _common_prefix(table, arrays)
    named = {name.removeprefix(prefix): name for name in arrays if name.startswith(prefix)}
    placed: set[str] = set()
    for line in table.lines:
        present = [name for name in line.theirs if name in named]
        required = [name for name in line.theirs if name not in line.optional]
        if not any(name in named for name in required):
            continue
        placed.update(named[name] for name in present)
        origin = " and ".join(named[name] for name in present)
        if missing := [name for name in required if name not in named]:
            applied.problems.append(f"{prefix}{missing[0]}: expected a tensor of that name beside {origin}, found none")
            continue
        sources = [arrays[named[name]] if name in named else None for name in line.theirs]
        wrong = [name for name in present if arrays[named[name]].dtype.name not in layout.FLOATS]
        if wrong:
            dtypes = ", ".join(arrays[named[name]].dtype.name for name in wrong)
            applied.problems.append(f"{origin}: expected floating point, found {dtypes}")
            continue
        _claim(applied, line, origin, sources)
    if rounded := sum(arrays[name].dtype.name == "float64" for name in placed):
        applied.notes.append(f"rounded from float64 to float32: {rounded} tensors")
    for name in arrays:
        if name not in placed:
            _set_aside(table, applied, name, arrays[name])
    return applied


def invert(table: Table, arrays: Arrays) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays under `table`'s names, prefix included, and which of ours have no place there.

    Where several lines lead to one of our names, the first counts: it is how the layout is written.
    """
    theirs: dict[str, np.ndarray] = {}
    left = dict.fromkeys(arrays)
    for line in table.lines:
        if line.change.to_theirs is None or not all(name in left for name in line.ours):
            continue
        numbers = line.change.to_theirs(*(layout.to_float32(arrays[name]) for name in line.ours))
        for name, array in zip(line.theirs, numbers, strict=True):
            theirs[table.prefix + name] = np.ascontiguousarray(array)
        for name in line.ours:
            del left[name]
    return theirs, list(left)


def _common_prefix(table: Table, names: Iterable[str]) -> tuple[str, int]:
    """What stands before most of the names that `table` knows, and how many names it stands before."""
    found: Counter[str] = Counter()
    for name in names:
        starts = [0, *(match.end() for match in re.finditer(r"[./]", name))]
        found.update(name[:start] for start in starts if name[start:] in table.known)
    return max(found.items(), key=lambda item: item[1]) if found else ("", 0)


def _claim(applied: Applied, line: Line, origin: str, sources: list[np.ndarray | None]) -> None:
    for name in line.ours:
        if name in applied.arrays:
            applied.problems.append(f"{name}: expected one source, found {applied.origins[name]} and {origin}")
            return
    numbers = [None if source is None else layout.to_float32(source) for source in sources]
    try:
        targets = line.change.to_ours(*numbers)
    except (ValueError, IndexError):  # of a shape that the change cannot take
        shapes = " and ".join(str(source.shape) for source in sources if source is not None)
        applied.problems.append(f"{origin}: expected what can become {' and '.join(line.ours)}, found shape {shapes}")
        return
    for name, array in zip(line.ours, targets, strict=True):
        applied.arrays[name], applied.origins[name] = array, origin
    _note(applied, line.note)


def _set_aside(table: Table, applied: Applied, name: str, array: np.ndarray) -> None:
    """An array that no line has a place for: dropped or kept, if the table says so; else a problem."""
    for pattern, reason in table.dropped.items():
        if re.fullmatch(pattern, name):
            return _note(applied, reason)
    if table.kept is not None and re.fullmatch(table.kept, name) and array.size <= 1:
        applied.kept[name] = array.astype(float).reshape(-1).tolist()
    else:
        applied.problems.append(f"{name}: expected a name of this layout ({table.name}), found none of them")
    return None


def _note(applied: Applied, note: str | None) -> None:
    if note is not None and note not in applied.notes:
        applied.notes.append(note)
