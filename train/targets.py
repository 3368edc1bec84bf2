"""Annotated videos on disk: where their images and boxes are, in the layouts of OTB, GOT-10k and ILSVRC2015-VID.

A job is one video's folder, cheap to find and to send to another process; reading it gives one target or, in VID,
one for each track.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from mfst_jax.errors import InputError
from mfst_jax.video import IMAGE_SUFFIXES, TRUTH_FILES, natural_key, read_ground_truth

VID_ANNOTATIONS, VID_IMAGES = Path("Annotations", "VID", "train"), Path("Data", "VID", "train")
"""Below the root of ILSVRC2015-VID, as its archive unpacks."""


class Job(NamedTuple):
    """One video."""

    layout: Literal["beside", "vid"]
    images: Path
    annotations: Path


class Target(NamedTuple):
    """One target in one video."""

    name: str
    images: list[Path]
    truth: Float[np.ndarray, "boxes 4"]
    """(x, y, w, h) in 0-indexed pixels, NaN where it is absent. Images behind its end are not annotated."""


def find(root: Path) -> list[Job]:
    """The videos below `root`, or below its folder `train` as in GOT-10k, in natural order.

    Raises:
      InputError: there are none.
    """
    if (root / VID_ANNOTATIONS).is_dir():
        folders = {path.parent for path in (root / VID_ANNOTATIONS).rglob("*.xml")}
        relative = sorted((path.relative_to(root / VID_ANNOTATIONS) for path in folders), key=natural_key)
        if not relative:
            raise InputError(f"{root / VID_ANNOTATIONS}: expected folders of .xml files, found none")
        return [Job("vid", root / VID_IMAGES / each, root / VID_ANNOTATIONS / each) for each in relative]
    for place in (root, root / "train"):
        try:
            folders = [path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")]
        except OSError as error:
            if place == root:
                raise InputError(f"{root}: expected a folder of sequences, found {error.strerror}") from None
            continue
        found = [path for path in folders if any((path / name).is_file() for name in TRUTH_FILES)]
        if found:
            return [Job("beside", path, path) for path in sorted(found, key=natural_key)]
    count = sum(path.is_dir() for path in root.iterdir())
    names = " or ".join(TRUTH_FILES)
    raise InputError(
        f"{root}: expected folders that hold images and {names}, or {VID_ANNOTATIONS}, found none of {count}"
    )


def read(job: Job) -> list[Target]:
    """The targets of a video. Raises `InputError` if its annotation cannot be read or does not fit its images."""
    return _read_tracks(job) if job.layout == "vid" else [_read_sequence(job.images)]


def _read_sequence(folder: Path) -> Target:
    truth_path = next(folder / name for name in TRUTH_FILES if (folder / name).is_file())
    truth = read_ground_truth(truth_path, origin=TRUTH_FILES[truth_path.name])
    inner = folder / "img"
    images = _images(inner if inner.is_dir() else folder)
    if not images or len(truth) > len(images):
        raise InputError(f"{truth_path}: expected at most a line for each of {len(images)} images, found {len(truth)}")
    labels = folder / "absence.label"
    if labels.is_file():
        truth[_absences(labels, len(truth))] = np.nan
    return Target(folder.name, images, truth)


def _read_tracks(job: Job) -> list[Target]:
    """VID: an .xml file a frame, with an object for each track in sight; a box is (xmax - xmin) wide."""
    images = _images(job.images) if job.images.is_dir() else []
    by_stem = {path.stem: number for number, path in enumerate(images)}
    tracks: dict[str, np.ndarray] = {}
    for path in sorted(job.annotations.glob("*.xml")):
        if path.stem not in by_stem:
            raise InputError(f"{path}: expected an image {job.images / path.stem}.JPEG, found none")
        try:
            objects = ElementTree.parse(path).findall("object")
            for each in objects:
                box = each.find("bndbox")
                if box is None:
                    raise ValueError("an object without bndbox")
                left, top, right, bottom = (float(box.findtext(key, "")) for key in ("xmin", "ymin", "xmax", "ymax"))
                rows = tracks.setdefault(each.findtext("trackid", "0"), np.full((len(images), 4), np.nan))
                rows[by_stem[path.stem]] = left, top, right - left, bottom - top
        except (ElementTree.ParseError, ValueError) as error:
            raise InputError(f"{path}: expected objects with xmin, ymin, xmax, ymax, found {error}") from None
    return [Target(f"{job.images.name}-track{track}", images, rows) for track, rows in sorted(tracks.items())]


def _images(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES), key=natural_key)


def _absences(path: Path, rows: int) -> np.ndarray:
    labels = path.read_text().split()
    if len(labels) != rows or not set(labels) <= {"0", "1"}:
        raise InputError(f"{path}: expected {rows} lines of 0 or 1, one a box, found {len(labels)} lines")
    return np.array(labels) == "1"
