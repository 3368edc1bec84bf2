"""Jobs: each source of a command line or a table, with the targets to follow in it and the name of its result."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfst_jax.errors import InputError, reason
from mfst_jax.many.box_table import SourceStart, key_of, read_box_table
from mfst_jax.media.image_sources import open_place
from mfst_jax.media.source import Source
from mfst_jax.media.sources import GLOB, matching, open_source
from mfst_jax.media.streams import is_address
from mfst_jax.program.box_arguments import lacks_start
from mfst_jax.sequences import Place, find_dataset, places_in
from mfst_jax.sequences.dataset_layouts import places_above
from mfst_jax.sequences.image_files import is_image, natural_key
from mfst_jax.sequences.layouts import describe_other, folders_in, name_of
from mfst_jax.sequences.places import target_name
from mfst_jax.targets import Target, unnamed_target

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts"),
    *(".webm", ".wmv"),
)
"""Suffixes by which videos are found in a folder. By name, or by a glob, any file is tried."""
LONGEST_NAME = 200
"""Bytes that a name may have: of 255, as file systems have it, some are for suffixes."""
LISTED = 3


@dataclass(frozen=True)
class Job:
    """One source to track: small enough to send to another process, which then opens it.

    Attributes:
      name: Name of its result, without a suffix.
      source: Path of the source, as `open_source` takes it.
      targets: What to follow; none for the source's own first true box.
      first: Number of the frame that their boxes are in.
      place: Where the source's sequence is on disk, if it is one that was found in a folder.
    """

    name: str
    source: str
    targets: tuple[Target, ...] = ()
    first: int = 0
    place: Place | None = None

    def open(self) -> tuple[Source, tuple[Target, ...]]:
        """Source from the first frame to track on, and the targets in it.

        Raises:
          InputError: it cannot be opened, or it has no true box in its first frame and no targets are given.
        """
        source = open_source(self.source) if self.place is None else open_place(self.place)
        if self.targets:
            return source.starting_at(self.first), self.targets
        if (why := lacks_start(source)) is not None:
            raise InputError(f"source {self.source}: expected a box to start from in --boxes, as {why}, found none")
        assert source.ground_truth is not None
        return source, (unnamed_target(source.ground_truth[0]),)


@dataclass(frozen=True)
class _Found:
    """Source that an argument stands for, and whether it has true boxes, as far as that is seen from outside."""

    source: str
    place: Place | None = None
    annotated: bool = False


def find_jobs(sources: Sequence[str], boxes: Path | None = None) -> tuple[list[Job], list[str]]:
    """Jobs of a command line, in natural order within each argument, and notes about it, a line each.

    Args:
      sources: each a video, a folder or glob of videos, a folder or glob of images, a sequence, a folder of sequences,
        or `FOLDER#NAME`; none for all that are in the table.
      boxes: the table of boxes to begin with, as `read_box_table` reads it; what it does not name begins with its own
        first true box.

    Raises:
      InputError: no source, or none there; a webcam or an address, which has no end or may change; a source without a
        box; names that two sources share, or that no file can have; a table that cannot be read.
    """
    starts: dict[str, SourceStart] = {} if boxes is None else read_box_table(boxes)
    if not sources and boxes is None:
        raise InputError("SOURCES: expected at least one, or --boxes with a table that names them, found none")
    given = sources or [start.source for start in starts.values()]
    found: dict[str, _Found] = {}
    for text in given:
        for each in _expand(text) if sources else _one(text):
            found.setdefault(key_of(each.source), each)
    jobs = [_job(each, starts.get(key)) for key, each in found.items()]
    lacking = [each.source for key, each in found.items() if key not in starts and not each.annotated]
    if lacking:
        where = "--boxes: expected a table with" if boxes is None else f"boxes {boxes}: expected"
        raise InputError(
            f"{where} a box for each video and folder of images without true boxes, found none for {len(lacking)} of "
            f"{len(jobs)}: {_listed(lacking)}{_hint(lacking)}"
        )
    _check_names(jobs)
    others = [start.source for key, start in starts.items() if key not in found]
    return jobs, [f"boxes {boxes}: sources in it that are not among SOURCES: {_listed(others)}"] if others else []


def _job(found: _Found, start: SourceStart | None) -> Job:
    name = _name(found) if start is None or not start.name else start.name
    if start is None:
        return Job(name, found.source, place=found.place)
    return Job(name, found.source, start.targets, start.first, found.place)


def _name(found: _Found) -> str:
    """Name of the result of a source: its own, without folder and suffix."""
    path = Path(found.source)
    if found.place is not None:
        name = found.place.name
    elif path.is_dir():
        name = name_of(path)
    elif path.exists():
        name = path.stem
    else:
        folder, mark, named = found.source.rpartition("#")
        name = named if mark and Path(folder).is_dir() else name_of(path.parent)
    return target_name(name, "", alone=True)


def _check_names(jobs: Sequence[Job]) -> None:
    """Raises `InputError` unless each name is that of a file, and of no other job."""
    by_name: dict[str, Job] = {}
    for job in jobs:
        if job.name != target_name(job.name, "", alone=True) or len(os.fsencode(job.name)) > LONGEST_NAME:
            raise InputError(
                f"source {job.source}: expected a name for its table that a file can have, of at most {LONGEST_NAME} "
                f"bytes, found {job.name!r}; a column `name` in --boxes gives another"
            )
        if (other := by_name.setdefault(job.name, job)) is not job:
            raise InputError(
                f"SOURCES: expected sources of different names, as each has a table {job.name}.csv, found "
                f"{other.source} and {job.source}; a column `name` in --boxes gives them others"
            )


def _one(text: str) -> Iterator[_Found]:
    """Source that a table names, as `mfst track` takes it."""
    path, (folder, mark, _) = Path(text), text.rpartition("#")
    try:
        there = path.exists() or (mark and Path(folder).is_dir()) or (GLOB.search(text) and matching(path))
    except (OSError, ValueError):
        there = False
    if not there:
        raise InputError(f"source {text}: expected a video, images or a sequence, found no such file")
    yield _Found(text)


def _expand(text: str) -> Iterator[_Found]:
    """Sources that an argument stands for."""
    path, (folder, mark, _) = Path(text), text.rpartition("#")
    try:
        if path.is_dir():
            yield from _in_folder(text)
        elif path.is_file():
            yield _Found(text)
        elif is_address(text) or re.fullmatch("(/dev/video)?[0-9]+", text):
            what = "an address" if is_address(text) else "a webcam"
            raise InputError(f"source {text!r:.200}: expected files, found {what}, which mfst track follows")
        elif mark and folder and Path(folder).is_dir():
            yield _Found(text, annotated=True)
        elif GLOB.search(text) and (entries := _sorted(matching(path))):
            if all(map(is_image, entries)):
                yield _Found(text)
                return
            for entry in entries:
                yield from _in_folder(str(entry)) if entry.is_dir() else [_Found(str(entry))]
        else:
            raise InputError(
                f"source {text!r:.200}: expected a video, images, a sequence, or a folder or glob of them, found no "
                "such file"
            )
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"source {text!r:.200}: expected a path that can be read, found {reason(error)}") from None


def _in_folder(text: str) -> Iterator[_Found]:
    """Sources in a folder: those of the data set that it is, or its videos and the sequences in it; or it is one."""
    folder = Path(text)
    own = list(_of_sequence(text))
    if own:
        yield from own
        return
    videos = [_Found(str(path)) for path in _videos_in(folder)]
    inner = [each for path in folders_in(folder) for each in _of_sequence(str(path))]
    if not videos and not inner:
        raise InputError(
            f"source {folder}: expected videos ({' '.join(VIDEO_SUFFIXES)}), images or sequences, found "
            f"{describe_other(folder, 1)}"
        )
    yield from videos
    yield from inner


def _videos_in(folder: Path) -> list[Path]:
    """Videos in a folder by their suffixes, in natural order."""
    entries = _sorted(folder.iterdir())
    return [path for path in entries if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]


def _hint(lacking: Sequence[str]) -> str:
    """What helps where one of the sources without a box is a folder of images that holds videos too."""
    for source in lacking:
        if Path(source).is_dir() and (videos := _videos_in(Path(source))):
            return f"; videos beside the images in {source} are found by {Path(source) / '*'}{videos[0].suffix}"
    return ""


def _of_sequence(text: str) -> Iterator[_Found]:
    """Targets of a data set or of a sequence, by its folder, or the images in it; none where there are none."""
    folder = Path(text)
    places = find_dataset(folder)
    if places is None:
        has_images = any(map(is_image, folder.iterdir()))
        places = places_in(folder) or (places_above(folder) if has_images else [])
        if len(places) == 1:
            yield _Found(text, places[0], annotated=True)
            return
        if not places and has_images:
            yield _Found(text)
    for place in places:
        yield _Found(f"{text}#{place.name}", place, annotated=True)


def _sorted(paths: Iterator[Path] | list[Path]) -> list[Path]:
    """Paths in natural order, without hidden ones."""
    return sorted((path for path in paths if not path.name.startswith(".")), key=natural_key)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
