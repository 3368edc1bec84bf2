"""One target in one video with a box for each frame: what every reader of a layout makes, and all that commands see."""

from collections.abc import Sequence as Several
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64

from mfst_jax.errors import InputError


@dataclass(frozen=True, eq=False)
class Sequence:
    """One target in one video, with a box for each frame.

    Attributes:
      name: Name of the sequence.
      frames: Images in order; none where they were not asked for.
      ground_truth: True boxes (x, y, w, h) in 0-indexed pixels, NaN where the target is absent or nobody annotated it.
      absent: Where the annotation says that there is no target.
      attributes: OTB's attributes, where they are known.
      size: Height and width of the frames in GOT-10k, which scores boxes cut to them; else None.
      problems: What is odd about the sequence, a line each.
      labelled_absent: Where labels beside the true boxes say that there is no target; None without such labels.
    """

    name: str
    frames: tuple[Path, ...]
    ground_truth: Float64[np.ndarray, "frames 4"]
    absent: Bool[np.ndarray, " frames"]
    attributes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    problems: tuple[str, ...] = ()
    labelled_absent: Bool[np.ndarray, " frames"] | None = None

    @property
    def annotated(self) -> int:
        """Number of annotated frames, counted from the first: each has a box, or is marked as having no target."""
        known = np.isfinite(self.ground_truth).all(axis=1) | self.absent
        return int(np.flatnonzero(known)[-1]) + 1 if known.any() else 0


FARTHEST = 1e9
"""Pixels beyond which no true box may lie or reach."""


def check_boxes(name: object, boxes: Float64[np.ndarray, "rows 4"], row: str = "line") -> None:
    """Raises `InputError` if a box has a number beyond `FARTHEST`. Those that are not finite are none.

    Args:
      name: the file that they are from.
      boxes: the boxes (x, y, w, h).
      row: what a row of it is called.
    """
    far = (np.abs(boxes) > FARTHEST).any(axis=1) & np.isfinite(boxes).all(axis=1)
    if far.any():
        number = int(np.argmax(far))
        found = " ".join(f"{value:g}" for value in boxes[number])
        raise InputError(f"{name}, {row} {number + 1}: expected a box within {FARTHEST:g} pixels, found {found}")


def check_rows(truth: Path, rows: int, frames: int, row: str = "line") -> None:
    """Raises `InputError` if a file of true boxes has more rows than there are frames."""
    if rows > frames:
        raise InputError(f"{truth}, {row} {frames + 1}: expected {frames} {row}s, one a frame, found {rows}")


def sequence_of_boxes(
    name: str,
    truth: Path,
    frames: tuple[Path, ...],
    boxes: Float64[np.ndarray, "rows 4"],
    absent: Bool[np.ndarray, " rows"],
    *,
    count: int | None = None,
    attributes: tuple[str, ...] = (),
    size: tuple[int, int] | None = None,
    problems: Several[str] = (),
    labelled_absent: Bool[np.ndarray, " rows"] | None = None,
) -> Sequence:
    """Sequence of a file that has a box for each frame from the first one on; the frames after its end have none.

    Args:
      name: the name of the sequence.
      truth: the file.
      frames: the images; none where they were not asked for.
      boxes: the boxes (x, y, w, h).
      absent: where there is no target.
      count: the number of frames that there should be, where it is known.
      attributes: what `Sequence` says.
      size: what `Sequence` says.
      problems: what is odd about the file, a line each.
      labelled_absent: what `Sequence` says.

    Raises:
      InputError: more rows than frames, or a box that is too far away.
    """
    rows = len(boxes)
    check_boxes(truth, boxes)
    if frames:
        check_rows(truth, rows, len(frames))
    expected = len(frames) or count or rows
    if rows not in (1, expected):
        line = min(rows, expected) + 1
        problems = [*problems, f"{truth}, line {line}: expected {expected} lines, one a frame, found {rows}"]
    boxes = np.where(absent[:, None], np.nan, boxes)
    if lacking := max(0, len(frames) - rows):
        boxes = np.pad(boxes, ((0, lacking), (0, 0)), constant_values=np.nan)
        absent = np.pad(absent, (0, lacking))
        labelled_absent = None if labelled_absent is None else np.pad(labelled_absent, (0, lacking))
    return Sequence(name, frames, boxes, absent, attributes, size, tuple(problems), labelled_absent)


def sequence_of_track(
    name: str, frames: Several[Path], boxes: Float64[np.ndarray, "frames 4"], *, whole: bool = True
) -> Sequence:
    """Sequence of one target among those that a video's annotation follows, from the first frame that has a box of it.

    Args:
      name: the name of the sequence.
      frames: the images of the video; none where they were not asked for.
      boxes: the target's box (x, y, w, h) in each of its frames, NaN where it is absent; one at least.
      whole: whether the frames after its last box belong to the sequence, as frames without the target.

    Raises:
      InputError: the target has no box at all, or one that is too far away.
    """
    check_boxes(name, boxes, "frame")
    present = np.flatnonzero(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
    if not len(present):
        raise InputError(f"{name}: expected a box in some frame, found none")
    first, last = int(present[0]), len(boxes) if whole else int(present[-1]) + 1
    absent = np.ones(len(boxes), bool)
    absent[present] = False
    cut = np.where(absent[:, None], np.nan, boxes)[first:last]
    return Sequence(name, tuple(frames[first:last]), cut, absent[first:last])
