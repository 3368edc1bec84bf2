"""Lost frames: those whose score is below 1/2, one by one and in stretches.

docs/choices.md ("Lost") has measurements: how many lost frames that catches, and how often it is a false alarm.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Num

from mfst_jax.second_look import LEAST_SCORE

LOST_BELOW = LEAST_SCORE
"""Score below which the target counts as lost: 1/2, as for the tracker itself, which then looks around for it."""
MOST_STRETCHES = 8
"""Number of stretches that `describe` names one by one."""


def is_lost(scores: Num[np.ndarray, "*axes"] | Sequence[float]) -> Bool[np.ndarray, "*axes"]:
    """Whether the target counts as lost, for each score. A NaN counts as lost."""
    return ~(np.asarray(scores, np.float64) >= LOST_BELOW)


def stretches(lost: Bool[np.ndarray, " frames"] | Sequence[bool]) -> list[tuple[int, int]]:
    """Runs of lost frames as (first, last), in order, frames counted from 0."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.asarray(lost, bool), [False]])))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]


def describe(lost: Bool[np.ndarray, " frames"] | Sequence[bool], start: int = 0) -> str | None:
    """Lost stretches in words, such as `lost in frames 96-104, 211-end`; None where the target is never lost.

    `end` is the last frame. Of more than `MOST_STRETCHES` the first ones are named, and the others are counted.

    Args:
      lost: whether each frame is lost.
      start: number of the first of these frames.
    """
    runs = stretches(lost)
    if not runs:
        return None
    names = []
    for first, last in runs[:MOST_STRETCHES]:
        if last == len(lost) - 1:
            names.append(f"{start + first}-end")
        else:
            names.append(f"{start + first}" if first == last else f"{start + first}-{start + last}")
    words = f"lost in frame{'' if names[0].isdecimal() and len(runs) == 1 else 's'} {', '.join(names)}"
    if more := len(runs) - len(names):
        words += f" and {more} more stretch{'es' if more > 1 else ''}, {int(np.sum(lost))} frames in all"
    return words


def describe_targets(names: Sequence[str], lost: Bool[np.ndarray, "frames targets"], start: int = 0) -> str | None:
    """Lost stretches of several targets in words: `car lost in frame 7; bike lost in frames 9-end`.

    Args:
      names: of the targets.
      lost: whether each target is lost in each frame.
      start: number of the first of these frames.

    Returns:
      The words; None where no target is ever lost.
    """
    said = [f"{name} {words}" for name, each in zip(names, lost.T, strict=True) if (words := describe(each, start))]
    return "; ".join(said) or None
