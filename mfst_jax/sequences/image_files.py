"""Image files of a sequence: which files are images, their order, and which of them have true boxes."""

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from PIL.ImageFile import ImageFile

from mfst_jax.errors import InputError, reason

IMAGE_SUFFIXES = (".bmp", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of the formats of images. Others would have it run programs, such as Ghostscript for EPS."""
LISTED = 4
"""Number of names that an error lists at most."""


def natural_key(path: Path) -> tuple[list[str | int], str]:
    """Sort key that puts img2 before img10."""
    parts = re.split("([0-9]+)", path.as_posix().lower())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], path.as_posix()


def is_image(path: Path) -> bool:
    """Whether a file's name is that of an image, and not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


class _BoundedFile(io.BufferedReader):
    """File of which no more bytes are asked for than it has: a header that lies would have that much memory taken."""

    def __init__(self, path: str | Path):
        raw = io.FileIO(path)
        super().__init__(raw)
        self._end = raw.seek(0, io.SEEK_END)
        raw.seek(0)

    def __repr__(self) -> str:
        return repr(str(self.name))  # what Pillow's errors call it

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._end - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


@contextmanager
def open_image(path: str | Path, formats: tuple[str, ...] = FORMATS) -> Iterator[ImageFile]:
    """Image file, of which no pixel is decoded yet.

    Args:
      path: the file.
      formats: Pillow's names of the formats that it may have.

    Raises:
      Exception: anything at all, as Pillow's readers do of damaged files.
    """
    with _BoundedFile(path) as file, Image.open(file, formats=formats) as image:
        yield image


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image, by its header. Raises `InputError` for what is no image."""
    try:
        with open_image(path) as image:
            return image.height, image.width
    except Exception as error:  # the reader of a damaged file may raise anything
        raise InputError(f"{path}: expected an image, found {reason(error)}") from None


def by_number(images: Sequence[Path]) -> dict[int, Path]:
    """Images with a number in their names, by the last such number."""
    return {int(digits[-1]): path for path in images if (digits := re.findall(r"\d+", path.stem))}


def choose_images(images: Sequence[Path], rows: int, numbers: range | None) -> tuple[Path, ...]:
    """Images that have true boxes, or would have if the boxes did not end early.

    Args:
      images: all images of the sequence, in natural order.
      rows: how many true boxes there are.
      numbers: the numbers in the names of the annotated images, where a benchmark says which; else all images are
        taken.

    Raises:
      InputError: an image is missing: one of these numbers, or one between the first and the last where there are true
        boxes for more than the first and not as many as images.
    """
    numbered, plain = by_number(images), [path for path in images if not re.search(r"\d", path.stem)]
    if plain and len(numbered) == rows == len(images) - len(plain):  # a cover picture is no frame
        return tuple(path for path in images if path not in plain)
    if numbers is None:
        if len(images) == rows or rows == 1 or len(numbered) < len(images):
            return tuple(images)
        first, *others = sorted(numbered)
        step = math.gcd(*(other - first for other in others)) or 1  # a video thinned to every fifth frame lacks none
        numbers = range(first, max(numbered) + 1, step)
        if (numbers[-1] - first) // step >= 2 * len(images):  # the numbers are timestamps or the like
            return tuple(images)
    lacking = len(numbers) - sum(number in numbers for number in numbered)
    if not lacking:
        return tuple(numbered[number] for number in numbers)
    if len(images) == rows:
        return tuple(images)
    missing = next(number for number in numbers if number not in numbered)
    name = re.sub(r"\d+(?=\D*$)", lambda digits: f"{missing:0{len(digits[0])}d}", images[0].stem)
    path, more = images[0].with_name(name + images[0].suffix), f" and {lacking - 1} more" if lacking > 1 else ""
    span = f"{numbers[0]} to {numbers[-1]}"
    raise InputError(f"{path}: expected frames {span}, found none of this name{more}")


def check_there(images: Sequence[Path], annotation: Path) -> None:
    """Raises `InputError` where one of the images that an annotation names is not there."""
    if lacking := next((image for image in images if not image.is_file()), None):
        raise InputError(f"{lacking}: expected an image, as {annotation.name} names it, found none")


def describe(folder: Path) -> str:
    """Content of a folder in words: `nothing`, or `the images and a.txt, img/ and 3 more entries`."""
    entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    others = sorted((path for path in entries if not is_image(path)), key=natural_key)
    names = [path.name + "/" * path.is_dir() for path in others[:LISTED]]
    if len(others) > LISTED:
        names.append(f"{len(others) - LISTED} more entries")
    if len(others) < len(entries):
        names.insert(0, "images")
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "nothing"
