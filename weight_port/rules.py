"""Name tables, and their application to our arrays for export; `copies` applies them to foreign arrays.

A rule names the tensors of one layout and ours, the flat names of `mfst_jax.checkpoints.weight_names`, by templates:
`{field}` stands for each of the words that the table lists for it. So every rule comes down to a few lines of plain
names, and whatever a line cannot place is a problem. Nothing here raises on strange arrays: problems are gathered.
"""

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mfst_jax.checkpoints import weight_names

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Change:
    """Change of a rule's arrays, float32, on import and on export.

    Attributes:
      to_ours: Takes one array for each of their names, None for an optional one that is missing; returns one for each
        of ours.
      to_theirs: Takes one array for each of our names, and returns one for each of theirs; None where there is no way
        back.
    """

    to_ours: Callable[..., tuple[np.ndarray, ...]]
    to_theirs: Callable[..., tuple[np.ndarray, ...]] | None


SAME = Change(lambda array: (array,), lambda array: (array,))


@dataclass(frozen=True)
class Rule:
    """One rule of a table.

    Attributes:
      theirs: Templates of the foreign names, separated by spaces; one that ends in `?` may be missing.
      ours: Templates of our names, separated by spaces.
      change: Change of the arrays.
      note: Remark for the provenance, where the change needs one.
    """

    theirs: str
    ours: str
    change: Change = SAME
    note: str | None = None


@dataclass(frozen=True)
class Line:
    """Rule with one choice of words put in for its fields.

    Attributes:
      theirs: Foreign names.
      optional: Foreign names that may be missing.
      ours: Our names.
      change: Change of the arrays.
      note: Remark for the provenance.
    """

    theirs: tuple[str, ...]
    optional: frozenset[str]
    ours: tuple[str, ...]
    change: Change
    note: str | None


@dataclass(frozen=True)
class Table:
    """Name table of one layout of weights.

    Attributes:
      name: Name of the layout.
      rules: Rules of the table.
      fields: Words that a field stands for, in foreign names and ours; where they differ, foreign word -> our word.
      prefix: Prefix of all foreign names when they are written. When they are read, any common prefix will do, none
        too, as long as it ends in a dot or slash: people save networks inside of networks.
      dropped: Patterns of whole names that have no place in MFST, each with the reason, for the provenance.
      kept: Pattern of small tensors that have no place in MFST: their values go into the provenance, for the way back.
    """

    name: str
    rules: tuple[Rule, ...]
    fields: Mapping[str, Sequence[str] | Mapping[str, str]] = field(default_factory=dict)
    prefix: str = ""
    dropped: Mapping[str, str] = field(default_factory=dict)
    kept: str | None = None

    @functools.cached_property
    def lines(self) -> tuple[Line, ...]:
        """Lines of all rules, with all words put in."""
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
        """Foreign names that the table knows, without prefix."""
        return frozenset(name for line in self.lines for name in line.theirs)

    @functools.cached_property
    def scopes(self) -> frozenset[str] | None:
        """Beginnings of all names of the network, also those that the table does not know, with `#` for numbers.

        None where its layers are at the top, as in some of PyTorch's layouts: there any other layer may be one of it.
        """
        scopes = frozenset(scope(name) for name in self.known)
        nested = any("/" in name for name in self.known) or (len(scopes) == 1 and "#" not in min(scopes))
        return scopes if nested else None

    @functools.cached_property
    def branches(self) -> frozenset[str]:
        """Branches of ours that it has names for: `siamfc`, `alexnet` and those of their SE-blocks."""
        return frozenset(weight_names.branch_of(name) for line in self.lines for name in line.ours if "/" in name)

    def drops(self, name: str) -> str | None:
        """Reason to leave a tensor out; None where there is none."""
        return next((reason for pattern, reason in self.dropped.items() if re.fullmatch(pattern, name)), None)


def scope(name: str) -> str:
    """Beginning of a name, with `#` for numbers."""
    return re.sub(r"\d+", "#", re.split("[./]", name, maxsplit=1)[0])


def invert(table: Table, arrays: Arrays) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays under `table`'s names, prefix included, and which of ours have no place there.

    Where several lines lead to one of our names, the first counts: that is how the layout is written.
    """
    theirs: dict[str, np.ndarray] = {}
    left = dict.fromkeys(arrays)
    for line in table.lines:
        if line.change.to_theirs is None or not all(name in left for name in line.ours):
            continue
        numbers = line.change.to_theirs(*(weight_names.to_float32(arrays[name]) for name in line.ours))
        for name, array in zip(line.theirs, numbers, strict=True):
            theirs[table.prefix + name] = np.ascontiguousarray(array)
        for name in line.ours:
            del left[name]
    return theirs, list(left)
