"""DAVIS and YouTube-VOS: `JPEGImages/` beside `Annotations/`, whose masks say which object each pixel shows."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from mfst_jax import json_files
from mfst_jax.errors import InputError, reason
from mfst_jax.sequences.image_files import describe, image_size, is_image, natural_key, open_image
from mfst_jax.sequences.layouts import folders_in, list_images
from mfst_jax.sequences.places import Place, Request, target_name
from mfst_jax.sequences.sequence import Sequence, sequence_of_track
from mfst_jax.sequences.text import changes, read_start

RESOLUTIONS = ("480p", "1080p", "Full-Resolution")
BINARY = 255
"""Value of the only object in DAVIS 2016; elsewhere that of pixels which nobody knows."""
SPLITS = {"train": ("train",), "test": ("val", "valid")}
LARGEST_MASK = 2**26
"""Greatest number of pixels of a mask."""

Bounds = dict[int, dict[str, tuple[int, int, int, int]]]
"""Bounds (x, y, w, h) of each object in each mask, by the name of the frame."""


def is_masks(root: Path) -> bool:
    """Whether a folder is that of DAVIS or of a split of YouTube-VOS, or half of it."""
    return (root / "JPEGImages").is_dir() or (
        (root / "Annotations").is_dir() and (root / "ImageSets").is_dir() and not (root / "Data").is_dir()
    )


def find_masks(root: Path, request: Request) -> list[Place]:
    """A sequence for each object that the first mask of a video has, or that `meta.json` names."""
    for name in ("Annotations", "JPEGImages") if request.images else ("Annotations",):
        if not (root / name).is_dir():
            raise InputError(f"{root}: expected JPEGImages/ and Annotations/ (DAVIS), found {describe(root)}")
    folders = {path.name: path for path in folders_in(root / "Annotations")}
    resolution = next((name for name in RESOLUTIONS if name in folders), None)
    videos = folders_in(folders[resolution]) if resolution is not None else [*folders.values()]
    images = root / "JPEGImages" / (resolution or "")
    listed, named, places = _listed(root, request.split), _named_objects(root / "meta.json"), []
    for masks in (path for path in videos if listed is None or path.name in listed):
        try:
            objects = named.get(masks.name) or _objects_of_first(masks)
        except InputError:  # which whoever reads the sequence is told
            objects = [1]
        for each in objects:
            alone = len(objects) == 1
            name, video = target_name(masks.name, each, alone=alone), "" if alone else masks.name
            places.append(Place(name, images / masks.name, masks, "masks", target=str(each), video=video))
    return places


def read_masks(place: Place, images: bool) -> Sequence:
    """Sequence of one object: the bounds of its pixels, from the first mask that has some."""
    masks, folder = place.truth, place.folder
    assert masks is not None
    assert folder is not None
    files = _mask_files(masks)
    names = [path.stem for path in files]
    if not files:
        raise InputError(f"{masks}: expected masks (.png), found {describe(masks)}")
    frames: tuple[Path, ...] = ()
    size = None
    if images:
        frames = list_images(folder)
        by_stem = {path.stem for path in frames}
        if lacking := [name for name in names if name not in by_stem]:
            more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
            raise InputError(f"{masks / lacking[0]}.png: expected an image of this name in {folder}, found none{more}")
        size = image_size(frames[0])
        names = [path.stem for path in frames]
    bounds, known = _read_bounds(tuple(files), size, changes(*files)), {path.stem for path in files}
    of_object = bounds.get(int(place.target), {})
    boxes = np.array([of_object.get(name, (np.nan,) * 4) for name in names], np.float64).reshape(-1, 4)
    sequence = sequence_of_track(place.name, frames, boxes)
    unknown = np.array([name not in known for name in names])[len(names) - len(sequence.absent) :]
    sequence.absent[unknown] = False  # nobody said that the target is absent there
    return sequence


def _listed(root: Path, split: str | None) -> set[str] | None:
    """Names of the videos of a split, by the newest list in `ImageSets/`; None for all."""
    if split is None or not (root / "ImageSets").is_dir():
        return None
    folders = sorted((root / "ImageSets").iterdir(), key=lambda path: (path.name.isdecimal(), path.name), reverse=True)
    for path in (folder / f"{name}.txt" for folder in folders for name in SPLITS[split]):
        if path.is_file():
            lines = read_start(path).split("\n")
            words = [line.split()[0].strip("/") for line in lines if line.strip()]
            return {word.split("/")[-2] if "/" in word else word for word in words}
    return None


def _named_objects(path: Path) -> dict[str, list[int]]:
    """Objects of each video by YouTube-VOS's `meta.json`; none where there is no such file."""
    if not path.is_file():
        return {}
    try:
        videos = json_files.load(path)["videos"]
        return {name: sorted(map(int, video["objects"])) for name, video in videos.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: expected the objects of videos (YouTube-VOS), found {reason(error)}") from None


def _objects_of_first(masks: Path) -> list[int]:
    files = _mask_files(masks)
    return (_objects(_read_mask(files[0])) if files else []) or [1]


def _mask_files(masks: Path) -> list[Path]:
    return sorted((path for path in masks.iterdir() if is_image(path)), key=natural_key)


def _objects(mask: np.ndarray) -> list[int]:
    """Numbers of the objects in a mask: 255 alone is one, beside others it is none."""
    values = [int(value) for value in np.unique(mask) if value]
    return values if values == [BINARY] else [value for value in values if value != BINARY]


def _read_mask(path: Path) -> np.ndarray:
    try:
        with open_image(path) as image:
            if image.width * image.height > LARGEST_MASK:
                raise InputError(f"{path}: expected a mask of at most {LARGEST_MASK} pixels, found {image.size}")
            if image.mode not in ("P", "L", "1"):
                raise InputError(f"{path}: expected a mask with one number a pixel, found an image of {image.mode}")
            return np.asarray(image.convert("L") if image.mode == "1" else image)
    except InputError:
        raise
    except Exception as error:  # the reader of a damaged file may raise anything
        raise InputError(f"{path}: expected a mask, found {reason(error)}") from None


@lru_cache(maxsize=8)
def _read_bounds(masks: tuple[Path, ...], size: tuple[int, int] | None, version: int) -> Bounds:
    """Bounds of every object in every mask. Raises `InputError` for a mask of another size than the frames."""
    bounds: Bounds = {}
    for path in masks:
        mask = _read_mask(path)
        if size is not None and mask.shape != size:
            raise InputError(
                f"{path}: expected {size[1]}x{size[0]} pixels like its frame, found {mask.shape[1]}x{mask.shape[0]}"
            )
        for value in _objects(mask):
            rows, columns = np.flatnonzero((mask == value).any(axis=1)), np.flatnonzero((mask == value).any(axis=0))
            box = int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1
            bounds.setdefault(value, {})[path.stem] = box
    return bounds
