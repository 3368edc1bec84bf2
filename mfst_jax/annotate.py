"""Boxes out: drawn on frames, as an annotated video, a CSV table or a contact sheet.

A frame is uint8 RGB `[height, width, 3]`, a box `(x, y, w, h)` in 0-indexed pixels. Every file is written under a
temporary name beside its own and renamed when it is complete, so nobody ever finds half of one. The two writers keep
what they were given: leaving their `with` block finishes the file, by an exception too.
"""

import math
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, SupportsFloat, cast

import numpy as np
from jaxtyping import Array, Num, UInt8
from PIL import Image, ImageDraw, ImageFont

from mfst_jax.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from av.video.stream import VideoStream

Frame = UInt8[np.ndarray, "height width 3"]
Box = Sequence[float | int] | Num[np.ndarray, "4"] | Num[Array, "4"]

TRACKED = (255, 176, 0)
"""Colour of the tracked box."""
TRUE = (64, 196, 255)
"""Colour of the ground-truth box; as far from `TRACKED` for every kind of colour vision."""
DARK = (16, 16, 16)
BOX_HEADER = "frame,x,y,w,h,score"
GAP = 6
"""Pixels between the pictures of a contact sheet."""

H264 = {"crf": "20", "preset": "superfast"}
CODECS = {
    ".avi": ("libx264", H264 | {"bf": "0"}),  # AVI stores no presentation times, so frames must come in order
    ".mkv": ("libx264", H264),
    ".mov": ("libx264", H264),
    ".mp4": ("libx264", H264),
    ".webm": ("libvpx-vp9", {"crf": "32", "b": "0", "deadline": "realtime", "cpu-used": "8"}),
}
"""Encoder and its options, by the suffix of the file."""


def draw(
    frame: Frame,
    box: Box,
    *,
    score: SupportsFloat | None = None,
    number: int | None = None,
    truth: Box | None = None,
) -> Frame:
    """A copy of `frame` with the boxes on it.

    A box's line covers its outermost pixels and has a dark rim outside, so it shows on any background; it is about
    1/180 of the frame's shorter side wide. A box may lie partly or wholly outside the frame, and one with a NaN or an
    infinity is left out.

    Args:
      frame: the picture.
      box: the tracked box (x, y, w, h), in `TRACKED`.
      score: written above the tracked box, with two decimals.
      number: the frame's number, written into the top-left corner of the frame.
      truth: the true box, in `TRUE`, below the tracked one.
    """
    picture = frame.copy()
    shorter = min(picture.shape[:2])
    line = max(1, round(shorter / 180))
    font = ImageFont.load_default(max(10, round(shorter / 22)))
    if truth is not None:
        _draw_box(picture, truth, TRUE, line)
    corner = _draw_box(picture, box, TRACKED, line)
    if score is not None and corner is not None:
        _draw_label(picture, corner, f"{float(score):.2f}", font, ink=DARK, plate=TRACKED)
    if number is not None:
        _draw_label(picture, (0, 0), f"{number}", font, ink=(255, 255, 255), plate=DARK)
    return picture


