"""Annotated videos on disk: sequences as `mfst_jax.sequences` reads them, in any of its layouts, and ILSVRC2015-VID.

A job is one video, cheap to find and to send to another process; reading it gives one target or, in VID, one for each
track.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mfst_jax.errors import InputError
from mfst_jax.sequences import Place, Request, find_dataset, places_in, read_sequence
from mfst_jax.sequences.dataset_layouts import describe_root
from mfst_jax.sequences.formats.safe_files import read_xml
from mfst_jax.sequences.image_files import is_image, natural_key
from mfst_jax.sequences.layouts import KNOWN, name_of, sequence_folders
from mfst_jax.sequences.places import target_name

VID_ANNOTATIONS, VID_IMAGES = Path("Annotations", "VID", "train"), Path("Data", "VID", "train")
"""Folders below the root of ILSVRC2015-VID, as its archive unpacks."""


@dataclass(frozen=True)
class VidVideo:
    """Video of ILSVRC2015-VID.

    Attributes:
      images: Folder of its images.
      annotations: Folder of its annotations.
    """

    images: Path
    annotations: Path


Job = Place | VidVideo


class AnnotatedTarget(NamedTuple):
    """Target in one video.

    Attributes:
      name: Name of the target.
      images: Images in order.
      truth: (x, y, w, h) in 0-indexed pixels, NaN where it is absent. Images after its end are not annotated.
      problems: What is odd about its annotation, a line each.
    """

    name: str
    images: list[Path]
    truth: Float[np.ndarray, "boxes 4"]
    problems: tuple[str, ...] = ()


def find(root: Path) -> list[Job]:
    """Videos below `root`, in natural order; where it has several splits, those to train on.

    Raises:
      InputError: there are none.
    """
    if (root / VID_ANNOTATIONS).is_dir():
        folders = {path.parent for path in (root / VID_ANNOTATIONS).rglob("*.xml")}
        relative = sorted((path.relative_to(root / VID_ANNOTATIONS) for path in folders), key=natural_key)
        if not relative:
            raise InputError(f"{root / VID_ANNOTATIONS}: expected folders of .xml files, found none")
        return [VidVideo(root / VID_IMAGES / each, root / VID_ANNOTATIONS / each) for each in relative]
    if (places := find_dataset(root, Request("train"))) is not None:
        return [*_number_tracks(places)]
    places = []
    for folder in sequence_folders(root, "train"):
        found = places_in(folder)
        if len(found) > 1:  # parts of one video, named as VID's tracks are
            found = [replace(place, name=f"{name_of(folder)}-track{k}") for k, place in enumerate(found, start=1)]
        places += found
    if not places:
        expected = f"folders with {KNOWN}, or {VID_ANNOTATIONS} (ILSVRC2015-VID)"
        raise InputError(f"{root}: expected {expected}, found {describe_root(root)}")
    return [*places]


def _number_tracks(places: list[Place]) -> Iterator[Place]:
    """Places of which the targets of one video are named as VID's tracks are, so that they are held out together."""
    counts: dict[str, int] = {}
    for place in places:
        if not place.video:
            yield place
            continue
        counts[place.video] = counts.get(place.video, 0) + 1
        yield replace(place, name=target_name(place.video, f"track{counts[place.video]}", alone=False))


def read(job: Job) -> list[AnnotatedTarget]:
    """Targets of a video. Raises `InputError` if its annotation cannot be read or does not fit its images."""
    if isinstance(job, VidVideo):
        return _read_tracks(job)
    found = read_sequence(job)
    truth = found.ground_truth[: found.annotated].astype(np.float32)
    return [AnnotatedTarget(found.name, [*found.frames], truth, found.problems)]


def _read_tracks(job: VidVideo) -> list[AnnotatedTarget]:
    """Targets of a video of VID: an .xml file for each frame, with an object for each track in sight.

    A box is (xmax - xmin) wide.
    """
    images = sorted(filter(is_image, job.images.iterdir()), key=natural_key) if job.images.is_dir() else []
    by_stem = {path.stem: number for number, path in enumerate(images)}
    tracks: dict[str, np.ndarray] = {}
    for path in sorted(job.annotations.glob("*.xml")):
        if path.stem not in by_stem:
            raise InputError(f"{path}: expected an image {job.images / path.stem}.JPEG, found none")
        try:
            objects = read_xml(path, "objects with xmin, ymin, xmax, ymax").findall("object")
            for each in objects:
                box = each.find("bndbox")
                if box is None:
                    raise ValueError("an object without bndbox")
                left, top, right, bottom = (float(box.findtext(key, "")) for key in ("xmin", "ymin", "xmax", "ymax"))
                rows = tracks.setdefault(each.findtext("trackid", "0"), np.full((len(images), 4), np.nan))
                rows[by_stem[path.stem]] = left, top, right - left, bottom - top
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"{path}: expected objects with xmin, ymin, xmax, ymax, found {error}") from None
    return [AnnotatedTarget(f"{job.images.name}-track{track}", images, rows) for track, rows in sorted(tracks.items())]
