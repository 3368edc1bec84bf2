"""One sequence read from disk, in whatever layout: its images in order, its true boxes, and where the target is absent.

`cover.label`, `absence.label` and `meta_info.ini` are GOT-10k's, `full_occlusion.txt` and `out_of_view.txt` LaSOT's.
"""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64

from mfst_jax.errors import InputError
from mfst_jax.sequences import dataset_layouts, otb
from mfst_jax.sequences.annotations import Polygons, read_boxes
from mfst_jax.sequences.image_files import by_number, choose_images, image_size
from mfst_jax.sequences.layouts import TRUTH_FILES, annotated_numbers, list_images
from mfst_jax.sequences.places import LASOT_LABELS, Place
from mfst_jax.sequences.sequence import Sequence, sequence_of_boxes
from mfst_jax.sequences.text import line_numbers, read_start, read_text


def read_sequence(
    place: Place,
    *,
    entry: otb.Entry | None = None,
    images: bool = True,
    clipped: bool = False,
    polygons: Polygons = "bounds",
) -> Sequence:
    """Sequence read from its place on disk.

    Args:
      place: where it is, with a file of true boxes. Frames after their end are not annotated.
      entry: what OTB says about it, if it is one of OTB's. Otherwise it is recognised as one of OTB's by its name and
        its number of true boxes.
      images: whether the images are needed too.
      clipped: whether the size of its frames is needed.
      polygons: how polygons become boxes.

    Raises:
      InputError: true boxes or labels that cannot be read or do not fit together, images missing or too few.
    """
    if place.layout:
        return dataset_layouts.read(place, images=images)
    truth, folder = place.truth, place.folder
    assert truth is not None
    boxes, absent, negative = read_boxes(truth, origin=place.origin, polygons=polygons)
    rows = len(boxes)
    labels = _absence(folder, rows) if folder is not None else np.zeros(rows, bool)
    problems = []
    if folder is not None and truth.name == TRUTH_FILES[0] and (other := folder / TRUTH_FILES[1]).is_file():
        problems.append(f"{other}: not read, as {truth.name} is there too")
    if negative.any():
        lines = line_numbers(np.flatnonzero(negative))
        problems.append(f"{truth}, {lines}: a negative width or height, which counts as no target there")
    if (unlabelled := absent & ~negative & ~labels).any():
        problems.append(f"{truth}, {line_numbers(np.flatnonzero(unlabelled))}: no target there")
    absent |= labels
    boxes[absent] = np.nan
    numbers = annotated_numbers(place)
    sure = entry is not None or numbers is not None
    if numbers is None and (known := entry or otb.find(place.name, rows)) is not None:
        numbers = known.frames
    frames = _choose(list_images(folder), rows, numbers, sure=sure) if images and folder is not None else ()
    labelled = labels if place.has_lasot_labels else None
    return sequence_of_boxes(
        place.name,
        truth,
        frames,
        boxes,
        absent,
        count=len(numbers) if numbers is not None else None,
        attributes=entry.attributes if entry is not None else (),
        size=_frame_size(folder) if clipped and folder is not None else None,
        problems=problems,
        labelled_absent=labelled,
    )


def _choose(images: tuple[Path, ...], rows: int, numbers: range | None, *, sure: bool) -> tuple[Path, ...]:
    """Images of the annotated numbers, if they are known and the images are there or `sure` to be; otherwise any."""
    if numbers is not None and not sure and not by_number(images).keys() >= set(numbers):
        numbers = None
    return choose_images(images, rows, numbers)


def _absence(folder: Path, rows: int) -> Bool[np.ndarray, " rows"]:
    """Frames whose labels, one for each true box, say that the target is absent; none without labels.

    In GOT-10k that is where nothing of it is visible or, without that label, where it is called absent; in LaSOT where
    it is fully occluded or out of view.
    """
    absent = np.zeros(rows, bool)
    covered = (folder / "cover.label").is_file()
    for name in ("cover.label" if covered else "absence.label", *LASOT_LABELS):
        if (path := folder / name).is_file():
            labels = _read_labels(path, rows)
            absent |= labels == 0 if name == "cover.label" else labels == 1
    return absent


def _read_labels(path: Path, rows: int) -> Float64[np.ndarray, " rows"]:
    """Labels of the true boxes, on lines or between commas: shares of 8 in view in GOT-10k, elsewhere 0 or 1."""
    most = 8 if path.name == "cover.label" else 1
    words = re.split(r"[\s,]+", read_text(path).strip(", \t"))
    for number, word in enumerate(words, start=1):
        try:
            wrong = float(word) not in range(most + 1)
        except ValueError:
            wrong = True
        if wrong:
            raise InputError(f"{path}, label {number}: expected a number from 0 to {most}, found {word!r}")
    if len(words) != rows:
        raise InputError(f"{path}: expected {rows} labels, one a true box, found {len(words)}")
    return np.array(words, np.float64)


def _frame_size(folder: Path) -> tuple[int, int] | None:
    """Size of the frames by `meta_info.ini` or the first image; None without both."""
    if (folder / "meta_info.ini").is_file():
        text = read_start(folder / "meta_info.ini")
        if size := re.search(r"^resolution: *\((\d{1,9}), *(\d{1,9})\)", text, re.MULTILINE):
            return int(size[2]), int(size[1])
    try:
        return image_size(list_images(folder)[0])
    except InputError:
        return None