def contact_sheet(frames: Sequence[tuple[int, Frame]], *, columns: int = 4, width: int = 1280) -> Image.Image:
    """The pictures row by row, each with its number in its corner, as one RGB image `width` pixels wide.

    Raises:
      InputError: no frames, fewer than one column, or a width that leaves no room for the pictures.
    """
    if not frames:
        raise InputError("contact sheet: expected at least one frame, found none")
    if columns < 1 or width < columns * (GAP + 16):
        raise InputError(f"contact sheet: expected room for columns of 16 pixels, found {columns} in {width} pixels")
    cell_width = (width - (columns - 1) * GAP) // columns
    cell_height = max(1, max(round(cell_width * frame.shape[0] / frame.shape[1]) for _, frame in frames))
    rows = -(-len(frames) // columns)
    sheet = Image.new("RGB", (width, rows * (cell_height + GAP) - GAP), "white")
    font = ImageFont.load_default(max(10, cell_height // 16))
    for place, (number, frame) in enumerate(frames):
        row, column = divmod(place, columns)
        height = max(1, round(cell_width * frame.shape[0] / frame.shape[1]))
        cell = np.array(Image.fromarray(frame).resize((cell_width, height), Image.Resampling.LANCZOS))
        _draw_label(cell, (0, 0), f"{number}", font, ink=(255, 255, 255), plate=DARK)
        sheet.paste(Image.fromarray(cell), (column * (cell_width + GAP), row * (cell_height + GAP)))
    return sheet


def save_image(image: Image.Image, path: str | Path) -> None:
    """Writes `image` to `path`, in the format of its suffix: .jpg, .png or .webp; a file that is there is replaced.

    Raises:
      InputError: another suffix, no such folder, or a folder that cannot be written to.
    """
    target = _Target("image", path, (".jpg", ".png", ".webp"))
    try:
        with target.reported(OSError):
            image.save(target.temporary)
            target.publish()
    finally:
        target.discard()


class VideoWriter:
    """Writes annotated frames as a video: H.264, or VP9 for `.webm`, in 8-bit 4:2:0.

    An odd height or width is padded by one row or column, a copy of the last; boxes stay where they are. Without any
    frame no file is made.

    >>> with VideoWriter("out.mp4", fps=25) as video:
    ...     video.write(frame)
    """

    def __init__(self, path: str | Path, fps: float | int):
        """Checks all that can be wrong before there is any work to lose.

        Raises:
          InputError: a suffix not in `CODECS`, no such folder, one that cannot be written to, or an unusable `fps`.
          MissingExtraError: without PyAV installed.
        """
        try:
            import av
        except ImportError:
            raise MissingExtraError("av", "video", "writing video files") from None
        if not 0.001 <= fps <= 10_000:
            raise InputError(f"video {path}: expected 0.001 to 10,000 frames per second, found {fps}")
        self._av = av
        self._target = _Target("video", path, tuple(CODECS))
        self._rate = Fraction(fps).limit_denominator(1001)  # 29.97... is 30000/1001
        self._shape: tuple[int, ...] | None = None

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: Frame) -> None:
        """Appends `frame`. Raises `InputError` if its size is not the first one's, or if it cannot be written."""
        height, width, _ = frame.shape
        if self._shape is None:
            self._open(height + height % 2, width + width % 2)
            self._shape = frame.shape
        if frame.shape != self._shape:
            expected = f"{self._shape[1]}x{self._shape[0]}"
            raise InputError(f"{self._target.what}: expected frames of {expected} pixels, found {width}x{height}")
        odd = height % 2, width % 2
        even = np.pad(frame, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else frame
        with self._target.reported(self._av.FFmpegError):
            self._container.mux(self._stream.encode(self._av.VideoFrame.from_ndarray(even, format="rgb24")))

    def __exit__(self, *_: object) -> None:
        try:
            if self._shape is not None:
                with self._target.reported(self._av.FFmpegError):
                    with self._container:
                        self._container.mux(self._stream.encode(None))
                    self._target.publish()
        finally:
            self._target.discard()

    def _open(self, height: int, width: int) -> None:
        codec, options = CODECS[self._target.temporary.suffix]
        with self._target.reported(self._av.FFmpegError):
            self._container = self._av.open(str(self._target.temporary), "w")
            try:
                stream = cast("VideoStream", self._container.add_stream(codec, rate=self._rate, options=options))
                stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
                stream.codec_context.open()
            except self._av.FFmpegError:
                self._container.close()
                raise
        self._stream = stream


def box_row(number: int, box: Box, score: SupportsFloat) -> str:
    """The line of a table under `BOX_HEADER`: a box (x, y, w, h) and its score, four decimals each; a NaN is `nan`."""
    numbers = [*np.asarray(box, np.float64).tolist(), float(score)]
    return ",".join([str(number), *(f"{value:.4f}" for value in numbers)])


class BoxWriter:
    """Writes boxes as CSV with the header `frame,x,y,w,h,score`; frames count from 0, pixels too.

    Each row reaches the (still hidden) file at once, so even a killed process leaves its rows behind. Without any row
    no file is made, and one that is there stays.

    >>> with BoxWriter("boxes.csv") as table:
    ...     table.write(0, box, 1.0)
    """

    def __init__(self, path: str | Path):
        """Raises `InputError` for no such folder, or one that cannot be written to."""
        self._target = _Target("boxes", path)

    def __enter__(self) -> "BoxWriter":
        with self._target.reported(OSError):
            self._file = self._target.temporary.open("w", encoding="utf-8", newline="")
        self._file.write(BOX_HEADER + "\n")
        self._empty = True
        return self

    def write(self, number: int, box: Box, score: SupportsFloat) -> None:
        """Appends the row of frame `number`."""
        with self._target.reported(OSError):
            self._file.write(box_row(number, box, score) + "\n")
            self._file.flush()
        self._empty = False

    def __exit__(self, *_: object) -> None:
        try:
            with self._target.reported(OSError):
                self._file.close()
        finally:
            if self._empty:
                self._target.discard()
            else:
                self._target.publish()


class _Target:
    """A file that is written under a temporary name in its folder and appears under its own when complete."""

    def __init__(self, kind: str, path: str | Path, suffixes: Sequence[str] = ()):
        path = Path(path)
        self.what = f"{kind} {path}"
        if suffixes and path.suffix.lower() not in suffixes:
            raise InputError(f"{self.what}: expected one of {' '.join(suffixes)}, found {path.suffix or path.name!r}")
        if not path.parent.is_dir():
            raise InputError(f"{self.what}: expected an existing folder to write in, found none at {path.parent}")
        if path.exists() and not path.is_file():
            raise InputError(f"{self.what}: expected the name of a file, found a folder or a device")
        if not os.access(path.parent, os.W_OK):
            raise InputError(f"{self.what}: expected a folder that can be written to, found {path.parent} read-only")
        self.temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix.lower()}")
        self._path = path

    def publish(self) -> None:
        self.temporary.replace(self._path)

    def discard(self) -> None:
        """Removes the temporary file, if it was not published."""
        self.temporary.unlink(missing_ok=True)

    @contextmanager
    def reported(self, kind: type[Exception]) -> Iterator[None]:
        """Turns a failure to write, such as a full disk, into an `InputError`."""
        try:
            yield
        except kind as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise InputError(f"{self.what}: expected to write it, found {reason}") from error


def _draw_box(picture: Frame, box: Box, colour: tuple[int, int, int], line: int) -> tuple[int, int] | None:
    """Draws the outline; returns its top-left pixel, or None where the box has no numbers to draw."""
    x, y, w, h = np.asarray(box, np.float64).tolist()
    if not all(map(math.isfinite, (x, y, w, h))):
        return None
    height, width, _ = picture.shape
    beyond = 4 * line  # sides further out are as invisible

    def pixel(value: float, limit: int) -> int:
        return round(min(max(value, -beyond), limit + beyond))

    left, top = pixel(x, width), pixel(y, height)
    right, bottom = max(left, pixel(x + w - 1, width)), max(top, pixel(y + h - 1, height))
    rim = max(1, line // 2)
    _draw_outline(picture, (left - rim, top - rim, right + rim, bottom + rim), DARK, rim)
    _draw_outline(picture, (left, top, right, bottom), colour, line)
    return left, top


def _draw_outline(picture: Frame, corners: tuple[int, int, int, int], colour: tuple[int, int, int], line: int) -> None:
    """Colours the outermost `line` pixels within the corners (left, top, right, bottom), all of them included."""
    left, top, right, bottom = corners

    def fill(left: int, top: int, right: int, bottom: int) -> None:
        picture[max(0, top) : max(0, bottom + 1), max(0, left) : max(0, right + 1)] = colour

    fill(left, top, right, min(bottom, top + line - 1))
    fill(left, max(top, bottom - line + 1), right, bottom)
    fill(left, top, min(right, left + line - 1), bottom)
    fill(max(left, right - line + 1), top, right, bottom)


def _draw_label(
    picture: Frame,
    corner: tuple[int, int],
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    *,
    ink: tuple[int, int, int],
    plate: tuple[int, int, int],
) -> None:
    """Writes `text` on a plate that stands on `corner`, moved as far as it takes to lie within the picture."""
    left, top, right, bottom = font.getbbox(text)
    margin = max(2, round(bottom - top) // 4)
    plate_width, plate_height = round(right - left) + 2 * margin, round(bottom - top) + 2 * margin
    label = Image.new("RGB", (plate_width, plate_height), plate)
    ImageDraw.Draw(label).text((margin - left, margin - top), text, font=font, fill=ink)
    height, width, _ = picture.shape
    x = max(0, min(corner[0], width - plate_width))
    y = max(0, min(corner[1] - plate_height, height - plate_height))
    room = picture[y : y + plate_height, x : x + plate_width]
    room[:] = np.asarray(label)[: room.shape[0], : room.shape[1]]
