"""Output files: an annotated video, a picture, and `AtomicFile`, which all writers use.

A frame is uint8 RGB `[height, width, 3]`. Every file is written beside its place and put there when it is complete
(`whole_files`), so nobody ever finds half of one. `VideoWriter` keeps what it was given: leaving its `with` block
finishes the file, by an exception too.
"""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from mfst_jax import whole_files
from mfst_jax.arrays import AnyArray
from mfst_jax.errors import InputError, reason
from mfst_jax.media.decoding import POSSIBLE_FPS, import_av
from mfst_jax.validation import check_picture

if TYPE_CHECKING:
    from av.video.stream import VideoStream

H264 = {"crf": "20", "preset": "superfast", "tune": "zerolatency"}
"""Options of the H.264 encoder. Without lookahead it takes a fifth less to compute, for files that are a sixth larger
at the same quality."""
CODECS = {
    ".avi": ("libx264", H264 | {"bf": "0"}),  # AVI stores no presentation times, so frames must come in order
    ".mkv": ("libx264", H264),
    ".mov": ("libx264", H264),
    ".mp4": ("libx264", H264),
    ".webm": ("libvpx-vp9", {"crf": "32", "b": "0", "deadline": "realtime", "cpu-used": "8"}),
}
"""Encoder and its options, by the suffix of the file."""


def save_image(image: Image.Image, path: str | Path) -> None:
    """Writes `image` to `path`, in the format of its suffix: .jpg, .png or .webp; a file that is there is replaced.

    Raises:
      InputError: another suffix, no such folder, a folder that cannot be written to, or an image that the format cannot
        hold, such as one of more than 16,383 pixels in width as .webp.
    """
    target = AtomicFile("image", path, (".jpg", ".png", ".webp"))
    try:
        target.begin()
        with target.reported(OSError, ValueError):
            image.save(target.temporary)
            target.publish()
    finally:
        target.discard()


class VideoWriter:
    """Writer of annotated frames as a video: H.264, or VP9 for `.webm`, in 8-bit 4:2:0.

    An odd height or width is padded by one row or column, a copy of the last; boxes stay where they are. Without any
    frame no file is made.

    >>> with VideoWriter("out.mp4", fps=25) as video:
    ...     video.write(frame)
    """

    def __init__(self, path: str | Path, fps: float | int):
        """Checks all that can be wrong before there is any work to lose.

        Args:
          path: the file.
          fps: frames per second.

        Raises:
          InputError: a suffix not in `CODECS`, no such folder, one that cannot be written to, an unusable `fps`, or an
            FFmpeg without the encoder for the suffix.
          MissingExtraError: without PyAV installed.
        """
        av = import_av("writing video files")
        slowest, fastest = POSSIBLE_FPS
        if not slowest <= fps <= fastest:
            raise InputError(f"video {path}: expected {slowest} to {fastest:,} frames per second, found {fps}")
        self._av = av
        self._target = AtomicFile("video", path, tuple(CODECS))
        suffix = Path(path).suffix.lower()
        self._codec, self._options = CODECS[suffix]
        try:
            av.Codec(self._codec, "w")
        except ValueError:
            expected = f"an FFmpeg with the encoder {self._codec}, which writes {suffix}"
            raise InputError(f"{self._target.what}: expected {expected}, found PyAV's without it") from None
        self._rate = Fraction(fps).limit_denominator(1001)  # 29.97... is 30000/1001
        self._shape: tuple[int, ...] | None = None
        self._failed = self._entered = False

    def __enter__(self) -> "VideoWriter":
        self._target.begin()
        self._entered = True
        return self

    def write(self, frame: AnyArray) -> None:
        """Appends a frame.

        Args:
          frame: uint8 RGB [height, width, 3].

        Raises:
          InputError: it is none, its size is not the first one's, it cannot be written, or there is no `with` block.
        """
        if not self._entered:
            raise InputError(f"{self._target.what}: expected a `with` block around what is written, found none")
        frame = check_picture(f"{self._target.what}, frame", frame)
        height, width, _ = frame.shape
        if self._shape is None:
            self._open(height + height % 2, width + width % 2)
            self._shape = frame.shape
        if frame.shape != self._shape:
            expected = f"{self._shape[1]}x{self._shape[0]}"
            raise InputError(f"{self._target.what}: expected frames of {expected} pixels, found {width}x{height}")
        odd = height % 2, width % 2
        even = np.pad(frame, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else frame
        self._failed = True  # unless the end of this block is reached
        with self._target.reported(self._av.FFmpegError):
            picture = self._av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(even), format="rgb24")
            # One thread: with more, swscale takes half as much time again on the cores that the tracker needs.
            self._container.mux(self._stream.encode(picture.reformat(format="yuv420p", threads=1)))
        self._failed = False

    def __exit__(self, *_: object) -> None:
        try:
            if self._failed:  # for want of room, as a rule; what is there cannot be relied on
                with suppress(self._av.FFmpegError):
                    self._container.close()
            elif self._shape is not None:
                with self._target.reported(self._av.FFmpegError), self._container:
                    self._container.mux(self._stream.encode(None))
                with self._target.reported(OSError):
                    self._target.publish()
        finally:
            self._target.discard()

    def _open(self, height: int, width: int) -> None:
        with self._target.reported(self._av.FFmpegError):
            self._container = self._av.open(
                str(self._target.temporary.absolute()), "w"
            )  # or a colon is taken for an address's
            try:
                added = self._container.add_stream(self._codec, rate=self._rate, options=self._options)
                stream = cast("VideoStream", added)
                stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
                stream.codec_context.open()
            except BaseException:
                self._container.close()
                raise
        self._stream = stream


