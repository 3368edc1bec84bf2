"""Sources of images: an image file, a folder or a list of images, and sequences of data sets with their true boxes."""

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mfst_jax.errors import InputError
from mfst_jax.media.decoding import USUAL_FPS, Labelled
from mfst_jax.media.images import count_and_rate, read_frames, read_image
from mfst_jax.media.source import Source, first_size
from mfst_jax.sequences import Place, find_dataset, places_in, read_sequence
from mfst_jax.sequences.dataset_layouts import data_set_below, places_above
from mfst_jax.sequences.image_files import IMAGE_SUFFIXES, LISTED, natural_key
from mfst_jax.sequences.layouts import TRUTH_FILES, folders_in, list_images, name_of
from mfst_jax.sequences.places import named_apart


def open_folder(folder: Path) -> Source:
    """Source of a folder of images, with the true boxes of its target if it has those of one.

    Raises:
      InputError: several sequences, no image, or one or true boxes that cannot be read.
    """
    name, places = name_of(folder), _places_of(folder)
    if len(places) == 1:
        return open_place(places[0])
    lacks = f"{name} has no {' or '.join(TRUTH_FILES)} to take it from"
    if not places:
        try:
            return open_images(name, list_images(folder), lacks=lacks)
        except InputError:
            if (below := data_set_below(folder)) is None:
                raise
            raise InputError(f"source {folder}: expected a sequence or images, found {below}") from None
    listed = "; ".join(map(_describe_target, places[:LISTED])) + (" and more" if places[LISTED:] else "")
    if len({place.folder for place in places}) > 1:
        raise InputError(
            f"source {folder}: expected one sequence, such as '{folder}#{places[0].name}', found {len(places)}: "
            + ", ".join(place.name for place in places[:LISTED])
            + (", ..." if places[LISTED:] else "")
        )
    images = places[0].folder
    assert images is not None
    lacks = f"{name} has {len(places)} targets ({listed}; '{folder}#{places[0].name}' takes one)"
    return open_images(name, list_images(images), lacks=lacks)


def _places_of(folder: Path) -> list[Place]:
    """Targets in a folder: of the sequence that it is, of the data set that it is, or of the one that it is part of."""
    own = find_dataset(folder)
    return own if own is not None else places_in(folder) or places_above(folder)


def open_named(folder: Path, name: str) -> Source:
    """Source of one of several sequences in a folder. Raises `InputError` where there is none of that name."""
    places = _places_of(folder) or named_apart(place for inner in folders_in(folder) for place in places_in(inner))
    for place in places:
        if place.name == name:
            return open_place(place)
    names = ", ".join(place.name for place in places[:LISTED]) + (", ..." if places[LISTED:] else "")
    raise InputError(
        f"source {folder}#{name}: expected the name of a sequence in {folder}, found {names or 'none there'}"
    )


def open_place(place: Place) -> Source:
    """Source of the sequence at a place. Raises `InputError` where its true boxes or first image cannot be read."""
    assert place.folder is not None
    sequence = read_sequence(place)
    first, last = sequence.frames[0], sequence.frames[-1]
    images, notes = list_images(first.parent), sequence.problems
    if len(sequence.frames) != len(images):
        of = f"{first.name} to {last.name}, which have true boxes, of {len(images)} images"
        notes = (f"{place.name}: {of}", *notes)
    return open_images(place.name, sequence.frames, sequence.ground_truth.astype(np.float32), notes)


def _describe_target(place: Place) -> str:
    """Name of a target and, where it is sure to be in the first image, its box."""
    if place.layout:
        return place.name
    assert place.truth is not None
    box = read_sequence(place, images=False).ground_truth[0]
    return f"{place.truth.name}: {','.join(f'{number:g}' for number in box)}"


def images_of(what: str, entries: Iterable[Path]) -> list[Path]:
    """Images among the paths, in natural order. Raises `InputError` if there is none."""
    paths = [path for path in entries if not path.name.startswith(".")]
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    if not images:
        found = f"{len(paths)} other entries" if paths else "nothing"
        raise InputError(f"{what}: expected images ({' '.join(IMAGE_SUFFIXES)}), found {found}")
    return sorted(images, key=natural_key)


def open_images(
    name: str, paths: Sequence[Path], truth: np.ndarray | None = None, notes: tuple[str, ...] = (), lacks: str = ""
) -> Source:
    """Source of images, in the order of their paths.

    Args:
      name: of the source.
      paths: of the images, at least one.
      truth: true boxes, row t for image t.
      notes: what is odd about them.
      lacks: why there are none.

    Raises:
      InputError: the first image cannot be read.
    """

    def read(first: int = 0) -> Labelled:
        for path in paths[first:]:
            yield f"image {path}", read_image(path)

    shared = os.path.commonpath([path.parent for path in paths])
    files = tuple(Path(os.path.relpath(path, shared)).as_posix() for path in paths)
    return Source(name, first_size(read), len(paths), USUAL_FPS, truth, read, notes, lacks, files, read_from=read)


def open_image_file(path: Path) -> Source:
    """Source of an image file, which may hold several frames. Raises `InputError` where the first cannot be read."""
    read = partial(read_frames, path)
    count, fps = count_and_rate(path)
    return Source(path.name, first_size(read), count, fps, None, read)
