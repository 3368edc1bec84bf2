"""Tables of boxes, written while the video is tracked: CSV, MOTChallenge's text or COCO's JSON, by the file's name.

Boxes are (x, y, w, h) in 0-indexed pixels. Each frame reaches the (still hidden) file at once, so even a killed process
leaves its rows behind; leaving the `with` block gives the file its name, by an exception too. Where the disk fills up,
the file ends with the last frame that it has room for. Without any frame no file is made, and one that is there stays.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import Num

from mfst_jax.errors import InputError
from mfst_jax.media.drawing import Box
from mfst_jax.media.writers import AtomicFile, write_all
from mfst_jax.targets import THE_TARGET
from mfst_jax.tracks.lost_frames import is_lost

BOX_HEADER = "frame,x,y,w,h,score,lost"
TARGET_HEADER = f"{BOX_HEADER},target"
MOT_SUFFIX, COCO_SUFFIX = ".mot.txt", ".json"
CSV_SUFFIXES = (".csv", ".txt", "")
"""Suffixes that a table in CSV may have."""
CATEGORY = {"id": 1, "name": "object"}
"""The one category of a COCO file: the tracker does not know what it follows."""

Boxes = Num[np.ndarray, "targets 4"]
Scores = Num[np.ndarray, "targets"]


def box_row(number: int, box: Box, score: SupportsFloat, name: str | None = None) -> str:
    """Line of a table under `BOX_HEADER`: a box (x, y, w, h) and its score, four decimals each; a NaN is `nan`.

    `lost` is 1 where the score says that the target is lost, and else 0. With a target's `name`, the line is one under
    `TARGET_HEADER`.
    """
    numbers = [*np.asarray(box, np.float64).tolist(), float(score)]
    row = [str(number), *(f"{value:.4f}" for value in numbers), f"{is_lost([float(score)])[0]:d}"]
    if name is not None:
        row.append('"' + name.replace('"', '""') + '"' if '"' in name else name)
    return ",".join(row)


def csv_header(names: Sequence[str], *, timed: bool = False) -> str:
    """Header of a table in CSV, with a column of targets unless a single target has no name.

    Args:
      names: of the targets.
      timed: whether the last column is `time`.
    """
    return (BOX_HEADER if [*names] == [THE_TARGET] else TARGET_HEADER) + ",time" * timed


def csv_rows(
    number: int,
    names: Sequence[str],
    boxes: Boxes,
    scores: Scores,
    *,
    timed: bool = False,
    seconds: float | None = None,
) -> list[str]:
    """Lines of frame `number` under `csv_header`, one for each target.

    Args:
      number: of the frame.
      names: of the targets.
      boxes: (x, y, w, h) of each.
      scores: of each.
      timed: whether the last column is `time`.
      seconds: the time of the frame from the start of its video; None leaves the column empty.
    """
    if [*names] == [THE_TARGET]:
        rows = [box_row(number, boxes[0], scores[0])]
    else:
        rows = [box_row(number, *row) for row in zip(boxes, scores, names, strict=True)]
    return [f"{row},{'' if seconds is None else f'{seconds:.4f}'}" for row in rows] if timed else rows


class CsvTable:
    """Writer of CSV: `frame,x,y,w,h,score,lost`, then `target` where targets have names, then `time` in videos.

    Each target and frame has a line; frames count from 0, times are in seconds.
    """

    def __init__(self, path: str | Path, names: Sequence[str] = (THE_TARGET,), *, timed: bool = False):
        """Opens the temporary file.

        Args:
          path: the file.
          names: of the targets.
          timed: whether the frames have times.

        Raises:
          InputError: no such folder, or one that cannot be written to.
        """
        self._target = AtomicFile("boxes", path)
        self._names, self._timed = tuple(names), timed

    def __enter__(self) -> "CsvTable":
        self._ends: list[tuple[int, int]] = []
        """For each frame the number of the next one, and where its rows end in the file."""
        with self._target.opening() as self._file:
            self._append([self._first()])
        return self

    def write(self, number: int, boxes: Boxes, scores: Scores, seconds: float | None = None) -> None:
        """Appends frame `number` and its time: each target's box and score, in the order of their names."""
        rows = np.asarray(boxes, np.float64), np.asarray(scores, np.float64)
        with self._target.reported(OSError):
            self._append(self._rows(number, *rows, seconds))
        self._ends.append((number + 1, self._file.tell()))

    def __exit__(self, *_: object) -> None:
        try:
            with self._file:
                problem = self._finish()
            if self._ends:
                with self._target.reported(OSError):
                    self._target.publish()
            if problem is not None:
                with self._target.reported(OSError):
                    raise problem
        finally:
            self._target.discard()

    def _finish(self) -> OSError | None:
        """Writes what completes the file. Where that has no room frames are dropped, and the reason is returned."""
        problem = None
        while self._ends:
            try:
                self._append(self._last(self._ends[-1][0]))
                return problem
            except OSError as error:
                problem = problem or error
                del self._ends[-max(1, len(self._ends) // 8) :]
                if self._ends:
                    _, end = self._ends[-1]
                    self._file.truncate(end)
                    self._file.seek(end)
        return problem

    def _append(self, rows: Iterable[str]) -> None:
        """Writes rows to the end of the file, all of them or none."""
        start = self._file.tell()
        try:
            write_all(self._file, "".join(rows).encode())
        except OSError:
            self._file.truncate(start)
            self._file.seek(start)
            raise

    def _first(self) -> str:
        return csv_header(self._names, timed=self._timed) + "\n"

    def _rows(self, number: int, boxes: Boxes, scores: Scores, seconds: float | None) -> Iterator[str]:
        rows = csv_rows(number, self._names, boxes, scores, timed=self._timed, seconds=seconds)
        yield from (row + "\n" for row in rows)

    def _last(self, after: int) -> Iterator[str]:
        """Text that completes a file whose last frame comes before number `after`."""
        return iter(())


class MotTable(CsvTable):
    """Writer of MOTChallenge's text: `frame,id,left,top,width,height,score,-1,-1,-1`, frames, ids and pixels from 1.

    The targets' names are not in it: their ids are their places. A box that is not finite is left out.
    """

    def _first(self) -> str:
        return ""

    def _rows(self, number: int, boxes: Boxes, scores: Scores, seconds: float | None) -> Iterator[str]:
        for place, (box, score) in enumerate(zip(boxes, scores, strict=True), start=1):
            if np.isfinite(box).all():
                x, y, w, h = box.tolist()
                values = (x + 1, y + 1, w, h, float(score))
                yield ",".join([f"{number + 1},{place}", *(f"{value:.4f}" for value in values), "-1,-1,-1\n"])


class CocoTable(CsvTable):
    """Writer of COCO's JSON for videos: `videos`, `categories`, `tracks`, `annotations` and `images`, an item a line.

    An annotation has its `track_id` and, beside COCO's fields, `score` and `lost`; a box that is not finite has none.
    An image has its frame as `frame_id`, from 0, and as `file_name` the frame's file, or for a video what
    `ffmpeg -i VIDEO -start_number 0 %06d.jpg` calls it. Ids count from 1.
    """

    def __init__(
        self,
        path: str | Path,
        names: Sequence[str] = (THE_TARGET,),
        *,
        video: str,
        size: tuple[int, int],
        files: Sequence[str] = (),
    ):
        """Opens the temporary file.

        Args:
          path: the file.
          names: of the targets.
          video: the name of the video.
          size: height and width of its frames, in pixels.
          files: those of its frames, where they have some.

        Raises:
          InputError: no such folder, or one that cannot be written to.
        """
        super().__init__(path, names)
        self._files = tuple(files)
        self._size = {"height": size[0], "width": size[1]}
        self._video = {"id": 1, "name": video, **self._size}
        self._annotations = 0

    def _first(self) -> str:
        tracks = [
            {"id": place, "video_id": 1, "category_id": 1, "name": name}
            for place, name in enumerate(self._names, start=1)
        ]
        parts = {"videos": [self._video], "categories": [CATEGORY], "tracks": tracks}
        return "{" + ",\n".join(f'"{name}": {_json(items)}' for name, items in parts.items()) + ',\n"annotations": ['

    def _rows(self, number: int, boxes: Boxes, scores: Scores, seconds: float | None) -> Iterator[str]:
        for place, (box, score) in enumerate(zip(boxes, scores, strict=True), start=1):
            if not np.isfinite(box).all():
                continue
            self._annotations += 1
            bbox = [round(value, 4) for value in box.tolist()]
            annotation = {
                **{"id": self._annotations, "image_id": number + 1, "video_id": 1, "category_id": 1, "track_id": place},
                **{"bbox": bbox, "area": round(bbox[2] * bbox[3], 4), "iscrowd": 0},
                **{"score": round(float(score), 4) if np.isfinite(score) else None, "lost": bool(is_lost([score])[0])},
            }
            yield ("," if self._annotations > 1 else "") + "\n" + _json(annotation)

    def _last(self, after: int) -> Iterator[str]:
        yield '],\n"images": ['
        for number in range(after):
            name = self._files[number] if number < len(self._files) else f"{number:06d}.jpg"
            image = {"id": number + 1, "video_id": 1, "frame_id": number, "file_name": name, **self._size}
            yield ("," if number else "") + "\n" + _json(image)
        yield "]}\n"


def open_table(
    path: Path,
    names: Sequence[str],
    *,
    video: str,
    size: tuple[int, int],
    files: Sequence[str] = (),
    timed: bool = False,
) -> CsvTable:
    """Writer of the boxes of one video, by the file's name: `.mot.txt`, `.json`, and else CSV.

    Args:
      path: the file to write.
      names: of the targets.
      video: the name of the video.
      size: height and width of its frames, in pixels.
      files: those of its frames, where they have some.
      timed: whether its frames have times, which CSV alone has a place for.

    Raises:
      InputError: a suffix of another format, no such folder, or one that cannot be written to.
    """
    if path.name.lower().endswith(MOT_SUFFIX):
        return MotTable(path, names)
    if path.suffix.lower() == COCO_SUFFIX:
        return CocoTable(path, names, video=video, size=size, files=files)
    if path.suffix.lower() not in CSV_SUFFIXES:
        raise InputError(f"boxes {path}: expected one of .csv {MOT_SUFFIX} {COCO_SUFFIX}, found {path.suffix!r}")
    return CsvTable(path, names, timed=timed)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
