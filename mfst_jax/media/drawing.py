"""Boxes drawn on frames, and frames on a contact sheet.

A frame is uint8 RGB `[height, width, 3]`, a box `(x, y, w, h)` in 0-indexed pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
from jaxtyping import Array, Bool, Num
from PIL import Image, ImageDraw, ImageFont

from mfst_jax.arrays import AnyArray
from mfst_jax.errors import InputError
from mfst_jax.media.decoding import Frame
from mfst_jax.media.palette import luminance, on_pictures
from mfst_jax.validation import check_picture

Box = Sequence[float | int] | Num[np.ndarray, "4"] | Num[Array, "4"]

TRACKED = (255, 176, 0)
"""Colour of the tracked box."""
TRUE = (64, 196, 255)
"""Colour of the ground-truth box, which differs from `TRACKED` for every kind of colour vision."""
DARK, WHITE = (16, 16, 16), (255, 255, 255)
DARK_INK_FROM = 0.2
"""Luminance of a label's background from which on dark ink reads better than white."""
LONGEST_NAME = 24
"""Number of characters of a target's name that are drawn."""
DASH = 4
"""Length of the dashes of a lost target's box, in widths of its line; the gaps are about as long."""
GAP = 6
"""Pixels between the pictures of a contact sheet."""


@dataclass(frozen=True)
class Mark:
    """A tracked box to draw.

    Attributes:
      box: (x, y, w, h) in 0-indexed pixels; not drawn where it is not finite.
      label: Text above the box.
      colour: Colour of the box, RGB in 0..255.
      lost: Whether the target counts as lost, so that the box is dashed.
    """

    box: Box
    label: str = ""
    colour: tuple[int, int, int] = TRACKED
    lost: bool = False


def draw(
    frame: AnyArray,
    box: Box,
    *,
    score: SupportsFloat | None = None,
    number: int | None = None,
    truth: Box | None = None,
    lost: bool = False,
) -> Frame:
    """Copy of a frame with the boxes of one target on it, drawn as `draw_marks` does.

    Args:
      frame: the picture, uint8 RGB [height, width, 3].
      box: the tracked box (x, y, w, h), in `TRACKED`.
      score: written above the tracked box, with two decimals.
      number: the frame's number, written into the top-left corner of the frame.
      truth: the true box, in `TRUE`, below the tracked one.
      lost: whether the target counts as lost, so that the tracked box is dashed.

    Raises:
      InputError: the frame is no uint8 RGB [height, width, 3].
    """
    label = "" if score is None else f"{float(score):.2f}"
    return draw_marks(check_picture("frame", frame), [Mark(box, label, lost=lost)], number=number, truth=truth)


def draw_targets(
    frame: Frame,
    boxes: Num[np.ndarray, "targets 4"],
    names: Sequence[str],
    *,
    scores: Num[np.ndarray, " targets"],
    lost: Bool[np.ndarray, " targets"],
    number: int | None = None,
    truth: Box | None = None,
) -> Frame:
    """Copy of a frame with the boxes of several targets on it, each in its colour, with its name and score.

    Args:
      frame: the picture.
      boxes: (x, y, w, h) each, in the colours that `palette.on_pictures` has for their places.
      names: of the targets.
      scores: written after the names, with two decimals.
      lost: whether each target counts as lost, so that its box is dashed.
      number: the frame's number, written into the top-left corner of the frame.
      truth: the true box, in `TRUE`, below the tracked ones.
    """
    marks = [
        Mark(box, f"{name[:LONGEST_NAME]} {score:.2f}", on_pictures(place), bool(gone))
        for place, (box, name, score, gone) in enumerate(zip(boxes, names, scores, lost, strict=True))
    ]
    return draw_marks(frame, marks, number=number, truth=truth)


def draw_marks(frame: Frame, marks: Sequence[Mark], *, number: int | None = None, truth: Box | None = None) -> Frame:
    """Copy of a frame with boxes on it, later ones over earlier ones, and all labels over all boxes.

    A box's line covers its outermost pixels and has a dark rim outside, so it shows on any background; it is about
    1/180 of the frame's shorter side wide. A box may lie partly or wholly outside the frame, and one with a NaN or an
    infinity is left out.

    Args:
      frame: the picture.
      marks: the tracked boxes.
      number: the frame's number, written into the top-left corner of the frame.
      truth: the true box, in `TRUE`, below the tracked ones.
    """
    picture = frame.copy()
    shorter = min(picture.shape[:2])
    line = max(1, round(shorter / 180))
    font = ImageFont.load_default(max(10, round(shorter / 22)))
    if truth is not None:
        _draw_box(picture, truth, TRUE, line)
    corners = [
        _draw_box(picture, mark.box, mark.colour, line, dash=DASH * line if mark.lost else None) for mark in marks
    ]
    for mark, corner in zip(marks, corners, strict=True):
        if mark.label and corner is not None:
            ink = DARK if luminance(mark.colour) > DARK_INK_FROM else WHITE
            _draw_label(picture, corner, mark.label, font, ink=ink, plate=mark.colour)
    if number is not None:
        _draw_label(picture, (0, 0), f"{number}", font, ink=WHITE, plate=DARK)
    return picture


