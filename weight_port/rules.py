"""What a name table is, and how it is applied to arrays of ours on the way back; `copies` has the way here.

A rule names the tensors of one layout and ours, the flat names of `mfst_jax.layout`, by templates: `{field}` stands for
each of the words that the table lists for it. So every rule comes down to a few lines of plain names, and whatever a
line cannot place is a problem. Nothing here raises on strange arrays: problems are gathered.
"""

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mfst_jax import layout

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Change:
    """What happens to a rule's arrays, float32, on the way to us and on the way back.

    Attributes:
      to_ours: Takes one array for each of their names, None for an optional one that is missing.
      to_theirs: Takes one array for each of our names; None where there is no way back.
    """

    to_ours: Callable[..., tuple[np.ndarray, ...]]
    to_theirs: Callable[..., tuple[np.ndarray, ...]] | None


SAME = Change(lambda array: (array,), lambda array: (array,))


@dataclass(frozen=True)
class Rule:
    """One line of a table.

    Attributes:
      theirs: Templates of the names on their side, apart by spaces; one with `?` behind it may be missing.
      ours: Templates of our names, apart by spaces.
      note: For the provenance, where what was done wants a word.
    """

    theirs: str
    ours: str
    change: Change = SAME
    note: str | None = None


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
    """One layout of weights.

    Attributes:
      fields: The words that may stand for a field, on both sides; where they differ, theirs -> ours.
      prefix: Stands before all their names when they are written. When they are read, any common prefix will do, none
        too, as long as it ends in a dot or slash: people save networks inside of networks.
      dropped: Patterns of whole names that have no place with us, each with the reason, for the provenance.
      kept: A pattern of small tensors that have no place with us: their values go into the provenance, for the way
        back.
    """

    name: str
    rules: tuple[Rule, ...]
    fields: Mapping[str, Sequence[str] | Mapping[str, str]] = field(default_factory=dict)
    prefix: str = ""
    dropped: Mapping[str, str] = field(default_factory=dict)
    kept: str | None = None

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

    @functools.cached_property
    def scopes(self) -> frozenset[str] | None:
        """What all names of the network begin with, those that the table does not know too, with `#` for numbers.

        None where its layers are at the top, as in some of PyTorch's layouts: there any other layer may be one of it.
        """
        scopes = frozenset(scope(name) for name in self.known)
        nested = any("/" in name for name in self.known) or (len(scopes) == 1 and "#" not in min(scopes))
        return scopes if nested else None

    @functools.cached_property
    def branches(self) -> frozenset[str]:
        """The branches of ours that it has names for: `siamfc`, `alexnet` and those of their SE-blocks."""
        return frozenset(name.split("/")[1] for line in self.lines for name in line.ours if "/" in name)

    def drops(self, name: str) -> str | None:
        """The reason to leave a tensor out, None where there is none."""
        return next((reason for pattern, reason in self.dropped.items() if re.fullmatch(pattern, name)), None)


def scope(name: str) -> str:
    """What a name begins with, whatever the numbers in there."""
    return re.sub(r"\d+", "#", re.split("[./]", name, maxsplit=1)[0])


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
