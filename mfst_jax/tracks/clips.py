"""Clips of tracked targets to train on: a random-access source as grain takes it, from tables of boxes.

Neither grain nor TensorFlow is needed for it, and nothing here touches a device of JAX.
"""

import hashlib
import operator
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, SupportsIndex, TypedDict

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from mfst_jax.errors import InputError
from mfst_jax.fields import require
from mfst_jax.media.source import Source
from mfst_jax.media.streams import is_address
from mfst_jax.tracks.files import Record, Track, read_record, read_table, record_path
from mfst_jax.tracks.recorded_source import locate_source, open_recorded


class Clip(TypedDict):
    """Clip of one target: frames of its source in order, evenly apart, with what a table says of them.

    Attributes:
      frames: RGB frames, 0 to 255.
      boxes: Box (x, y, w, h) of each frame in 0-indexed pixels; NaN where the table has none.
      scores: Score of each frame; NaN where the table has none.
      lost: Whether the target is lost in each frame.
      frame_numbers: Number of each frame in its source, from 0.
      target: Name of the target.
      source: Absolute path of the source, as `mfst_jax.media.open_source` takes it.
    """

    frames: UInt8[np.ndarray, "length height width 3"]
    boxes: Float32[np.ndarray, "length 4"]
    scores: Float32[np.ndarray, " length"]
    lost: Bool[np.ndarray, " length"]
    frame_numbers: Int64[np.ndarray, " length"]
    target: str
    source: str


class Clips:
    """Random-access source of clips: `len(clips)` of them, of which `clips[i]` reads the frames of one, a `Clip`.

    It is what `grain.DataLoader` and `grain.MapDataset.source` take. The order is that of the tables, in them that of
    the targets, then that of the frames; shuffling, sharding and batching are grain's. A clip is a pure function of its
    number. Pickled to another process it is the same, and opens the sources there anew. Threads may share it.

    Frames are sought: image files are read one by one, videos from the keyframe before the clip's first frame. What
    was found out about a source, such as a video's index, is kept for the next clip of it. Sources may have frames of
    different sizes; to batch clips of several, make their frames of one size first.

    `repr(clips)` holds a checksum of all but the pictures and their paths, by which grain tells whether a checkpoint of
    its iterator fits.
    """

    def __init__(
        self,
        tables: str | Path | Sequence[str | Path],
        *,
        length: int = 16,
        stride: int = 1,
        every: int | None = None,
        with_lost: bool = False,
        least_score: float | int | None = None,
        sources: Sequence[str | Path | None] | None = None,
        check: bool = True,
        keep: int = 128,
    ):
        """Finds the clips of tables.

        Args:
          tables: one or more tables in CSV, MOTChallenge's text or COCO's JSON, as `mfst track --boxes` writes them.
          length: number of frames of a clip.
          stride: number of frames from one frame of a clip to its next; 1 takes all.
          every: number of frames from the beginning of a clip to that of the next one, at least; by default
            `length * stride`, so that no frame is in two clips of a target.
          with_lost: whether there are also clips with frames in which the target is lost or has no box.
          least_score: least score in every frame of a clip.
          sources: for each table where its frames are: a video, or a folder or glob of images; None for where the
            record beside the table says, as by default for all.
          check: whether each source is opened now, and its first frame and the table's last one read, so that what is
            missing shows before training begins. Without, it shows when a clip is read.
          keep: number of sources about which each process keeps what it found out.

        Raises:
          InputError: a table that cannot be read, has no record and no place in `sources`, or is a record itself; a
            source that is missing, live, of another frame size than the record says, or has fewer frames than the
            table; no clip at all; an option that is out of range.
        """
        every = length * stride if every is None else every
        for name, value in {"length": length, "stride": stride, "every": every, "keep": keep}.items():
            require(isinstance(value, int) and value >= 1, name, "a whole number from 1 on", value)
        paths = [tables] if isinstance(tables, str | Path) else [*tables]
        require(len(paths) > 0, "tables", "at least one", paths)
        places = [None] * len(paths) if sources is None else [*sources]
        require(len(places) == len(paths), "sources", f"one for each of {len(paths)} tables", len(places))
        self._tables = [_Table.read(Path(path), place) for path, place in zip(paths, places, strict=True)]
        if check:
            for table in self._tables:
                table.check()
        self._length, self._stride = length, stride
        self._opened = _OpenSources(self._tables, keep)
        self._clips = np.array(
            [
                (number, target, start)
                for number, table in enumerate(self._tables)
                for target, track in enumerate(table.targets)
                for start in _starts(_usable(track, with_lost, least_score), length, stride, every)
            ],
            np.int64,
        ).reshape(-1, 3)
        if not len(self._clips):
            least = "" if least_score is None else f" and scored {least_score:g} or more"
            wanted = "" if with_lost else f" in all of which a target is followed{least}"
            span = f"{length} frames" + (f", {stride} apart," if stride > 1 else "") + wanted
            longest = max(len(table.targets[0].boxes) for table in self._tables)
            raise InputError(f"tables: expected {span}, found none in {len(paths)}, the longest of {longest} frames")

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: SupportsIndex) -> Clip:
        labels, (number, _, _) = self.labels(index), self._clips[operator.index(index)]
        table, numbers = self._tables[number], labels["frame_numbers"]
        try:
            frames = self._opened.read(int(number), range(numbers[0], numbers[-1] + 1, self._stride))
        except InputError as error:
            raise InputError(f"boxes {table.path}, frames {numbers[0]} to {numbers[-1]}: {error}") from None
        return Clip(frames=frames, **labels)

    def __repr__(self) -> str:
        digest = hashlib.sha256(f"{self._length} {self._stride}".encode() + self._clips.tobytes())
        for table in self._tables:
            for track in table.targets:
                for part in (track.boxes, track.scores, track.lost):
                    digest.update(part.tobytes())
                digest.update(f"{track.name} {track.first}".encode())
        shape = f"length={self._length}, stride={self._stride}, tables={len(self._tables)}, clips={len(self)}"
        return f"Clips({shape}, sha256={digest.hexdigest()[:16]})"

    def labels(self, index: SupportsIndex) -> dict[str, Any]:
        """All of a clip but its frames, of which none is read.

        Args:
          index: the number of the clip.

        Raises:
          IndexError: there is no such clip.
        """
        table_number, target, start = self._clips[operator.index(index)]
        table = self._tables[table_number]
        track = table.targets[target]
        rows = start + np.arange(self._length) * self._stride
        return {
            "boxes": track.boxes[rows],
            "scores": track.scores[rows],
            "lost": track.lost[rows],
            "frame_numbers": track.first + rows,
            "target": track.name,
            "source": table.source,
        }


