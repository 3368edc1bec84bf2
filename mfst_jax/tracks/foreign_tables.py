"""Tables of boxes in the formats of others: MOTChallenge's text and COCO's JSON for videos."""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfst_jax.errors import InputError, reason, reason_in_content
from mfst_jax.json_files import read_json

FARTHEST = 1e9
"""Pixels beyond which no box may lie or reach."""
GREATEST_SCORE = 1e9
"""Score beyond which there is none; trackers of others may have scores of any scale."""
MOST_FRAMES = 1_000_000
"""Number of frames of a table that need not have a row for each; more of them mean a mistake in a number."""

Row = tuple[list[float], float, bool | None]
"""A box, NaN where it has no numbers; its score, NaN where there is none; and whether it is lost, None if unknown."""
Rows = dict[str, dict[int, Row]]
"""Rows of each target by the frame's number from 0; targets are in the order in which they appear."""


def looks_like_mot(path: Path) -> bool:
    """Whether a text begins with a row of numbers, where a table in CSV has its header."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline(1000).split(",")
        return len(first) >= 6 and all(math.isfinite(float(cell)) for cell in first[:6])
    except (OSError, ValueError):
        return False


def read_mot(path: Path, names: Sequence[str] = ()) -> tuple[Rows, int]:
    """Rows of MOTChallenge's text, and the number of frames: up to the last one that has a row.

    Args:
      path: lines of `frame,id,left,top,width,height`, maybe a score, and further columns; all counted from 1.
      names: of the targets with the ids 1, 2 and so on; any other is called by its id.

    Raises:
      InputError: a line of anything else, a frame that a target has twice, or no line.
    """
    found: Rows = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, cells in enumerate(csv.reader(file, skipinitialspace=True), start=1):
                if cells:
                    where = f"boxes {path}, line {number}"
                    frame, identity, row = _read_mot_row(where, cells)
                    name = names[identity - 1] if 1 <= identity <= len(names) else str(identity)
                    add(found, where, name, frame, row)
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"boxes {path}: expected MOTChallenge's text, found {reason(error)}") from None
    return found, 1 + max((number for rows in found.values() for number in rows), default=-1)


def read_coco(path: Path) -> tuple[Rows, int]:
    """Rows of COCO's JSON for one video, and the number of its frames: that of its images.

    Args:
      path: `images` with `id` and `frame_id` (or `frame_index`), from 0 or 1, or else in order; `annotations` with
        `image_id`, `track_id` (or `instance_id`) and `bbox`, and maybe `score` and `lost`; `tracks` may have names,
        to which their ids are added where several have the same.

    Raises:
      InputError: anything else, several videos, or a frame that a target has twice.
    """
    content = read_json(path, "COCO's JSON for videos", name=f"boxes {path}")
    found: Rows = {}
    where = "its videos"
    try:
        if len(content.get("videos", [None])) != 1:
            raise InputError(f"boxes {path}: expected boxes of one video, found {len(content['videos'])} videos")
        where = "its images"
        frames: dict[Any, int] = {}
        for place, image in enumerate(content["images"]):
            frames[image["id"]] = _whole(image.get("frame_id", image.get("frame_index", place)))
        numbers = sorted(frames.values())
        first = min(numbers[:1], default=0)
        if first not in (0, 1) or numbers != [*range(first, first + len(content["images"]))]:
            raise InputError(f"boxes {path}: expected images of the frames from 0 or 1 on, each once, found others")
        frames = {identity: number - first for identity, number in frames.items()}
        where = "its tracks"
        names = {track["id"]: str(track.get("name") or track["id"]) for track in content.get("tracks", [])}
        several = {name for name, count in Counter(names.values()).items() if count > 1}
        names = {identity: f"{name}-{identity}" if name in several else name for identity, name in names.items()}
        found.update((name, {}) for name in names.values())
        for place, each in enumerate(content["annotations"]):
            where = f"annotation {place}"
            identity = each["track_id"] if "track_id" in each else each["instance_id"]
            row = _row(each["bbox"], each.get("score"), each.get("lost"))
            name = names.get(identity, str(identity))
            add(found, f"boxes {path}, {where}", name, frames[each["image_id"]], row)
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"boxes {path}: expected COCO's JSON for videos, found {reason_in_content(error)} in {where}"
        ) from None
    return {name: rows for name, rows in found.items() if rows}, len(frames)


def add(found: Rows, where: str, name: str, number: int, row: Row) -> None:
    """Adds a row to those of its target. Raises `InputError` where the target has one of that frame already."""
    if number in found.setdefault(name, {}):
        raise InputError(f"{where}: expected a frame that {name} has no box of yet, found {number} again")
    found[name][number] = row


def _read_mot_row(where: str, cells: list[str]) -> tuple[int, int, Row]:
    try:
        frame, identity = (_whole(float(cell)) for cell in cells[:2])
        left, top, width, height = map(float, cells[2:6])
        row = _row([left - 1, top - 1, width, height], float(cells[6]) if len(cells) > 6 and cells[6] else None, None)
        if not 1 <= frame <= MOST_FRAMES:
            raise ValueError
    except (ValueError, OverflowError):
        found = ",".join(cells)
        raise InputError(
            f"{where}: expected a frame's number from 1, a target's and its box, found {found!r:.80}"
        ) from None
    return frame - 1, identity, row


def _row(box: Sequence[Any], score: Any, lost: Any) -> Row:
    """Row from a file's values. A score below 0 is none, as in MOTChallenge.

    Raises:
      TypeError, ValueError: it is no row.
    """
    x, y, w, h = map(float, box)
    score = math.nan if score is None or float(score) < 0 else float(score)
    values = [x, y, w, h]
    if lost not in (None, True, False) or not is_in_range(values, score):
        raise ValueError(f"{[*values, score]}"[:80])
    return values if all(map(math.isfinite, values)) else [math.nan] * 4, score, None if lost is None else bool(lost)


def is_in_range(box: Sequence[float], score: float) -> bool:
    """Whether what a row has of finite numbers is no mistake."""
    far = any(abs(value) > FARTHEST for value in box if math.isfinite(value))
    return not far and not (math.isfinite(score) and abs(score) > GREATEST_SCORE)


def _whole(value: Any) -> int:
    number = int(value)
    if number != value:
        raise ValueError(f"{value!r:.40} in the place of a whole number")
    return number
