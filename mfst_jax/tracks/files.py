"""Files that `mfst track` wrote, read back: the table of boxes, and beside it the record of where its frames are.

The record of `boxes.csv` is `boxes.csv.json`. It names the source by its path from the table's folder, so that the two
can be moved together.
"""

import csv
import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from mfst_jax import json_files
from mfst_jax.config import MOST_CONTEXT, Config, to_dict
from mfst_jax.errors import InputError, reason
from mfst_jax.media.source import Source
from mfst_jax.media.streams import is_address
from mfst_jax.media.writers import AtomicFile
from mfst_jax.params import Contents
from mfst_jax.targets import THE_TARGET
from mfst_jax.tracks.foreign_tables import MOST_FRAMES, Row, Rows, add, is_in_range, looks_like_mot, read_coco, read_mot
from mfst_jax.tracks.lost_frames import is_lost
from mfst_jax.tracks.tables import COCO_SUFFIX
from mfst_jax.version import __version__

NUMBERS = ("x", "y", "w", "h")


@dataclass(frozen=True)
class Record:
    """Record of a table of boxes: where its frames are, and how they were tracked.

    Attributes:
      source: The video, folder or glob of images, by its path from the table's folder; None for a webcam or an
        address, which may hold a password and would be opened again by whoever looks at the result.
      size: Height and width of its frames, in pixels.
      config: How they were tracked, as `config.to_dict` writes it.
      weights: Contents of the weights, in words.
      version: Version of mfst_jax.
      targets: Names of the targets, in order; none for a single one that nobody named.
      first: Number of the first frame that was tracked.
      complete: Whether the source was followed to its end, or until the track was to stop; False where an error or
        an interruption ended it, and where nobody knows.
    """

    source: str | None
    size: tuple[int, int]
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""
    version: str = ""
    targets: tuple[str, ...] = ()
    first: int = 0
    complete: bool = False

    @classmethod
    def of(
        cls, table: Path, path: str, source: Source, contents: Contents, config: Config, targets: Sequence[str] = ()
    ) -> "Record":
        """Record of a table that is about to be written, and so is not complete.

        Args:
          table: where the boxes will be.
          path: what the source was opened by.
          source: the frames.
          contents: of the weights.
          config: how they are tracked.
          targets: the names of the targets.
        """
        names = () if [*targets] == [THE_TARGET] else tuple(targets)
        return cls(
            *(path_from(table, path), source.size, to_dict(config), contents.describe(), __version__, names),
            first=source.first,
        )

    def write(self, table: Path) -> None:
        """Writes the record beside its table. Raises `InputError` where it cannot be written."""
        values = dataclasses.asdict(self)
        if not self.targets:
            del values["targets"]
        file = AtomicFile("record", record_path(table))
        try:
            with file.reported(OSError):
                file.temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
                file.publish()
        finally:
            file.discard()

    def locate(self, table: Path) -> str | None:
        """Path of the source from the current folder; None for a webcam or an address."""
        return None if self.source is None else os.path.normpath(table.parent / self.source)


@dataclass(frozen=True, eq=False)
class Track:
    """One target's rows of a table, one for each frame.

    Attributes:
      name: Name of the target.
      boxes: (x, y, w, h) in 0-indexed pixels, NaN where there is none.
      scores: Scores, NaN where there is none.
      lost: Whether the target is lost.
      first: Number of the frame of row 0.
    """

    name: str
    boxes: Float32[np.ndarray, "frames 4"]
    scores: Float32[np.ndarray, " frames"]
    lost: Bool[np.ndarray, " frames"]
    first: int = 0


def record_path(table: Path) -> Path:
    """Path of the record of a table."""
    return table.with_name(f"{table.name}.json")


def path_from(table: Path, source: str) -> str | None:
    """Path of a source from a table's folder, as the table's record names it; None for a webcam or an address."""
    if not Path(source).exists() and (re.fullmatch("[0-9]+", source) or is_address(source)):
        return None
    try:
        return os.path.relpath(source, table.parent)
    except ValueError:  # on another drive
        return str(Path(source).absolute())


