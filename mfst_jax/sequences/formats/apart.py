"""Data sets whose true boxes lie apart from the images: UAV123 and UAV20L, TrackingNet, and NFS.

UAV123 has `anno/UAV123/NAME.txt` and `data_seq/UAV123/VIDEO/`; some videos hold several sequences, whose frames
`configSeqs.m` says. TrackingNet has `anno/NAME.txt` and `frames/NAME/` in each of TRAIN_0 to TRAIN_11 and TEST. NFS has
`NAME/30/NAME.txt` and `NAME/30/NAME/`, and the same in `NAME/240/`.
"""

import re
from functools import cache
from pathlib import Path

import numpy as np

from mfst_jax.errors import InputError
from mfst_jax.sequences.annotations import read_boxes
from mfst_jax.sequences.image_files import choose_images, describe, natural_key
from mfst_jax.sequences.layouts import MOST_NUMBERS, annotated_numbers, folders_in, list_images
from mfst_jax.sequences.places import Place, Request
from mfst_jax.sequences.sequence import Sequence, sequence_of_boxes
from mfst_jax.sequences.text import line_error, read_text

UAV_PARTS = {"uav123": "UAV123", "uav20l": "UAV20L"}
"""Folders of the annotations of each protocol, in `anno/`."""
UAV_10FPS = "UAV123_10fps"
NFS_RATES = {"nfs30": "30", "nfs240": "240"}
NFS_FIELDS = 9
"""Numbers of a line of NFS before the label: track, left, top, right, bottom, frame, lost, occluded, generated."""
NFS_RATIO = 8
"""Number of frames at 240 fps for each at 30 fps."""
TABLE = Path(__file__).parents[1] / "uav123.tsv"


def _text_files(folder: Path, pattern: str = "*.txt") -> list[Path]:
    """Text files in natural order, without hidden ones, such as `._bike1.txt` from a Mac."""
    return sorted((path for path in folder.glob(pattern) if not path.name.startswith(".")), key=natural_key)


def is_uav(root: Path) -> bool:
    """Whether a folder is UAV123's, or half of it."""
    parts = (root / "anno" / name for name in (*UAV_PARTS.values(), UAV_10FPS))
    return (root / "data_seq").is_dir() or any(part.is_dir() for part in parts)


def find_uav(root: Path, request: Request) -> list[Place]:
    """Sequences of UAV123, or of UAV20L where it is asked for or alone there."""
    if request.images and not (root / "data_seq").is_dir():
        raise InputError(f"{root}: expected data_seq/ beside anno/ (UAV123), found {describe(root)}")
    parts = [UAV_PARTS[request.protocol]] if request.protocol in UAV_PARTS else [*UAV_PARTS.values(), UAV_10FPS]
    part = next((part for part in parts if (root / "anno" / part).is_dir()), None)
    if part is None:
        names = " or ".join(f"anno/{name}/" for name in parts)
        raise InputError(f"{root}: expected {names} beside data_seq/ (UAV123), found {describe(root)}")
    videos = root / "data_seq" / (UAV_10FPS if part == UAV_10FPS else "UAV123")
    configured, places = _configured(root / "configSeqs.m"), []
    for truth in _text_files(root / "anno" / part):
        name = truth.stem
        known = configured.get(name) or (_known_ranges().get(name) if part == "UAV123" else None)
        video, numbers = (known[0], known[1:]) if known is not None else (name, None)
        if known is None and request.images and not (videos / name).is_dir() and re.search(r"_\d+$", name):
            raise InputError(
                f"{root}: expected configSeqs.m, which says the frames of {name} (UAV123), found {describe(root)}"
            )
        layout = "uav20l" if part == "UAV20L" else "uav123"
        places.append(Place(name, videos / video, truth, layout, numbers=numbers))
    return places


def _configured(path: Path) -> dict[str, tuple[str, int, int]]:
    """Video, first and last frame of each sequence by `configSeqs.m`; none where there is no such file."""
    if not path.is_file():
        return {}
    found: dict[str, tuple[str, int, int]] = {}
    for fields in re.findall(r"struct\(([^)]*)\)", read_text(path)):
        values = dict(re.findall(r"'(name|path|startFrame|endFrame)'\s*,\s*'?([^',]*)'?", fields))
        try:
            video = re.split(r"[\\/]+", values["path"].strip("\\/ "))[-1]
            first, last = int(values["startFrame"]), int(values["endFrame"])
            if not 0 <= first <= last < MOST_NUMBERS or not re.fullmatch(r"[^/\\\0]+", video) or video in (".", ".."):
                raise ValueError
            found.setdefault(values["name"], (video, first, last))
        except (KeyError, ValueError):
            raise InputError(
                f"{path}: expected name, path, startFrame and endFrame in each struct(...), found {fields[:60]!r}"
            ) from None
    return found


@cache
def _known_ranges() -> dict[str, tuple[str, int, int]]:
    """Video, first and last frame of UAV123's sequences that are part of a video."""
    rows = [line.split("\t") for line in TABLE.read_text().splitlines()[1:]]
    return {name: (video, int(first), int(last)) for name, video, first, last in rows}


