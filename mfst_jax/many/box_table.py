"""Table of the boxes that many sources begin with, for `mfst track-all --boxes`: CSV with a row for each target."""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfst_jax.errors import InputError, reason
from mfst_jax.targets import Target, check_names, default_names
from mfst_jax.tracks.files import NUMBERS
from mfst_jax.tracks.foreign_tables import FARTHEST, MOST_FRAMES

COLUMNS = ("source", *NUMBERS)
"""Columns that there have to be; `target`, `first` and `name` there may be."""


@dataclass(frozen=True)
class SourceStart:
    """Beginning of the tracks in one source.

    Attributes:
      source: The source by its path, from the current folder.
      targets: What to follow.
      first: Number of the frame that the boxes are in.
      name: Name of the table to write, without its suffix; none where the source's own will do.
    """

    source: str
    targets: tuple[Target, ...]
    first: int
    name: str


@dataclass
class _Rows:
    """Rows of one source, with the line of the first one."""

    line: int
    first: int
    name: str
    targets: list[tuple[str, tuple[float, float, float, float]]] = field(default_factory=list)


def read_box_table(path: Path) -> dict[str, SourceStart]:
    """Beginning of each source in a table, by `key_of` the source, in the order in which they appear.

    Args:
      path: CSV with the columns `source,x,y,w,h`, in any order, among others: the source by its path from the table's
        folder, and a box in 0-indexed pixels. Rows of one source are its targets, with their names in `target`.
        `first` is the number of the frame that the boxes are in, by default 0, and `name` what to call the result.

    Raises:
      InputError: a file that cannot be read, lacks a column or a row; a row whose numbers are none; names of targets
        that a table cannot hold, or rows of one source that differ in `first` or `name`.
    """
    found: dict[str, _Rows] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, skipinitialspace=True, restkey="")
            columns = [name.strip() for name in rows.fieldnames or ()]
            rows.fieldnames = columns
            if missing := [name for name in COLUMNS if name not in columns]:
                raise InputError(
                    f"boxes {path}: expected a header with the columns {','.join(COLUMNS)}, found none called "
                    f"{' or '.join(missing)}"
                )
            for row in rows:
                _add(found, f"boxes {path}, line {rows.line_num}", rows.line_num, row)
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"boxes {path}: expected a table in CSV, found {reason(error)}") from None
    if not found:
        raise InputError(f"boxes {path}: expected a row for each source and target, found none")
    return {key_of(start.source): start for start in (_start(path, *each) for each in found.items())}


def key_of(source: str) -> str:
    """Path of a source by which tables and command lines mean the same one."""
    return os.path.abspath(source)  # noqa: PTH100 - a source need not be a path: FOLDER#NAME, or a glob


def _add(found: dict[str, _Rows], where: str, line: int, row: Mapping[str, Any]) -> None:
    """Adds a row of the table to those of its source."""
    source, target, name = ((row.get(column) or "").strip() for column in ("source", "target", "name"))
    try:
        x, y, w, h = (float(row[column]) for column in NUMBERS)
        first = int((row.get("first") or "").strip() or 0)
        far = not all(abs(number) <= FARTHEST for number in (x, y, w, h))  # or a NaN
        if "" in row or far or min(w, h) <= 0 or not 0 <= first < MOST_FRAMES:
            raise ValueError
    except (TypeError, ValueError):
        values = ",".join(str(value) for value in row.values())
        raise InputError(
            f"{where}: expected a source, a box x,y,w,h of some size and maybe the number of its frame, "
            f"found {values!r:.80}"
        ) from None
    if not source or "\0" in source:
        raise InputError(f"{where}: expected the path of a source, found {source!r}")
    rows = found.setdefault(source, _Rows(line, first, name))
    if (rows.first, rows.name) != (first, name):
        raise InputError(
            f"{where}: expected the first frame and the name that {source} has in line {rows.line}, {rows.first} and "
            f"{rows.name!r}, as its targets are followed in one pass, found {first} and {name!r}"
        )
    rows.targets.append((target, (x, y, w, h)))


def _start(path: Path, source: str, rows: _Rows) -> SourceStart:
    """Beginning of a source by its rows."""
    names = [name or default for (name, _), default in zip(rows.targets, default_names(len(rows.targets)), strict=True)]
    check_names(names, what=f"boxes {path}, line {rows.line}: targets of {source}")
    targets = tuple(Target(name, box) for name, (_, box) in zip(names, rows.targets, strict=True))
    return SourceStart(os.path.normpath(path.parent / source), targets, rows.first, rows.name)
