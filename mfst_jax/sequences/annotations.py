"""Ground truth in text files: boxes, the polygons of VOT and the masks of VOT2020. Every error names file and line."""

import re
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from mfst_jax.sequences.sequence import FARTHEST
from mfst_jax.sequences.text import fields, line_error, parse_lines, read_text

Polygons = Literal["bounds", "area"]
"""Rule by which a polygon becomes a box: its extreme coordinates, or as in the VOT toolkit about the polygon's area."""
LARGEST_MASK = 2**40
"""Greatest number of pixels of a mask's rectangle."""
REGIONS = "4 numbers (x, y, w, h), 8 (four corners) or a mask of VOT (m...)"


class TrueBoxes(NamedTuple):
    """Ground truth of one target, as a file has it.

    Attributes:
      boxes: (x, y, w, h) in 0-indexed pixels, NaN where the target is absent.
      absent: Where there is no target: a NaN, or no width or height above 0.
      negative: Where the target counts as absent because a width or a height is negative.
    """

    boxes: Float64[np.ndarray, "rows 4"]
    absent: Bool[np.ndarray, " rows"]
    negative: Bool[np.ndarray, " rows"]


def read_boxes(path: Path, *, origin: int, polygons: Polygons = "bounds") -> TrueBoxes:
    """True boxes in a text file, one on each line.

    A line is `x y w h`, the corners `x1 y1 ... x4 y4` or a mask `m x0 y0 w h` with the lengths of its runs, as VOT
    writes them. The target is absent where a number is a NaN, where the width or height is not above 0, and on the
    lines `,,,` and, in VOT, `0`.

    Args:
      path: the file.
      origin: the number of the first pixel in the file, 0 or 1. Masks count from 0 in any case.
      polygons: how corners become a box.

    Raises:
      InputError: a file that cannot be read, or a line that is none of these or has an infinite number.
    """
    lines = read_text(path).splitlines()
    table = parse_lines(lines)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not finite, and refused
        if table is not None and table.shape[1] in (4, 8):
            boxes = (table if table.shape[1] == 4 else polygon_boxes(table, polygons)) - (origin, origin, 0, 0)
        else:
            boxes = np.array([_read_region(path, number, line, origin, polygons) for number, line in enumerate(lines)])
    infinite = np.any(np.isinf(boxes), axis=1)
    if infinite.any():
        number = int(np.argmax(infinite))
        raise line_error(path, number, "finite numbers", lines[number])
    negative = np.asarray(np.any(boxes[:, 2:] < 0, axis=1))
    absent = np.asarray(np.any(np.isnan(boxes) | (boxes <= 0) & [False, False, True, True], axis=1))
    boxes[absent] = np.nan
    return TrueBoxes(boxes, absent, negative)


def polygon_boxes(corners: Float64[np.ndarray, "rows 8"], rule: Polygons) -> Float64[np.ndarray, "rows 4"]:
    """Axis-aligned boxes of polygons with four corners.

    By `bounds`: from the smallest to the largest coordinates. By `area`, as the VOT toolkit's `get_axis_aligned_BB`:
    that box's shape around the mean of the corners, with the area of the rectangle on the polygon's first two sides,
    and one pixel more in width and height.
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


def mask_box(text: str) -> Float64[np.ndarray, "4"]:
    """Bounds (x, y, w, h) of a mask as VOT2020 writes it, in 0-indexed pixels; NaN where it is empty.

    The text is `m`, then x, y, width and height of a rectangle of pixels, and then how many pixels, row by row, are
    outside the target, inside, outside, and so on; what comes after the last run is outside.

    Raises:
      ValueError: it is no such text, or its runs are longer than its rectangle.
    """
    x, y, width, height, *runs = (int(number) for number in fields(text.removeprefix("m")))
    fits = min(width, height, *runs) >= 0 and sum(runs) <= width * height <= LARGEST_MASK
    if not fits or max(abs(x), abs(y)) > FARTHEST:
        raise ValueError(f"runs of {sum(runs)} pixels in {width} x {height} at {x}, {y}")
    ends = np.cumsum(np.array(runs, np.int64))
    starts, ends = ends[:-1:2], ends[1::2]  # bounds of the runs inside the target
    starts, ends = starts[starts < ends], ends[starts < ends]
    if not len(starts):
        return np.full(4, np.nan)
    first_rows, last_rows = starts // width, (ends - 1) // width
    # A run over the end of a row holds that row's last pixel and the next row's first one.
    wraps = bool((first_rows < last_rows).any())
    left = 0 if wraps else int((starts % width).min())
    right = width - 1 if wraps else int(((ends - 1) % width).max())
    top, bottom = int(first_rows[0]), int(last_rows[-1])
    return np.array([x + left, y + top, right - left + 1, bottom - top + 1], np.float64)


def _read_region(path: Path, number: int, line: str, origin: int, polygons: Polygons) -> Float64[np.ndarray, "4"]:
    """Box of one line, in 0-indexed pixels."""
    if line.strip().startswith("m"):
        try:
            return mask_box(line.strip())
        except ValueError:
            raise line_error(path, number, "a mask of VOT, m x, y, w, h and runs that fit,", line) from None
    numbers = parse_lines([line])
    if numbers is not None and numbers.shape == (1, 8):
        numbers = polygon_boxes(numbers, polygons)
    if numbers is not None and numbers.shape == (1, 4):
        return numbers[0] - (origin, origin, 0, 0)
    if line.strip() == "0" or re.fullmatch(r"\s*(,\s*){3}", line):
        return np.full(4, np.nan)
    raise line_error(path, number, REGIONS, line)
