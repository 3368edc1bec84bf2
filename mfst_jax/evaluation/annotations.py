"""Numbers in text files, and ground truth in the formats of OTB, GOT-10k and VOT. Every error names file and line."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int

from mfst_jax.errors import InputError

Polygons = Literal["bounds", "area"]
"""How a polygon becomes a box: by its extreme coordinates, or as the VOT toolkit does, of about the polygon's area."""


def read_numbers(path: Path, columns: Collection[int]) -> Float64[np.ndarray, "rows columns"]:
    """The numbers in a text file, a row a line, between commas, tabs or spaces.

    Args:
      path: the file.
      columns: how many numbers a line may have; all lines have as many.

    Raises:
      InputError: a file that cannot be read, an empty one, or a line that is not as many numbers.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a text file, found {getattr(error, 'strerror', None) or error}") from None
    if not text:
        raise InputError(f"{path}, line 1: expected numbers, found an empty file")
    rows = text.replace(",", " ").splitlines()
    numbers = _parse(rows)
    if numbers is not None and len(numbers) == len(rows) and numbers.shape[1] in columns:
        return numbers
    width = len(rows[0].split())
    allowed = {width} if width in columns else {*columns}
    line = next(line for line, row in enumerate(rows) if len(row.split()) not in allowed or _parse([row]) is None)
    expected = " or ".join(map(str, sorted(allowed)))
    raise InputError(f"{path}, line {line + 1}: expected {expected} numbers, found {text.splitlines()[line]!r}")


def read_boxes(
    path: Path, *, origin: int, polygons: Polygons = "bounds"
) -> tuple[Float64[np.ndarray, "rows 4"], Bool[np.ndarray, "rows"]]:
    """The true boxes in a text file, `x y w h` or the corners `x1 y1 ... x4 y4`, and where it says there is no target.

    Args:
      path: the file. A line with a NaN, or with no width or height, says that the target is absent.
      origin: what the file calls the first pixel, 0 or 1.
      polygons: how corners become a box.

    Returns:
      the boxes in 0-indexed pixels, NaN where the target is absent, and whether it is.

    Raises:
      InputError: a file that cannot be read, or a line without numbers, with an infinite one or a negative size.
    """
    boxes = read_numbers(path, (4, 8))
    if boxes.shape[1] == 8:
        boxes = polygon_boxes(boxes, polygons)
    unusable = np.isinf(boxes).any(axis=1) | (boxes[:, 2:] < 0).any(axis=1)
    if unusable.any():
        line = int(np.argmax(unusable))
        found = ",".join(f"{number:g}" for number in boxes[line])
        raise InputError(f"{path}, line {line + 1}: expected finite x, y, w, h with w, h >= 0, found {found}")
    absent = np.isnan(boxes).any(axis=1) | (boxes[:, 2:] == 0).any(axis=1)
    boxes[:, :2] -= origin
    boxes[absent] = np.nan
    return boxes, absent


def polygon_boxes(corners: Float64[np.ndarray, "rows 8"], rule: Polygons) -> Float64[np.ndarray, "rows 4"]:
    """Axis-aligned boxes for polygons of four corners.

    By `bounds`: from the smallest to the largest coordinates. By `area`, as the VOT toolkit's `get_axis_aligned_BB`:
    that box's shape about the mean of the corners, of the area of the rectangle on the polygon's first two sides, and
    then a pixel more in width and height.
    """
    points = corners.reshape(-1, 4, 2)
    low, high = points.min(axis=1), points.max(axis=1)
    if rule == "bounds":
        return np.concatenate([low, high - low], axis=1)
    sides = np.linalg.norm(points[:, :2] - points[:, 1:3], axis=2)
    area = np.prod(high - low, axis=1)
    scale = np.sqrt(np.divide(np.prod(sides, axis=1), area, out=np.full_like(area, np.nan), where=area > 0))
    size = scale[:, None] * (high - low) + 1
    return np.concatenate([points.mean(axis=1) - size / 2, size], axis=1)


def line_numbers(rows: Int[np.ndarray, "rows"]) -> str:
    """The rows of a file, counted from 0, in words that count from 1: `line 3` or `lines 3, 7-9`."""
    numbers = rows + 1
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    spans = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"line{'s' if len(numbers) > 1 else ''} {spans}"


def _parse(rows: list[str]) -> Float64[np.ndarray, "rows columns"] | None:
    try:
        return np.loadtxt(rows, comments=None, ndmin=2) if any(map(str.strip, rows)) else None
    except ValueError:
        return None
