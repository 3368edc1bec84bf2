"""Targets as a command line gives them: by `--box`, or else the first true box of a source."""

import re
from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from mfst_jax.errors import InputError
from mfst_jax.media.source import Source
from mfst_jax.targets import Target, check_boxes, check_names, default_names, unnamed_target


def choose_targets(source: Source, texts: Sequence[str]) -> list[Target]:
    """Targets in the first frame of a source: those of the texts `x,y,w,h` or `name=x,y,w,h`, or else its true box.

    Raises:
      InputError: a text that is neither, names that are not sound, a box that cannot be in a frame of that size (it
        says whose), or no text for a source whose first frame has no true box.
    """
    if texts:
        targets = parse_targets(texts)
        check_boxes(targets, source.size)
        return targets
    if (why := lacks_start(source)) is not None:
        raise InputError(f"--box: expected x,y,w,h, or --select to draw it, as {why}, found none")
    assert source.ground_truth is not None
    return [unnamed_target(source.ground_truth[source.first])]


def refuse_spaced_box(arguments: Sequence[str]) -> None:
    """Refuses a `--box` whose four numbers have spaces between them, which would be taken for other arguments.

    Raises:
      InputError: there is one; it says how to write it.
    """
    for index, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option != "--box":
            continue
        given = [value] * bool(equals) + [*arguments[index + 1 :]]
        words = [*takewhile(re.compile(r"([^=]*=)?[-+.,\d]+").fullmatch, given)]
        counts = [len(re.findall(r"[^,]+", word.rpartition("=")[2])) for word in words]
        whole = next((end for end in range(2, len(words) + 1) if sum(counts[:end]) == 4), None)
        if whole is not None:
            box = ",".join(word.strip(",") for word in words[:whole])
            raise InputError(
                f"--box: expected x,y,w,h without spaces, such as --box {box}, found {' '.join(words[:whole])!r}"
            )


def lacks_start(source: Source) -> str | None:
    """Reason why a source has no true box in its first frame to start from, in words; None where it has one."""
    if source.ground_truth is None:
        return source.lacks or f"{source.name} has no ground truth to take it from"
    if source.first >= len(source.ground_truth):
        return f"{source.name} has no true box of frame {source.first}"
    if not np.isfinite(source.ground_truth[source.first]).all():
        return f"the target is absent from {source.name}'s {f'frame {source.first}' if source.first else 'first frame'}"
    return None


def parse_targets(texts: Sequence[str]) -> list[Target]:
    """Targets of these texts, in order.

    Args:
      texts: each `x,y,w,h`, or `name=x,y,w,h`. A target without a name gets its number, from 1; a single one is
        `THE_TARGET`.

    Raises:
      InputError: a text that is neither, or a name that `check_names` refuses.
    """
    names, boxes = [], []
    for text, default in zip(texts, default_names(len(texts)), strict=True):
        name, equals, numbers = text.rpartition("=")
        names.append(name.strip() if equals else default)
        boxes.append(_parse_box(numbers, text))
    check_names(names, what="--box")
    return [Target(name, box) for name, box in zip(names, boxes, strict=True)]


def _parse_box(numbers: str, text: str) -> tuple[float, float, float, float]:
    try:
        x, y, w, h = map(float, numbers.split(","))
    except ValueError:
        raise InputError(f"--box: expected four numbers x,y,w,h, or name=x,y,w,h, found {text!r:.80}") from None
    return x, y, w, h