@dataclass(frozen=True)
class _Table:
    """A table, read.

    Attributes:
      path: Its absolute path.
      record: Its record.
      source: Absolute path of its source.
      given: Whether the caller said where the source is.
      targets: Its targets, all of the same frames.
    """

    path: Path
    record: Record | None
    source: str
    given: bool
    targets: list[Track]

    @classmethod
    def read(cls, path: Path, source: str | Path | None) -> "_Table":
        """Reads the table at `path`. Raises `InputError` where it cannot be, or has no source."""
        if path == record_path(path.with_suffix("")) and path.with_suffix("").is_file():
            raise InputError(f"boxes {path}: expected a table, found the record of {path.with_suffix('').name}")
        path = path.absolute()
        targets, record = read_table(path), read_record(path)
        if source is None:
            return cls(path, record, locate_source(path, record, option="sources"), False, targets)
        if is_address(str(source)):
            raise InputError(f"sources: expected a video or images on disk, found the address {source}")
        return cls(path, record, str(Path(source).absolute()), True, targets)

    def open(self) -> Source:
        """Opens its source. Raises `InputError` where it is not as the table has it."""
        source = open_recorded(self.path, self.record, self.source if self.given else None, option="sources")
        if source.live:
            raise InputError(f"sources: expected a video or images on disk, found {source.name}, which is live")
        return source

    def check(self) -> None:
        """Raises `InputError` where its source is not as the table has it, or lacks its last frame."""
        source, boxes = self.open(), self.targets[0].boxes
        last = self.targets[0].first + len(boxes) - 1
        try:
            _read(source, range(last, last + 1))
        except InputError as error:
            raise InputError(f"boxes {self.path}: expected frames up to {last} in its source; {error}") from None


@dataclass
class _Opened:
    """A source that is open, or about to be."""

    lock: AbstractContextManager[bool] = field(default_factory=Lock)
    source: Source | None = None


class _OpenSources:
    """Sources of tables, opened when they are first read, in each process anew; the last `keep` of them stay."""

    def __init__(self, tables: list[_Table], keep: int):
        self._tables, self._keep = tables, keep
        self._lock, self._opened = Lock(), OrderedDict[int, _Opened]()

    def __reduce__(self) -> tuple[Any, ...]:
        return _OpenSources, (self._tables, self._keep)

    def read(self, number: int, numbers: range) -> UInt8[np.ndarray, "length height width 3"]:
        """Frames of these numbers, of the source of a table. Raises `InputError` where one cannot be read."""
        with self._lock:
            opened = self._opened.setdefault(number, _Opened())
            self._opened.move_to_end(number)
            while len(self._opened) > self._keep:
                self._opened.popitem(last=False)
        with opened.lock:
            if opened.source is None:
                # Other threads wait for the first frames too: with them comes the index of a video, which they share.
                source = self._tables[number].open()
                frames = _read(source, numbers)
                opened.source = source
                return frames
        return _read(opened.source, numbers)


def _read(source: Source, numbers: range) -> UInt8[np.ndarray, "length height width 3"]:
    """Frames of these numbers. Raises `InputError` where one cannot be read, or is not there."""
    frames, read = np.empty((len(numbers), *source.size, 3), np.uint8), 0
    span = numbers[-1] - numbers[0] + 1
    parts = [(number, 1) for number in numbers] if source.files else [(numbers[0], span)]
    for first, count in parts:
        with closing(source.starting_at(first).frames()) as found:
            for frame in islice(found, 0, count, numbers.step):
                frames[read] = frame
                read += 1
    if read < len(numbers):
        raise InputError(f"source {source.name}: expected a frame {numbers[read]}, found fewer frames")
    return frames


def _usable(track: Track, with_lost: bool, least_score: float | int | None) -> Bool[np.ndarray, " frames"]:
    """Whether each frame of a track may be in a clip."""
    usable = np.ones(len(track.boxes), bool)
    if not with_lost:
        usable &= ~track.lost & np.isfinite(track.boxes).all(axis=1)
    return usable if least_score is None else usable & (track.scores >= least_score)


def _starts(usable: Bool[np.ndarray, " frames"], length: int, stride: int, every: int) -> Iterator[int]:
    """Rows with which clips begin: each time the first one that makes a whole clip, at least `every` after the last."""
    candidates = len(usable) - (length - 1) * stride
    if candidates < 1:
        return
    whole = np.ones(candidates, bool)
    for step in range(length):
        whole &= usable[step * stride :][:candidates]
    possible, place = np.flatnonzero(whole), 0
    while place < len(possible):
        yield int(possible[place])
        place = int(np.searchsorted(possible, possible[place] + every))
