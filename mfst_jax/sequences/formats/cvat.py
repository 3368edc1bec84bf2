"""CVAT's export "CVAT for video 1.1": `annotations.xml` beside `images/`, each of whose tracks is a sequence."""

from functools import lru_cache
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from mfst_jax.errors import InputError
from mfst_jax.sequences.formats.keyframes import Keyframe, boxes_between
from mfst_jax.sequences.formats.safe_files import read_xml
from mfst_jax.sequences.image_files import by_number, describe
from mfst_jax.sequences.layouts import MOST_NUMBERS, list_images, name_of
from mfst_jax.sequences.places import Place, Request, target_name
from mfst_jax.sequences.sequence import Sequence, sequence_of_track
from mfst_jax.sequences.text import changes

FILE = "annotations.xml"
KIND = "CVAT's XML for videos"
BEGINNING = 4096
"""Number of bytes within which its root element begins."""


def is_cvat(root: Path) -> bool:
    """Whether a folder holds such a file."""
    if not (root / FILE).is_file():
        return False
    with (root / FILE).open("rb") as file:
        return b"<annotations" in file.read(BEGINNING)


def find_cvat(root: Path, request: Request) -> list[Place]:
    """A sequence for each track."""
    path, images = root / FILE, root / "images"
    tracks = _tracks(path)
    if request.images and not images.is_dir():
        raise InputError(
            f"{root}: expected images/ beside {FILE} (export with the images, or save the video's frames there), "
            f"found {describe(root)}"
        )
    alone = len(tracks) == 1
    names = [target_name(name_of(root), track.get("id"), alone=alone) for track in tracks]
    video = "" if alone else name_of(root)
    return [
        Place(name, images, path, "cvat", target=str(number), video=video)
        for number, name in enumerate(names)
        if len(tracks[number])
    ]


def read_cvat(place: Place, images: bool) -> Sequence:
    """Sequence of one track. Between two of its shapes the box moves evenly; it is absent where it is `outside`."""
    path, folder = place.truth, place.folder
    assert path is not None
    assert folder is not None
    track = _tracks(path)[int(place.target)]
    try:
        shapes = sorted((_keyframe(shape) for shape in track), key=lambda shape: shape.frame)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: expected frames and coordinates in track {track.get('id')}, found {error}") from None
    frames: tuple[Path, ...] = ()
    last = shapes[-1].frame
    if not 0 <= shapes[0].frame <= last < MOST_NUMBERS:
        raise InputError(
            f"{path}: expected frames from 0 in track {track.get('id')}, found {shapes[0].frame} to {last}"
        )
    numbers = [*range(last + 1)]
    if images:
        frames = list_images(folder)
        numbered = by_number(frames)
        exact = len(numbered) == len(frames) and all(shape.frame in numbered for shape in shapes)
        numbers = sorted(numbered) if exact else [*range(len(frames))]
        if last > numbers[-1]:
            raise InputError(f"{path}: expected shapes in {len(frames)} frames, one an image, found frame {last}")
    return sequence_of_track(place.name, frames, boxes_between(shapes, numbers, held=False))


def _tracks(path: Path) -> list[Element]:
    return _read_tracks(path, changes(path))


@lru_cache(maxsize=2)
def _read_tracks(path: Path, version: int) -> list[Element]:
    root = read_xml(path, KIND)
    if root.tag != "annotations":
        raise InputError(f"{path}: expected {KIND}, found the element {root.tag}")
    tracks = root.findall("track")
    if not tracks:
        found = "images (export as CVAT for video)" if root.find("image") is not None else "none"
        raise InputError(f"{path}: expected tracks, found {found}")
    return tracks


def _keyframe(shape: Element) -> Keyframe:
    """Shape of one frame: a box, or the bounds of a polygon, of points or of a mask."""
    frame, outside = int(shape.attrib["frame"]), shape.get("outside") == "1"
    if shape.tag == "box":
        left, top, right, bottom = (float(shape.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
    elif shape.tag == "mask":
        left, top, width, height = (float(shape.attrib[name]) for name in ("left", "top", "width", "height"))
        right, bottom = left + width, top + height
    elif "points" in shape.attrib:
        points = np.array([point.split(",") for point in shape.attrib["points"].split(";")], np.float64)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    else:
        raise ValueError(f"the element {shape.tag}")
    box = np.array([left, top, right - left, bottom - top])
    if not np.isfinite(box).all():
        raise ValueError(f"a box that is not finite in frame {frame}")
    return Keyframe(frame, box, ends=outside, seen=not outside)
