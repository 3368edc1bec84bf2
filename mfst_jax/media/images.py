"""Frames of image files, read by Pillow: a still, or every frame of a file that holds several."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from mfst_jax.errors import InputError, reason
from mfst_jax.media.decoding import LARGEST_FRAME, POSSIBLE_FPS, USUAL_FPS, Frame, Labelled
from mfst_jax.pillow_images import as_rgb
from mfst_jax.sequences.image_files import IMAGE_SUFFIXES, open_image

SEVERAL = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")
"""Pillow's names of the formats whose further pictures are further frames. In a JPEG they are views of the first."""
SHORTEST_MS, USUAL_MS = 10, 100
"""Milliseconds: a frame that asks for no more than the first is shown for the second, as browsers do."""
LARGEST_COPIED = LARGEST_FRAME // 2
"""Number of pixels of a frame at most where the decoder keeps copies: reading any picture takes 1 GiB at most."""
COPYING = ("JPEG2000", "WEBP")
"""Pillow's names of formats whose decoders keep copies. So do those of all where a frame is drawn onto the one before.
"""
COUNTED_PIXELS = 2**30
"""Number of pixels that are decoded at most to count the frames of a file."""
TAIL = 2**16
"""Bytes at the end of a file that are read at a time."""
SUBFILE_TYPE, REDUCED_OR_MASK = 254, 0b101
"""TIFF's tag for the kind of a page, and the bits in it that say that it is no picture of its own."""

Result = TypeVar("Result")


def is_image(path: Path) -> bool:
    """Whether a file is an image, by its suffix, or by its content if its format may have several frames."""
    try:
        with warnings.catch_warnings(action="ignore"), open_image(path, SEVERAL):
            return True
    except UnidentifiedImageError:
        damaged = False
    except Exception as error:
        damaged = getattr(error, "errno", None) is None  # with an errno it cannot be opened at all
    return damaged or path.suffix.lower() in IMAGE_SUFFIXES


def read_image(path: str | Path) -> Frame:
    """Picture in the file `path`, uint8 RGB, upright by its EXIF orientation.

    Grey becomes RGB, 16-bit grey is scaled to 8 bits (not clipped), CMYK and palettes are converted, alpha is dropped.

    Raises:
      InputError: a file that cannot be read, or that holds several frames.
    """
    what = f"image {path}"
    with _opened(what, path) as file:
        frames = _tried(what, lambda: _count(file))
        if frames > 1:
            raise InputError(f"{what}: expected one frame, found {frames}; a file of several is a source of its own")
        (frame,) = _tried(what, lambda: [_pixels(file) for _ in _pages(file)])
        return frame


def read_frames(path: Path) -> Labelled:
    """Frames of an image file, as `read_image` gives them, each with the words that name it in an error.

    Raises:
      InputError: from the iterator: a frame that cannot be read, or a file that is cut short, after the frames before.
    """
    what = f"image {path}"
    with _opened(what, path) as file:
        pages = _pages(file)
        several = _tried(what, lambda: _holds_several(file))
        for number in count():
            label = f"{what}, frame {number}" if several else what
            if _tried(label, lambda: next(pages, None)) is None:
                break
            yield label, _tried(label, lambda: _pixels(file))
        if file.format == "GIF" and not _ends_as_gif(path):
            raise InputError(f"{what}: expected more frames or an end mark, found {number}, then the end of the file")


def count_and_rate(path: Path) -> tuple[int | None, float]:
    """Number of frames in an image file, None where it is damaged or long, and their mean number per second."""
    milliseconds, damaged = [], False
    try:
        with warnings.catch_warnings(action="ignore"), open_image(path) as file:
            timed = file.format != "TIFF" and _holds_several(file)
            for number in _pages(file):
                _check_size(file)
                if number * file.width * file.height > COUNTED_PIXELS:
                    damaged = True  # or very long
                    break
                if timed:
                    file.load()
                shown = file.info.get("duration") or 0
                milliseconds.append(shown if shown > SHORTEST_MS else USUAL_MS)
    except Exception:  # which shows again when the frames are read
        timed, damaged = False, True
    rate = 1000 * len(milliseconds) / sum(milliseconds) if timed else USUAL_FPS
    return None if damaged else len(milliseconds), max(rate, POSSIBLE_FPS[0])


@contextmanager
def _opened(what: str, path: str | Path) -> Iterator[ImageFile]:
    """Image file, of which no pixel is decoded yet. Raises `InputError` where it cannot be opened, or is too large."""
    with ExitStack() as stack:
        file = _tried(what, lambda: stack.enter_context(open_image(path)))
        _tried(what, lambda: _check_size(file))
        yield file


def _check_size(file: ImageFile) -> None:
    """Raises `ValueError` where a file says that its pages have too many pixels."""
    copied = file.format in COPYING or (file.format != "TIFF" and _holds_several(file))
    largest = LARGEST_COPIED if copied else LARGEST_FRAME
    if file.width * file.height > largest:
        raise ValueError(f"{file.width}x{file.height} pixels, more than {largest}")


def _tried(what: str, call: Callable[[], Result]) -> Result:
    """Result of `call`, without Pillow's warnings of large images and odd data. Raises `InputError` where it fails."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return call()
    except Exception as error:  # a decoder of a damaged file may raise anything
        raise InputError(f"{what}: expected a readable image of 8 or 16 bits, found {reason(error)}") from None


def _holds_several(file: ImageFile) -> bool:
    return file.format in SEVERAL and getattr(file, "is_animated", False)


def _count(file: ImageFile) -> int:
    if file.format == "GIF":
        return getattr(file, "n_frames", 1)  # without decoding any
    return sum(1 for _ in _pages(file))


def _pages(file: ImageFile) -> Iterator[int]:
    """Numbers of the frames in a file, which is set to each of them in turn."""
    if not _holds_several(file):
        yield 0
        return
    found = False
    # An animated PNG may have a picture before its frames, for programs that show but one.
    for page in count(int(getattr(file, "default_image", False))):
        try:
            with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
                file.seek(page)  # a GIF's frame may make all of them larger
        except EOFError:
            break
        if file.format == "TIFF" and getattr(file, "tag_v2", {}).get(SUBFILE_TYPE, 0) & REDUCED_OR_MASK:
            continue
        found = True
        yield page
    if not found:
        raise ValueError("previews alone")


def _pixels(file: ImageFile) -> Frame:
    """Picture that the file is set to."""
    _check_size(file)  # of a page, which may be larger than the first
    return as_rgb(file)


def _ends_as_gif(path: Path) -> bool:
    """Whether a file ends by the mark of a GIF's end, but for padding, which is passed over block by block."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - TAIL)
            file.seek(start)
            if tail := file.read(end - start).rstrip(b"\0\r\n"):
                return tail.endswith(b";")
            end = start
    return False
