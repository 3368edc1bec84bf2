"""MOTChallenge: `gt/gt.txt` beside the images of `img1/`, each of whose identities is the target of a sequence."""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from mfst_jax.errors import InputError
from mfst_jax.sequences.image_files import by_number, describe
from mfst_jax.sequences.layouts import MOST_NUMBERS, folders_in, list_images, name_of
from mfst_jax.sequences.places import Place, Request
from mfst_jax.sequences.sequence import Sequence, sequence_of_track
from mfst_jax.sequences.text import changes, line_error, parse_lines, read_start, read_text

COLUMNS = range(6, 11)
"""Number of columns: frame, identity, left, top, width, height, whether it counts, class and visibility."""
SPLITS = ("train", "val", "test")
ASKED = {"train": "train", "test": "val"}
"""Split that is taken for training and for evaluation where it is there, as in DanceTrack and SportsMOT."""


def is_motchallenge(root: Path) -> bool:
    """Whether a folder is a video of MOTChallenge, or holds some, or one of its splits does; or half of one."""
    return _is_video(root) or any(map(_is_video, _videos(root, None)))


def find_motchallenge(root: Path, request: Request) -> list[Place]:
    """A sequence for each identity that counts, in every video with annotations.

    MOT17 has each video three times in one folder, for three detectors; the first one is taken.
    """
    videos = [root] if _is_video(root) else [path for path in _videos(root, request.split) if _is_video(path)]
    annotated = [path for path in videos if (path / "gt" / "gt.txt").is_file()]
    if not annotated:
        raise InputError(f"{videos[0]}: expected gt/gt.txt (MOTChallenge), found {describe(videos[0])}")
    if request.images and not any(_images_of(path).is_dir() for path in annotated):
        folder = annotated[0]
        images = _images_of(folder).name
        raise InputError(f"{folder}: expected {images}/ beside gt/ (MOTChallenge), found {describe(folder)}")
    places, seen = [], set()
    for folder in annotated:
        video = re.sub(r"-(DPM|FRCNN|SDP)$", "", name_of(folder))
        if (folder.parent, video) in seen:
            continue
        seen.add((folder.parent, video))
        truth, images = folder / "gt" / "gt.txt", _images_of(folder)
        try:
            identities = np.unique(_read_rows(truth, changes(truth))[:, 1]).astype(int)
        except InputError:  # which whoever reads the sequence is told
            identities = np.array([1])
        places += [
            Place(f"{name_of(folder)}-{identity}", images, truth, "motchallenge", target=str(identity), video=video)
            for identity in identities
        ]
    return places


def read_motchallenge(place: Place, images: bool) -> Sequence:
    """Sequence of one identity: from its first row to its last, absent where it has none between them."""
    truth, folder = place.truth, place.folder
    assert truth is not None
    assert folder is not None
    rows = _read_rows(truth, changes(truth))
    rows = rows[rows[:, 1] == int(place.target)]
    count = int(rows[:, 0].max()) if len(rows) else 0
    frames: tuple[Path, ...] = ()
    if images:
        found = list_images(folder)
        last = max(by_number(found), default=len(found))
        if count > max(last, len(found)):
            raise InputError(f"{truth}: expected rows of {len(found)} frames, one an image, found frame {count}")
        frames, count = found, len(found)
    boxes = np.full((count, 4), np.nan)
    numbers = rows[:, 0].astype(int) - 1
    if len(np.unique(numbers)) < len(numbers):
        raise InputError(f"{truth}: expected one row a frame of identity {place.target}, found several of one frame")
    if len(numbers) and numbers.max() >= count:
        raise InputError(f"{truth}: expected rows of {count} frames, one an image, found frame {numbers.max() + 1}")
    boxes[numbers] = rows[:, 2:6] - (1, 1, 0, 0)
    return sequence_of_track(place.name, frames, boxes, whole=False)


def _is_video(folder: Path) -> bool:
    return (folder / "gt" / "gt.txt").is_file() or (folder / "seqinfo.ini").is_file()


def _videos(root: Path, split: str | None) -> list[Path]:
    """Folders in a folder; where it holds splits, those in there: in that of `ASKED`, or else in all."""
    folders = folders_in(root)
    splits = [path for path in folders if path.name in SPLITS]
    chosen = [path for path in splits if split is not None and path.name == ASKED[split]] or splits
    return [inner for path in chosen for inner in folders_in(path)] if splits else folders


def _images_of(folder: Path) -> Path:
    """Folder of the images, as `seqinfo.ini` names it."""
    named = re.search(r"^imDir *= *(\w[\w.-]*) *$", read_start(folder / "seqinfo.ini"), re.MULTILINE)
    return folder / (named[1] if named else "img1")


@lru_cache(maxsize=8)
def _read_rows(path: Path, version: int) -> np.ndarray:
    """Rows of the identities that count: the seventh number is not 0, as it is for what is to be ignored."""
    lines = read_text(path).splitlines()
    rows = parse_lines(lines)
    if rows is None or rows.shape[1] not in COLUMNS:
        wrong = next(
            (
                number
                for number, line in enumerate(lines)
                if (row := parse_lines([line])) is None or row.shape[1] not in COLUMNS
            ),
            0,
        )
        raise line_error(path, wrong, "frame, identity, left, top, width, height and 0 to 4 more numbers", lines[wrong])
    whole = (rows[:, :2] == np.round(rows[:, :2])) & (rows[:, :2] >= 1) & (rows[:, :2] < MOST_NUMBERS)
    sound = whole.all(axis=1) & np.isfinite(rows[:, :6]).all(axis=1)
    if not sound.all():
        number = int(np.argmin(sound))
        raise line_error(path, number, "a frame and an identity from 1, and a box", lines[number])
    return rows[rows[:, 6] != 0] if rows.shape[1] > 6 else rows