def contact_sheet(frames: Sequence[tuple[int, Frame]], *, columns: int = 4, width: int = 1280) -> Image.Image:
    """Contact sheet: pictures row by row, each with its number in its corner, as one RGB image `width` pixels wide.

    Raises:
      InputError: no frames, fewer than one column, or a width that leaves no room for the pictures.
    """
    if not frames:
        raise InputError("contact sheet: expected at least one frame, found none")
    if columns < 1 or width < columns * (GAP + 16):
        raise InputError(f"contact sheet: expected room for columns of 16 pixels, found {columns} in {width} pixels")
    cell_width = (width - (columns - 1) * GAP) // columns
    cell_height = max(1, max(round(cell_width * frame.shape[0] / frame.shape[1]) for _, frame in frames))
    rows = -(-len(frames) // columns)
    sheet = Image.new("RGB", (width, rows * (cell_height + GAP) - GAP), "white")
    font = ImageFont.load_default(max(10, cell_height // 16))
    for place, (number, frame) in enumerate(frames):
        row, column = divmod(place, columns)
        height = max(1, round(cell_width * frame.shape[0] / frame.shape[1]))
        cell = np.array(Image.fromarray(frame).resize((cell_width, height), Image.Resampling.LANCZOS))
        _draw_label(cell, (0, 0), f"{number}", font, ink=WHITE, plate=DARK)
        sheet.paste(Image.fromarray(cell), (column * (cell_width + GAP), row * (cell_height + GAP)))
    return sheet


def _draw_box(
    picture: Frame, box: Box, colour: tuple[int, int, int], line: int, dash: int | None = None
) -> tuple[int, int] | None:
    """Draws the outline of a box; returns its top-left pixel, or None where the box has no numbers to draw."""
    x, y, w, h = np.asarray(box, np.float64).tolist()
    if not all(map(math.isfinite, (x, y, w, h))):
        return None
    height, width, _ = picture.shape
    beyond = 4 * line  # sides further out than this are invisible too

    def pixel(value: float, limit: int) -> int:
        return round(min(max(value, -beyond), limit + beyond))

    left, top = pixel(x, width), pixel(y, height)
    right, bottom = max(left, pixel(x + w - 1, width)), max(top, pixel(y + h - 1, height))
    rim = max(1, line // 2)
    _draw_outline(picture, (left - rim, top - rim, right + rim, bottom + rim), DARK, rim, dash)
    _draw_outline(picture, (left, top, right, bottom), colour, line, dash)
    return left, top


def _draw_outline(
    picture: Frame,
    corners: tuple[int, int, int, int],
    colour: tuple[int, int, int],
    line: int,
    dash: int | None = None,
) -> None:
    """Colours the outermost `line` pixels within the corners (left, top, right, bottom), all of them included.

    With `dash`, the outline is drawn in pieces of about so many pixels; the corners are always drawn.
    """
    left, top, right, bottom = corners

    def fill(left: int, top: int, right: int, bottom: int) -> None:
        picture[max(0, top) : max(0, bottom + 1), max(0, left) : max(0, right + 1)] = colour

    for first, last in _pieces(left, right, dash):
        fill(first, top, last, min(bottom, top + line - 1))
        fill(first, max(top, bottom - line + 1), last, bottom)
    for first, last in _pieces(top, bottom, dash):
        fill(left, first, min(right, left + line - 1), last)
        fill(max(left, right - line + 1), first, right, last)


def _pieces(first: int, last: int, dash: int | None) -> list[tuple[int, int]]:
    """Dashes of a side from pixel `first` to `last`, of one length, one at either end; or all of it as one piece."""
    length = last - first + 1
    count = 1 if dash is None else 2 * max(1, round((length / dash - 1) / 2)) + 1
    if count > length:
        return [(first, last)]
    ends = [first + round(length * number / count) for number in range(count + 1)]
    return [(ends[number], ends[number + 1] - 1) for number in range(0, count, 2)]


def _draw_label(
    picture: Frame,
    corner: tuple[int, int],
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    *,
    ink: tuple[int, int, int],
    plate: tuple[int, int, int],
) -> None:
    """Writes `text` on a plate that stands on `corner`, moved as far as needed to lie within the picture."""
    left, top, right, bottom = font.getbbox(text)
    margin = max(2, round(bottom - top) // 4)
    plate_width, plate_height = round(right - left) + 2 * margin, round(bottom - top) + 2 * margin
    label = Image.new("RGB", (plate_width, plate_height), plate)
    ImageDraw.Draw(label).text((margin - left, margin - top), text, font=font, fill=ink)
    height, width, _ = picture.shape
    x = max(0, min(corner[0], width - plate_width))
    y = max(0, min(corner[1] - plate_height, height - plate_height))
    room = picture[y : y + plate_height, x : x + plate_width]
    room[:] = np.asarray(label)[: room.shape[0], : room.shape[1]]
