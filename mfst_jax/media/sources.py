"""Frames from a video, images, an annotated sequence, a webcam or an address, as one streamed `Source`.

A frame is uint8 RGB `[height, width, 3]`, and every source yields frames of one size, one at a time: only the current
frame is in memory. All bad input raises `InputError`.
"""

import re
from importlib import resources
from itertools import chain
from pathlib import Path

import numpy as np

from mfst_jax.errors import InputError, reason
from mfst_jax.media.image_sources import images_of, open_folder, open_image_file, open_images, open_named
from mfst_jax.media.images import is_image
from mfst_jax.media.source import Source
from mfst_jax.media.streams import PATIENCE, is_address, is_stream
from mfst_jax.media.video_sources import open_stream, open_video, open_webcam

GLOB = re.compile(r"[*?\[]")


def open_source(source: str | Path, *, patience: float | int = PATIENCE) -> Source:
    """Source of the frames that a path, a glob, a webcam's number or an address stands for.

    The first frame is read here, so that an unreadable source fails early.

    Args:
      source: a video file; an image, of which all frames are read if it is an animated GIF, WebP, PNG or AVIF or a TIFF
        of several pages; a folder of images in natural order (img2 before img10), or of a sequence in any of the
        layouts that `mfst_jax.sequences` reads; `FOLDER#NAME` for one of several sequences in a folder; a glob of
        images such as `frames/*.png`; the number of a webcam; or the address of a video or a camera, by HTTP, HTTPS,
        RTSP or RTSPS. A path that exists goes before the last four; within a glob too, what exists as it is written is
        a name.
      patience: seconds that an address may take to answer, and for each frame.

    Raises:
      InputError: nothing there, no image or video in it, a first frame or ground truth that cannot be read; a pipe,
        since a source is read more than once; an address that does not answer, or leads to a playlist.
      MissingExtraError: a video or a webcam without PyAV installed.
    """
    text, path = str(source), Path(source)
    try:
        if text and path.is_dir():
            return open_folder(path)
        if text and path.is_file():
            return open_image_file(path) if is_image(path) else open_video(path)
        exists = bool(text) and (path.exists() or path.is_symlink())
    except OSError as error:
        raise InputError(f"source {text}: expected a path that can be read, found {reason(error)}") from None
    folder, mark, name = text.rpartition("#")
    if not exists and mark and folder and Path(folder).is_dir():
        return open_named(Path(folder), name)
    webcam = re.fullmatch("(/dev/video)?([0-9]+)", text)
    if webcam and (webcam[1] or not exists):
        return open_webcam(int(webcam[2]))
    if not exists and is_stream(text):
        return open_stream(text, patience)
    if not exists and GLOB.search(text) and not is_address(text):
        try:
            entries = matching(path)
        except (OSError, ValueError) as error:
            raise InputError(f"glob {text}: expected a pattern of file names, found {reason(error)}") from None
        if entries:
            return open_images(text, images_of(f"glob {text}", entries))
    raise InputError(
        f"source {text!r}: expected a video, an image, a folder or glob of images, a webcam's number, or an address "
        f"by http or rtsp, found {_unusable(text, path)}"
    )


def demo_source() -> Source:
    """Built-in clip, 150 frames of 640 x 360, with its ground truth (`assets/README.md`)."""
    folder = Path(str(resources.files("mfst_jax") / "assets"))
    table = np.loadtxt(folder / "demo.csv", np.float32, delimiter=",", skiprows=1, ndmin=2)
    return open_video(folder / "demo.mp4", table[:, 1:])


def _unusable(text: str, path: Path) -> str:
    """Description of what `text` names: neither a file, a folder, a webcam nor a pattern of names that exist."""
    if not text:
        return "an empty text"
    if is_address(text):
        return "an address: " + (
            "give the path alone" if text.startswith("file:") else "save what it leads to as a file first"
        )
    if text == "-" or path.is_fifo() or path.is_socket():
        return "a pipe, which cannot be read twice: save what it brings as a file first"
    if path.is_symlink() and not path.exists():
        return f"a link to {path.readlink()}, which does not exist"
    if path.exists():
        return "a device"
    if re.search("%0?[0-9]*d", text):
        return "no such file; numbers that count are written as a *"
    return "no such file" + (", nor any that matches it as a pattern" if GLOB.search(text) else "")


def matching(pattern: Path) -> list[Path]:
    """Paths that match a glob. A part of it that exists as it is written is a name, whatever its brackets say."""
    found = [Path(pattern.anchor)]
    for part in pattern.relative_to(pattern.anchor).parts:
        steps = ([path / part] if (path / part).exists() else path.glob(part) for path in found)
        found = list(dict.fromkeys(chain.from_iterable(steps)))
    return found
