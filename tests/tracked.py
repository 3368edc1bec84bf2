"""Tracks as `mfst track --boxes` leaves them, table and record, without tracking anything."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mfst_jax.media import open_source
from mfst_jax.params import Contents
from mfst_jax.presets import ALEXNET
from mfst_jax.targets import THE_TARGET
from mfst_jax.tracks.files import Record
from mfst_jax.tracks.tables import open_table


def boxes_of(count: int, target: int = 0) -> np.ndarray:
    """Box of a target in each frame: one pixel further to the right in each, in a row of its own."""
    steps = np.arange(count, dtype=np.float64)
    return np.stack([5 + steps, 0 * steps + 10 * target, 0 * steps + 12.25, 0 * steps + 9], axis=1)


def write_tracked(
    table: Path,
    source: Path | str,
    count: int,
    *,
    first: int = 0,
    names: Sequence[str] = (THE_TARGET,),
    scores: Mapping[tuple[str, int], float] | None = None,
) -> Path:
    """Writes the table of `count` frames of a source, and its record.

    Args:
      table: the table; its name says of which format.
      source: the frames.
      count: the number of rows of each target.
      first: the number of the first frame.
      names: of the targets.
      scores: of targets in frames of these numbers; all others are 0.9.
    """
    opened = open_source(source).starting_at(first)
    Record.of(table, str(source), opened, Contents(siamfc=False, alexnet="torchvision"), ALEXNET, names).write(table)
    given = {} if scores is None else scores
    with open_table(table, names, video=opened.name, size=opened.size, files=opened.files) as rows:
        for row in range(count):
            boxes = np.stack([boxes_of(count, place)[row] for place in range(len(names))])
            rows.write(first + row, boxes, np.array([given.get((name, first + row), 0.9) for name in names]))
    return table
