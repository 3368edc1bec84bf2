"""Data sets that nobody knows, described by their owner in `mfst.yaml`: where the images and the true boxes are.

    images: frames/{name}/*.jpg
    boxes: labels/{name}.txt

Both are paths from the folder of the file. `{name}` stands for the name of a sequence, a * for any part of a file's
name. What else may be said: `first_pixel: 1` (0 where it is not said), `box: corners` for x1, y1, x2, y2 instead of
x, y, w, h, and `columns: 2-5` for the columns that the box is in.
"""

import glob
import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from mfst_jax.errors import InputError, reason
from mfst_jax.sequences.annotations import read_boxes
from mfst_jax.sequences.image_files import choose_images, is_image, natural_key
from mfst_jax.sequences.places import Place, Request
from mfst_jax.sequences.sequence import Sequence, sequence_of_boxes
from mfst_jax.sequences.text import changes, line_error, read_numbers, read_text

FILE = "mfst.yaml"
KEYS = {
    "images": r"[^{}]*\{name\}[^{}]*",
    "boxes": r"[^{}]*\{name\}[^{}]*",
    "first_pixel": "[01]",
    "box": "size|corners",
    "columns": r"\d{1,3}-\d{1,3}",
}
"""Keys that may be given, and the values that each may have."""


def is_described(root: Path) -> bool:
    """Whether a folder holds such a file."""
    return (root / FILE).is_file()


def find_described(root: Path, request: Request) -> list[Place]:
    """A sequence for each file of true boxes."""
    path = root / FILE
    described = _description(path, changes(path))
    places = []
    for truth in sorted(root.glob(described["boxes"].replace("{name}", "*")), key=natural_key):
        name = re.fullmatch(_pattern(described["boxes"]), truth.relative_to(root).as_posix())
        if name is None or truth.name.startswith(".") or not truth.is_file():
            continue
        folder = (root / described["images"].replace("{name}", name[1])).parent
        places.append(Place(name[1], folder, truth, "described", target=str(path)))
    if not places:
        raise InputError(f"{path}: expected files {described['boxes']}, found none")
    return places


def read_described(place: Place, images: bool) -> Sequence:
    """Sequence of one file of true boxes, a line for each frame."""
    truth, path = place.truth, Path(place.target)
    assert truth is not None
    described = _description(path, changes(path))
    origin = int(described.get("first_pixel", "0"))
    if described.keys() & {"box", "columns"}:
        rows = read_numbers(truth, range(1, 1000))
        first, last = map(int, described.get("columns", "1-4").split("-"))
        if rows.shape[1] < last:
            raise line_error(truth, 0, f"{last} numbers, as {path} says", read_text(truth).splitlines()[0])
        written = rows[:, first - 1 : last]
        boxes = written - (origin, origin, 0, 0)
        if described.get("box") == "corners":
            with np.errstate(over="ignore", invalid="ignore"):  # of what is refused below
                boxes[:, 2:] = boxes[:, 2:] - origin - boxes[:, :2]
        if (infinite := (np.isinf(written) | np.isinf(boxes)).any(axis=1)).any():
            number = int(np.argmax(infinite))
            raise line_error(truth, number, "finite numbers", read_text(truth).splitlines()[number])
        absent = np.asarray(np.isnan(boxes).any(axis=1) | (boxes[:, 2:] <= 0).any(axis=1))
    else:
        boxes, absent, _ = read_boxes(truth, origin=origin)
    frames: tuple[Path, ...] = ()
    if images:
        called = re.fullmatch(_pattern(described["boxes"]), truth.relative_to(path.parent).as_posix())
        assert called is not None
        pattern = described["images"].replace("{name}", glob.escape(called[1]))
        try:
            found = sorted((each for each in path.parent.glob(pattern) if is_image(each)), key=natural_key)
        except (OSError, ValueError) as error:  # such as a name that is too long for one
            raise InputError(f"{path}: expected a pattern of images, found {reason(error)}") from None
        if not found:
            raise InputError(f"{path.parent / pattern}: expected images of {place.name}, found none")
        frames = choose_images(found, len(boxes), None)
    return sequence_of_boxes(place.name, truth, frames, boxes, absent)


def _pattern(text: str) -> str:
    """Regular expression of a path with a group for the name, which is the same wherever it stands."""
    before, *after = (re.escape(part).replace(r"\*", "[^/]*") for part in text.split("{name}"))
    return before + "([^/]+)" + r"\1".join(after)


@lru_cache(maxsize=8)
def _description(path: Path, version: int) -> dict[str, str]:
    """Values of the file by their keys. Raises `InputError` for a line that is none, or for one that is missing."""
    found: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines()):
        plain = re.sub(r"(^|\s)#.*", "", line).strip()
        if not plain or plain == "---":
            continue
        pair = re.fullmatch(r"""(\w+):\s+(["']?)(.+)\2""", plain)
        if pair is None or pair[1] not in KEYS or pair[1] in found:
            raise line_error(path, number, f"one of {', '.join(KEYS)}, each once, a colon and a value", line)
        value = pair[3].removeprefix("./")
        if not re.fullmatch(KEYS[pair[1]], value):
            raise line_error(path, number, f"a value of {pair[1]} such as docs/sequences.md shows", line)
        if pair[1] in ("images", "boxes") and (Path(value).is_absolute() or ".." in Path(value).parts):
            raise line_error(path, number, "a path in this folder", line)
        if pair[1] == "columns" and int(value.split("-")[1]) - int(value.split("-")[0]) != 3:
            raise line_error(path, number, "four columns, such as 2-5", line)
        found[pair[1]] = value
    if lacking := [key for key in ("images", "boxes") if key not in found]:
        raise InputError(f"{path}: expected images and boxes, each with {{name}}, found no {' and no '.join(lacking)}")
    return found