class AtomicFile:
    """File that is written beside its place and gets its name when it is complete.

    Args:
      kind: what it is called in messages.
      path: where it will be.
      suffixes: those that its name may have; any where there are none.

    Raises:
      InputError: another suffix, no such folder, or a folder that cannot be written to.
    """

    def __init__(self, kind: str, path: str | Path, suffixes: Sequence[str] = ()):
        path = Path(path)
        self.what = f"{kind} {path}"
        if suffixes and path.suffix.lower() not in suffixes:
            raise InputError(f"{self.what}: expected one of {' '.join(suffixes)}, found {path.suffix or path.name!r}")
        if not path.parent.is_dir():
            raise InputError(f"{self.what}: expected an existing folder to write in, found none at {path.parent}")
        if path.name == "-" or (path.exists() and not path.is_file()):
            found = "the sign for a pipe" if path.name == "-" else "a folder or a device"
            raise InputError(f"{self.what}: expected the name of a file, found {found}")
        if not os.access(path.parent, os.W_OK):
            raise InputError(f"{self.what}: expected a folder that can be written to, found {path.parent} read-only")
        self._path, self._open = path, ExitStack()
        self._folder: Path | None = None

    def begin(self) -> None:
        """Takes the place of the temporary file, until `discard`. A second call does nothing.

        Raises:
          InputError: another process writes this file, or nothing can be written there.
        """
        if self._folder is None:
            with self.reported(OSError):
                self._folder = self._open.enter_context(whole_files.working_folder(self._path))

    @property
    def temporary(self) -> Path:
        """Path to write to. The first call begins."""
        self.begin()
        assert self._folder is not None
        return self._folder / f"new{self._path.suffix.lower()}"

    @contextmanager
    def opening(self) -> Iterator[io.FileIO]:
        """Temporary file, whose beginning is written in the block. It stays open; where that fails it is discarded.

        It is not buffered, so that it is known what is on disk, also where the disk is full.
        """
        try:
            with self.reported(OSError):
                file = cast(io.FileIO, self.temporary.open("w+b", buffering=0))
                try:
                    yield file
                except BaseException:
                    file.close()
                    raise
        except BaseException:
            self.discard()
            raise

    def publish(self) -> None:
        """Puts the temporary file in its place, where it replaces another one."""
        whole_files.put(self.temporary, self._path)

    def discard(self) -> None:
        """Removes the temporary file, if it was not published, and lets others write this one."""
        self._open.close()
        self._folder = None

    @contextmanager
    def reported(self, *kinds: type[Exception]) -> Iterator[None]:
        """Turns a failure to write within the block, such as a full disk, into an `InputError`."""
        try:
            yield
        except kinds as error:
            raise InputError(f"{self.what}: expected to write it, found {reason(error)}") from error


def write_all(file: io.FileIO, data: bytes) -> None:
    """Writes all bytes to an unbuffered file, which may take fewer at a time."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
