"""Tables of boxes, written while the video is tracked: CSV, MOTChallenge's text or COCO's JSON, by the file's name.

Boxes are (x, y, w, h) in 0-indexed pixels. Each frame reaches the (still hidden) file at once, so even a killed process
leaves its rows behind; leaving the `with` block gives the file its name, by an exception too. Without any frame no file
is made, and one that is there stays.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import Num

from mfst_jax.media.drawing import Box
from mfst_jax.media.writers import AtomicFile
from mfst_jax.targets import THE_TARGET
from mfst_jax.tracks.lost_frames import is_lost

BOX_HEADER = "frame,x,y,w,h,score,lost"
TARGET_HEADER = f"{BOX_HEADER},target"
MOT_SUFFIX, COCO_SUFFIX = ".mot.txt", ".json"
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


def csv_header(names: Sequence[str]) -> str:
    """Header of a table in CSV, with a column of targets unless a single target has no name."""
    return BOX_HEADER if [*names] == [THE_TARGET] else TARGET_HEADER


def csv_rows(number: int, names: Sequence[str], boxes: Boxes, scores: Scores) -> list[str]:
    """Lines of frame `number` under `csv_header`, one for each target."""
    if [*names] == [THE_TARGET]:
        return [box_row(number, boxes[0], scores[0])]
    return [box_row(number, *row) for row in zip(boxes, scores, names, strict=True)]


class CsvTable:
    """Writer of CSV with the header `frame,x,y,w,h,score,lost`, and `target` where targets have names.

    Each target and frame has a line; frames count from 0.
    """

    def __init__(self, path: str | Path, names: Sequence[str] = (THE_TARGET,)):
        """Opens the temporary file.

        Args:
          path: the file.
          names: of the targets.

        Raises:
          InputError: no such folder, or one that cannot be written to.
        """
        self._target = AtomicFile("boxes", path)
        self._names = tuple(names)

    def __enter__(self) -> "CsvTable":
        try:
            with self._target.reported(OSError):
                self._file = self._target.temporary.open("w", encoding="utf-8", newline="")
        except BaseException:
            self._target.discard()
            raise
        self._file.write(self._first())
        self._empty = True
        return self

    def write(self, number: int, boxes: Boxes, scores: Scores) -> None:
        """Appends frame `number`: each target's box and score, in the order of their names."""
        with self._target.reported(OSError):
            self._file.writelines(self._rows(number, np.asarray(boxes, np.float64), np.asarray(scores, np.float64)))
            self._file.flush()
        self._empty = False

    def __exit__(self, *_: object) -> None:
        try:
            try:
                with self._target.reported(OSError), self._file:
                    if not self._empty:
                        self._file.writelines(self._last())
            finally:  # the rows that reached the file count, whatever became of its end
                if not self._empty:
                    with self._target.reported(OSError):
                        self._target.publish()
        finally:
            self._target.discard()

    def _first(self) -> str:
        return csv_header(self._names) + "\n"

    def _rows(self, number: int, boxes: Boxes, scores: Scores) -> Iterator[str]:
        yield from (row + "\n" for row in csv_rows(number, self._names, boxes, scores))

    def _last(self) -> Iterator[str]:
        """Text that completes the file."""
        return iter(())


class MotTable(CsvTable):
    """Writer of MOTChallenge's text: `frame,id,left,top,width,height,score,-1,-1,-1`, frames, ids and pixels from 1.

    The targets' names are not in it: their ids are their places. A box that is not finite is left out.
    """

    def _first(self) -> str:
        return ""

    def _rows(self, number: int, boxes: Boxes, scores: Scores) -> Iterator[str]:
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
        self._images = self._annotations = 0

    def _first(self) -> str:
        tracks = [
            {"id": place, "video_id": 1, "category_id": 1, "name": name}
            for place, name in enumerate(self._names, start=1)
        ]
        parts = {"videos": [self._video], "categories": [CATEGORY], "tracks": tracks}
        return "{" + ",\n".join(f'"{name}": {_json(items)}' for name, items in parts.items()) + ',\n"annotations": ['

    def _rows(self, number: int, boxes: Boxes, scores: Scores) -> Iterator[str]:
        self._images = number + 1
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

    def _last(self) -> Iterator[str]:
        yield '],\n"images": ['
        for number in range(self._images):
            name = self._files[number] if number < len(self._files) else f"{number:06d}.jpg"
            image = {"id": number + 1, "video_id": 1, "frame_id": number, "file_name": name, **self._size}
            yield ("," if number else "") + "\n" + _json(image)
        yield "]}\n"


def open_table(
    path: Path, names: Sequence[str], *, video: str, size: tuple[int, int], files: Sequence[str] = ()
) -> CsvTable:
    """Writer of the boxes of one video, by the file's name: `.mot.txt`, `.json`, and for any other name CSV.

    Args:
      path: the file to write.
      names: of the targets.
      video: the name of the video.
      size: height and width of its frames, in pixels.
      files: those of its frames, where they have some.

    Raises:
      InputError: no such folder, or one that cannot be written to.
    """
    if path.name.lower().endswith(MOT_SUFFIX):
        return MotTable(path, names)
    if path.suffix.lower() == COCO_SUFFIX:
        return CocoTable(path, names, video=video, size=size, files=files)
    return CsvTable(path, names)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
