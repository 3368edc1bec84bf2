"""Layouts in which a sequence is a folder of its own: the files of true boxes in it, and the folders of a collection.

Such a folder has the true boxes of its target in `groundtruth_rect.txt` (OTB, DTB70), in `groundtruth.txt` (GOT-10k,
LaSOT, VOT) or in `NAME_gt.txt` (TColor-128). Several targets have a file each: `groundtruth_rect.1.txt` (OTB) or
`groundtruth_NAME.txt` (VOT). All other layouts are in `dataset_layouts`.
"""

import os
import re
from itertools import islice
from pathlib import Path

from mfst_jax.errors import InputError
from mfst_jax.sequences.image_files import IMAGE_SUFFIXES, describe, is_image, natural_key
from mfst_jax.sequences.places import Place
from mfst_jax.sequences.text import fields, line_error, read_numbers, read_start, read_text

TRUTH_FILES = ("groundtruth_rect.txt", "groundtruth.txt")
INNER_FOLDERS = ("img", "color")
"""Folders in which OTB, LaSOT and VOT keep the images of a sequence; GOT-10k has them beside the true boxes."""
KNOWN = "groundtruth_rect.txt and img/ (OTB), or groundtruth.txt and images (GOT-10k), img/ (LaSOT) or color/ (VOT)"
"""Description of a sequence's folder in the known layouts, for messages."""
MOST_NUMBERS = 10**8
"""Bound of the numbers of frames."""
TRIED = 2000
"""Number of folders that are searched for sequences that are not where they should be."""


def places_in(folder: Path) -> list[Place]:
    """Targets that have true boxes in a folder: `NAME`, or `NAME-1`, `NAME-2` where there are several files."""
    name = name_of(folder)
    if file := next((file for file in TRUTH_FILES if (folder / file).is_file()), None):
        return [Place(name, folder, folder / file)]
    if (file := read_properties(folder).get("groundtruth")) and (folder / file).is_file():
        return [Place(name, folder, folder / file)]
    if (file := _tcolor128_truth(folder, name)) is not None:
        return [Place(name, folder, file)]
    places = []
    for path in sorted(folder.glob("groundtruth_*.txt"), key=natural_key):
        target = re.fullmatch(r"groundtruth_(?:rect\.)?(.+)\.txt", path.name)
        if target and path.is_file() and read_start(path).strip():  # one of OTB's files is empty
            places.append(Place(f"{name}-{target[1]}", folder, path))
    return places


def _tcolor128_truth(folder: Path, name: str) -> Path | None:
    """File of true boxes of TColor-128, which in a few folders is not called quite as the folder (`Yo_yos_ce1`)."""
    if (file := folder / f"{name}_gt.txt").is_file():
        return file
    files = [path for path in folder.glob("*_gt.txt") if path.name[0] != "."] if (folder / "img").is_dir() else []
    return files[0] if len(files) == 1 and files[0].is_file() else None


def kind_of(place: Place) -> str:
    """Benchmark whose layout a sequence has by its content: `lasot`, `tcolor128`, `vot` or none of them."""
    if place.folder is None or place.truth is None or place.layout:
        return ""
    if place.has_lasot_labels:
        return "lasot"
    if place.truth.name.endswith("_gt.txt"):
        return "tcolor128"
    if (place.folder / "sequence").is_file():
        return "vot"
    try:
        with place.truth.open(encoding="utf-8-sig") as file:
            first = file.readline(10_000).strip()
    except (OSError, UnicodeError):
        return ""
    return "vot" if first.startswith("m") or len(fields(first)) == 8 else ""


def annotated_numbers(place: Place) -> range | None:
    """Numbers of the annotated images, where they are known: those of a place, or by TColor-128's `NAME_frames.txt`.

    Raises:
      InputError: that file holds anything but the first and the last number.
    """
    if place.numbers is not None:
        return range(place.numbers[0], place.numbers[1] + 1)
    if place.truth is None or not place.truth.name.endswith("_gt.txt"):
        return None
    names = [place.truth.name.removesuffix("_gt.txt"), name_of(place.truth.parent)]
    path = next((path for name in names if (path := place.truth.with_name(f"{name}_frames.txt")).is_file()), None)
    if path is None:
        return None
    numbers = read_numbers(path, (2,))
    first, last = numbers[0]
    if len(numbers) != 1 or not 0 <= first <= last < MOST_NUMBERS or (first, last) != (int(first), int(last)):
        raise line_error(path, 0, "the first and the last frame", read_text(path).splitlines()[0])
    return range(int(first), int(last) + 1)


