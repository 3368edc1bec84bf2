"""Targets to follow: `Target`, a name and a box in the first frame, and what both must be.

Several targets of one video have different names. A single target without a name is called `THE_TARGET`, and what is
written about it names no target.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mfst_jax import validation
from mfst_jax.errors import InputError

THE_TARGET = "target"
"""Name of a single target that nobody named."""
MOST_TARGETS = 64
"""Number of targets that one pass may follow: in a batch, their search regions are in memory together."""
Number = float | int
_NOT_IN_NAMES = {"Cc": "a control character", "Cs": "half a character", "Zl": "a line break", "Zp": "a line break"}
"""Categories of characters that would break a line or an encoding, and their descriptions."""


@dataclass(frozen=True)
class Target:
    """An object to follow.

    Attributes:
      name: Name of the target.
      box: Box (x, y, w, h) in the first frame, 0-indexed pixels.
    """

    name: str
    box: tuple[Number, Number, Number, Number]


def default_names(count: int) -> tuple[str, ...]:
    """Names of targets that nobody named: their numbers, from 1; a single one is `THE_TARGET`."""
    return (THE_TARGET,) if count == 1 else tuple(map(str, range(1, count + 1)))


def unnamed_target(box: ArrayLike) -> Target:
    """Single target that nobody named.

    Args:
      box: (x, y, w, h) in the first frame, 0-indexed pixels; [4].
    """
    x, y, w, h = np.asarray(box, np.float32).tolist()
    return Target(THE_TARGET, (x, y, w, h))


def check_names(names: Sequence[str], *, what: str = "names") -> None:
    """Raises `InputError` unless there are 1 to `MOST_TARGETS` names, all different, that a table can hold.

    Args:
      names: of the targets: not empty, without a comma, a control character or a line break, and without space around.
      what: the beginning of the error message.
    """
    if not 1 <= len(names) <= MOST_TARGETS:
        raise InputError(
            f"{what}: expected 1 to {MOST_TARGETS} targets in one pass, which share its memory, found {len(names)}"
        )
    for number, name in enumerate(names, start=1):
        if not isinstance(name, str):
            raise InputError(f"{what}: expected a name as text for target {number}, found {name!r:.40}")
        if not name:
            raise InputError(f"{what}: expected a name for target {number}, found an empty one")
        found = "a comma" if "," in name else "space around it" if name != name.strip() else None
        for character in name:
            found = _NOT_IN_NAMES.get(unicodedata.category(character), found)
        if found is not None:
            raise InputError(f"{what}: expected a name without {found} for target {number}, found {name!r:.80}")
        if name in names[: number - 1]:
            first = names.index(name) + 1
            raise InputError(f"{what}: expected a name for each target, found {name!r} for {first} and {number}")


def check_boxes(targets: Sequence[Target], size: tuple[int, int]) -> None:
    """Raises `InputError` for a box that is not finite, has no area, or lies outside the frame; it says which target's.

    Args:
      targets: each with its box.
      size: (height, width) of the first frame, in pixels.
    """
    for target in targets:
        validation.check_box(target.box, size, name="box" if is_unnamed(targets) else f"box of {target.name}")


def is_unnamed(targets: Sequence[Target]) -> bool:
    """Whether there is a single target that nobody named."""
    return [target.name for target in targets] == [THE_TARGET]
