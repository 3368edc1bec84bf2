"""One sequence from disk: its images in order, its true boxes, and where the target is absent.

Images lie in `img/` (OTB), in `color/` or where the file `sequence` says (VOT), or beside the true boxes: a file
`groundtruth_rect*.txt` counts pixels from 1, `groundtruth.txt` from 0. `cover.label`, `absence.label` and
`meta_info.ini` are GOT-10k's.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.evaluation.annotations import Polygons, line_numbers, read_boxes, read_numbers
from mfst_jax.evaluation.otb import Entry
from mfst_jax.video import IMAGE_SUFFIXES, TRUTH_FILES, natural_key


@dataclass(frozen=True, eq=False)
class Sequence:
    """One target in one video, with a box for each frame."""

    name: str
    frames: tuple[Path, ...]
    """The images, in order; none where they were not asked for."""
    ground_truth: Float64[np.ndarray, "frames 4"]
    """True boxes (x, y, w, h) in 0-indexed pixels, NaN where the target is absent or nobody annotated it."""
    absent: Bool[np.ndarray, "frames"]
    """Where the annotation says that there is no target."""
    attributes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    """Height and width of the frames in GOT-10k, which scores boxes cut to them."""
    problems: tuple[str, ...] = ()
    """What is odd about it, a line each."""


def read_sequence(
    name: str,
    truth: Path,
    folder: Path | None,
    *,
    entry: Entry | None = None,
    images: bool = True,
    clipped: bool = False,
    polygons: Polygons = "bounds",
) -> Sequence:
    """Reads one sequence.

    Args:
      name: what it is called.
      truth: its true boxes. Frames after their end are not annotated.
      folder: where its images and labels are, if anywhere.
      entry: what OTB says about it.
      images: whether the images are needed too.
      clipped: whether the size of its frames is needed.
      polygons: how polygons become boxes.

    Raises:
      InputError: true boxes or labels that cannot be read or do not fit together, images missing or too few, or, with
        images, no target in the first one.
    """
    boxes, absent = read_boxes(truth, origin=TRUTH_FILES.get(truth.name, 1), polygons=polygons)
    problems = []
    labels = _label_file(folder) if folder is not None else None
    if labels is not None:
        absent = _absence(labels, len(boxes))
        boxes[absent] = np.nan
    elif absent.any():
        problems.append(f"{truth}, {line_numbers(np.flatnonzero(absent))}: no target there")
    frames = _choose(list_images(folder), len(boxes), entry) if images and folder is not None else ()
    if frames and len(boxes) > len(frames):
        line = len(frames) + 1
        raise InputError(f"{truth}, line {line}: expected {len(frames)} lines, one a frame, found {len(boxes)}")
    if frames and absent[0]:
        raise InputError(f"{truth}, line 1: expected a box to start from, found the target absent")
    count = len(frames) or (entry.last - entry.first + 1 if entry is not None else len(boxes))
    if len(boxes) != count:
        line = min(len(boxes), count) + 1
        problems.append(f"{truth}, line {line}: expected {count} lines, one a frame, found {len(boxes)}")
    if lacking := max(0, len(frames) - len(boxes)):
        boxes = np.pad(boxes, ((0, lacking), (0, 0)), constant_values=np.nan)
        absent = np.pad(absent, (0, lacking))
    attributes = entry.attributes if entry is not None else ()
    size = _frame_size(folder) if clipped and folder is not None else None
    return Sequence(name, frames, boxes, absent, attributes, size, tuple(problems))


def list_images(folder: Path) -> tuple[Path, ...]:
    """The images of a sequence, in natural order. Raises `InputError` if there is none."""
    place = next((folder / name for name in ("img", "color") if (folder / name).is_dir()), folder)
    if (folder / "sequence").is_file():
        text = (folder / "sequence").read_text(errors="replace")
        if pattern := re.search(r"^channels\.color *= *(.+)/", text, re.MULTILINE):
            place = folder / pattern[1]
    try:
        entries = [path for path in place.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{place}: expected a folder of images, found {error.strerror}") from None
    images = [path for path in entries if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise InputError(f"{place}: expected images ({' '.join(IMAGE_SUFFIXES)}), found none")
    return tuple(sorted(images, key=natural_key))


def _choose(images: tuple[Path, ...], rows: int, entry: Entry | None) -> tuple[Path, ...]:
    """The images with the numbers that the sequence should have; or all of them, if they are as many as true boxes.

    Raises:
      InputError: a number is missing.
    """
    numbered = {int(digits[-1]): path for path in images if (digits := re.findall(r"\d+", path.stem))}
    if entry is not None:
        wanted = range(entry.first, entry.last + 1)
    elif len(images) == rows or len(numbered) < len(images):
        return images
    else:
        wanted = range(min(numbered), max(numbered) + 1)
    lacking = [number for number in wanted if number not in numbered]
    if not lacking:
        return tuple(numbered[number] for number in wanted)
    if len(images) == rows:
        return images
    name = re.sub(r"\d+(?=\D*$)", lambda digits: f"{lacking[0]:0{len(digits[0])}d}", images[0].stem)
    path, more = images[0].with_name(name + images[0].suffix), f" and {len(lacking) - 1} more" if lacking[1:] else ""
    raise InputError(f"{path}: expected frames {wanted[0]} to {wanted[-1]}, found none of this name{more}")


def _label_file(folder: Path) -> Path | None:
    names = ("cover.label", "absence.label")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _absence(path: Path, rows: int) -> Bool[np.ndarray, "rows"]:
    """GOT-10k's labels: nothing of the target is visible or, where they do not say how much is, it is absent."""
    labels = read_numbers(path, (1,))[:, 0]
    if len(labels) != rows:
        line = min(len(labels), rows) + 1
        raise InputError(f"{path}, line {line}: expected {rows} lines, one a box, found {len(labels)}")
    return labels <= 0 if path.name == "cover.label" else labels != 0


def _frame_size(folder: Path) -> tuple[int, int] | None:
    """By `meta_info.ini` or the first image; None without both."""
    if (folder / "meta_info.ini").is_file():
        text = (folder / "meta_info.ini").read_text(errors="replace")
        if size := re.search(r"^resolution: *\((\d+), *(\d+)\)", text, re.MULTILINE):
            return int(size[2]), int(size[1])
    try:
        with Image.open(list_images(folder)[0]) as image:
            return image.height, image.width
    except (InputError, OSError):
        return None