def read_record(table: Path) -> Record | None:
    """Record of a table; None where it has none. Raises `InputError` where it cannot be read."""
    path = record_path(table)
    if not path.exists():
        return None
    try:
        values = json_files.load(path)
        source, config = values["source"], values["config"]
        height, width = map(int, values["size"])
        weights, version = str(values["weights"]), str(values["version"])
        targets, first = tuple(values.get("targets", ())), values.get("first", 0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InputError(f"record {path}: expected what mfst track writes, found {reason(error)}") from None
    sound = isinstance(config, dict) and _is_context(config.get("context", 0))
    sound = sound and all(isinstance(name, str) for name in targets)
    if not sound or not isinstance(source, str | None):
        raise InputError(f"record {path}: expected what mfst track writes, found {source!r:.40} and {config!r:.40}")
    if type(first) is not int or not 0 <= first < MOST_FRAMES:
        raise InputError(f"record {path}: expected what mfst track writes, found first frame {first!r:.40}")
    complete = values.get("complete") is True  # records of earlier versions do not say
    return Record(source, (height, width), config, weights, version, targets, first, complete)


def _is_context(value: Any) -> bool:
    return isinstance(value, float | int) and 0 <= value <= MOST_CONTEXT


def read_table(path: Path) -> list[Track]:
    """Targets in a table of boxes, in the order in which they appear.

    Frames count from 0, or from the first one that was tracked by the record beside the table.

    Args:
      path: CSV with the columns `frame,x,y,w,h` and maybe `score`, `lost` and `target`, in any order, among others;
        `.json` as COCO has it for videos; or text without a header as MOTChallenge has it, whose targets have the names
        in the record beside it, or their numbers.

    Raises:
      InputError: a file that cannot be read, has no such columns or no row; a row that is not of numbers; a frame that
        is missing from a table in CSV, that a target has twice, or that comes before the first one.
    """
    record = read_record(path)
    first = 0 if record is None else record.first
    if path.suffix.lower() == COCO_SUFFIX:
        found, frames = read_coco(path)
    elif looks_like_mot(path):
        found, frames = read_mot(path, () if record is None else record.targets)
    else:
        found, frames = _read_csv(path, first)
    if not found:
        raise InputError(f"boxes {path}: expected a row for each frame, found none")
    if (earliest := min(number for rows in found.values() for number in rows)) < first:
        raise InputError(
            f"boxes {path}: expected frames from {first} on, the first one by the record beside it, found {earliest}"
        )
    return [_track(name, rows, first, frames) for name, rows in found.items()]


def _read_csv(path: Path, first: int) -> tuple[Rows, int]:
    """Rows of a table in CSV, and the number after that of the last frame."""
    found: Rows = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, skipinitialspace=True, restkey="")
            columns = [name.strip() for name in rows.fieldnames or ()]
            rows.fieldnames = columns
            if missing := [name for name in ("frame", *NUMBERS) if name not in columns]:
                raise InputError(
                    f"boxes {path}: expected a header with the columns frame,x,y,w,h, found none called "
                    f"{' or '.join(missing)}"
                )
            for row in rows:
                where = f"boxes {path}, line {rows.line_num}"
                number, values = _read_row(where, row)
                add(found, where, row.get("target", THE_TARGET) or THE_TARGET, number, values)
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"boxes {path}: expected a table in CSV, found {reason(error)}") from None
    frames = {number for rows in found.values() for number in rows}
    after = max(frames, default=first - 1) + 1
    for number in range(first, after):
        if number not in frames:
            raise InputError(
                f"boxes {path}: expected frames from {first} on without a gap, found none of number {number}"
            )
    return found, after


def _read_row(where: str, row: dict[str, Any]) -> tuple[int, Row]:
    """Frame number of a row, with its box, score (NaN for none) and whether it is lost (None if unknown)."""
    try:
        number = int(row["frame"])
        box = [float(row[name]) for name in NUMBERS]
        score = float(row.get("score") or "nan")
        lost = {"1": True, "0": False, "": None}[(row.get("lost") or "").strip()]
        if number < 0 or "" in row or not is_in_range(box, score):
            raise ValueError
    except (TypeError, ValueError, KeyError):
        found = ",".join(str(value) for value in row.values())
        raise InputError(
            f"{where}: expected a frame's number, its box, score and 0 or 1, found {found!r:.80}"
        ) from None
    return number, (box if all(map(math.isfinite, box)) else [math.nan] * 4, score, lost)


def _track(name: str, rows: dict[int, Row], first: int, after: int) -> Track:
    """Rows of one target, from frame number `first` to the one before `after`."""
    frames = after - first
    boxes, scores = np.full((frames, 4), np.nan, np.float32), np.full(frames, np.nan, np.float32)
    lost = np.zeros(frames, bool)
    for number, (box, score, said) in rows.items():
        row = number - first
        boxes[row], scores[row] = box, score
        lost[row] = (not math.isnan(score) and bool(is_lost([score])[0])) if said is None else said
    return Track(name, boxes, scores, lost, first)