def is_trackingnet(root: Path) -> bool:
    """Whether a folder is TrackingNet's or one of its parts, or half of either."""
    return bool(_trackingnet_parts(root)) or (
        (root / "anno").is_dir() and not is_uav(root) and bool(_text_files(root / "anno"))
    )


def _trackingnet_parts(root: Path) -> list[Path]:
    return [path for path in folders_in(root) if re.fullmatch(r"TRAIN_\d+|TEST", path.name)]


def find_trackingnet(root: Path, request: Request) -> list[Place]:
    """Sequences of one of TrackingNet's parts, or of those parts that the split has."""
    parts = _trackingnet_parts(root)
    if request.split is not None and parts:
        wanted = [path for path in parts if (path.name == "TEST") == (request.split == "test")]
        if not wanted:
            expected = "TEST" if request.split == "test" else "TRAIN_0 to TRAIN_11"
            raise InputError(f"{root}: expected {expected} (TrackingNet), found {describe(root)}")
        parts = wanted
    places = []
    for part in parts or [root]:
        for name in ("anno", "frames") if request.images else ("anno",):
            if not (part / name).is_dir():
                raise InputError(f"{part}: expected anno/ and frames/ (TrackingNet), found {describe(part)}")
        truths = _text_files(part / "anno")
        places += [Place(truth.stem, part / "frames" / truth.stem, truth, "trackingnet") for truth in truths]
    return places


def read_apart(place: Place, images: bool) -> Sequence:
    """Sequence of UAV123, UAV20L or TrackingNet: a line for each frame."""
    assert place.truth is not None
    origin = 0 if place.layout == "trackingnet" else 1
    boxes, absent, _ = read_boxes(place.truth, origin=origin)
    numbers = annotated_numbers(place)
    frames: tuple[Path, ...] = ()
    if images:
        assert place.folder is not None
        frames = choose_images(list_images(place.folder), len(boxes), numbers)
    count = len(numbers) if numbers is not None else None
    return sequence_of_boxes(place.name, place.truth, frames, boxes, absent, count=count)


def is_nfs(root: Path) -> bool:
    """Whether a folder is NFS's, that of one of its videos, or either at one of its rates; or half of it."""
    return bool(_nfs_files(root, [*NFS_RATES.values()]))


def _nfs_files(root: Path, rates: list[str]) -> list[Path]:
    """Files of true boxes at the first of the rates that is there, called as their videos or as images beside them."""
    for rate in rates:
        beside = _text_files(root) if root.name == rate else []
        below, deeper = _text_files(root, f"{rate}/*.txt"), _text_files(root, f"*/{rate}/*.txt")
        for paths in (beside, below, deeper):
            if found := [p for p in paths if p.stem == p.absolute().parents[1].name or p.with_suffix("").is_dir()]:
                return found
    return []


def find_nfs(root: Path, request: Request) -> list[Place]:
    """Sequences of NFS at 30 frames a second, or at 240 where that is asked for or alone there."""
    asked = request.protocol in NFS_RATES
    rates = [NFS_RATES[request.protocol]] if asked and request.protocol else [*NFS_RATES.values()]
    places = []
    truths = _nfs_files(root, rates)
    if truths and request.images and not any(truth.with_suffix("").is_dir() for truth in truths):
        folder, name = truths[0].parent, truths[0].stem
        raise InputError(f"{folder}: expected the images in {name}/ (NFS), found {describe(folder)}")
    for truth in truths:
        rate = "nfs" + truth.absolute().parent.name
        places.append(Place(truth.stem, truth.with_suffix(""), truth, rate))
    if not places:
        raise InputError(f"{root}: expected NAME/{rates[0]}/NAME.txt (NFS), found {describe(root)}")
    return places


def read_nfs(place: Place, images: bool) -> Sequence:
    """Sequence of NFS: left, top, right and bottom in columns 2 to 5, and whether the target is lost in column 7.

    Some files at 30 frames a second have a line for each frame at 240, of which every eighth counts, and some have one
    line more than images; as in the got10k toolkit.
    """
    truth = place.truth
    assert truth is not None
    lines = read_text(truth).splitlines()
    rows = np.empty((len(lines), NFS_FIELDS))
    for number, line in enumerate(lines):
        try:
            rows[number] = np.array(line.split()[:NFS_FIELDS], np.float64).reshape(NFS_FIELDS)
        except ValueError:
            raise line_error(truth, number, "track, left, top, right, bottom, frame and three flags", line) from None
    if not np.isfinite(rows).all():
        number = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise line_error(truth, number, "finite numbers", lines[number])
    frames: tuple[Path, ...] = ()
    assert place.folder is not None
    if images or place.folder.is_dir():
        frames = list_images(place.folder)
        if len(rows) != len(frames) and abs(len(rows) / len(frames) - NFS_RATIO) < 1:
            rows = rows[::NFS_RATIO]
        if abs(len(rows) - len(frames)) == 1:
            shared = min(len(rows), len(frames))
            rows, frames = rows[:shared], frames[:shared]
    boxes = np.concatenate([rows[:, 1:3], rows[:, 3:5] - rows[:, 1:3]], axis=1)
    absent = (rows[:, 6] != 0) | (boxes[:, 2:] <= 0).any(axis=1)
    count = len(frames) if frames else None
    return sequence_of_boxes(place.name, truth, frames if images else (), boxes, absent, count=count)