def list_images(folder: Path) -> tuple[Path, ...]:
    """Images of a sequence in natural order: in `img/`, `color/`, where VOT's file `sequence` says, or in the folder.

    Raises:
      InputError: there is no such folder, or no image in it.
    """
    try:
        place = next((folder / name for name in INNER_FOLDERS if (folder / name).is_dir()), folder)
    except OSError as error:  # such as a name that is too long for one
        raise InputError(f"{folder}: expected a folder of images, found {error.strerror}") from None
    properties = read_properties(folder)
    channels = [value for key, value in properties.items() if key.startswith("channels.")]
    if channels:
        pattern = Path(properties.get("channels.color", channels[0]))
        place = folder / (pattern.parent if pattern.suffix else pattern)
    try:
        with os.scandir(place) as entries:
            images = [path for entry in entries if is_image(path := Path(entry)) and not entry.is_dir()]
    except OSError as error:
        raise InputError(f"{place}: expected a folder of images, found {error.strerror}") from None
    if not images:
        raise InputError(f"{place}: expected images ({' '.join(IMAGE_SUFFIXES)}), found {describe_other(place)}")
    return tuple(sorted(images, key=natural_key))


def read_properties(folder: Path) -> dict[str, str]:
    """Properties in VOT's file `sequence`, such as `channels.color`; none where there is no such file.

    Raises:
      InputError: one of the properties that are paths leads out of the folder.
    """
    pairs = (line.partition("=") for line in read_start(folder / "sequence").splitlines() if "=" in line)
    properties = {key.strip(): value.strip().replace("\\", "/") for key, _, value in pairs}
    for key, value in properties.items():
        is_path = key == "groundtruth" or key.startswith("channels.")
        if is_path and (Path(value).is_absolute() or ".." in Path(value).parts or "\0" in value):
            what = f"{folder / 'sequence'}: expected a path in this folder for {key}"
            raise InputError(f"{what}, found {value!r:.80}")
    return properties


def name_of(folder: Path) -> str:
    """Name of a folder, or of the link to it."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def sequence_folders(root: Path, split: str) -> list[Path]:
    """Folders of sequences in `root`, in natural order.

    They are the folders in `root`, or in its folder `split` if only there are sequences; `root` itself if it is a
    sequence.

    Raises:
      InputError: `root` is no folder that can be read.
    """
    try:
        if places_in(root):
            return [root]
        folders, inner = folders_in(root), root / split
        if inner in folders and not any(map(places_in, folders)) and not (root / "list.txt").is_file():
            return folders_in(inner)
    except OSError as error:
        raise InputError(f"{root}: expected a folder of sequences, found {error.strerror}") from None
    return folders


def folders_in(root: Path) -> list[Path]:
    """Folders in `root`, in natural order, without those whose names begin with a dot or an underscore."""
    return sorted((path for path in root.iterdir() if path.is_dir() and path.name[0] not in "._"), key=natural_key)


def describe_other(folder: Path, depth: int = 0) -> str:
    """Content of a folder where no sequence was found, in the words of an error: sequences or images may be deeper.

    Args:
      folder: where it was looked for.
      depth: how many folders below that it should have been.
    """
    try:
        level = [folder]
        for below in range(1, depth + 3):
            level = list(islice((path for each in level for path in folders_in(each)), TRIED))
            if below > depth and (found := next(filter(places_in, level), None)):
                return f"sequences {'one folder' if below == depth + 1 else 'two folders'} deeper, such as {found}"
        inner = folders_in(folder)
        if depth > 0 and inner:
            return f"{describe(folder)}, where {inner[0].name}/ holds {describe(inner[0])}"
        others = (path for path in inner if path.name not in INNER_FOLDERS)
        with_images = (path for path in others if any(map(is_image, path.iterdir())))
        if not any(map(is_image, folder.iterdir())) and (found := next(with_images, None)):
            return f"{describe(folder)}, with images in {found}"
        return describe(folder)
    except OSError as error:
        return error.strerror or str(error)
