"""Frames of a source as JPEGs: any one by its number, or those of a webcam as they come, until one is frozen."""

import io
import threading
from collections import OrderedDict
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.media.decoding import Frame, Labelled
from mfst_jax.media.source import Source

KEPT = 24
"""Number of encoded frames that are kept, to go back and forth."""
AHEAD = 16
"""Number of frames up to which a later frame is reached by reading on; one further away is sought."""
QUALITY = 90
CLOSING = 1.0
"""Seconds that a frame which is being read may take to come when nobody is shown any more."""
Timed = tuple[Frame, float | None]
"""Frame and its time in seconds."""
PATIENCE = 20
"""Seconds that a webcam may take for a frame."""


def encode(frame: Frame) -> bytes:
    """Frame as a JPEG of the same size."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


class StoredFrames:
    """Frames of a source that can be read again, by number. Safe to use from several threads.

    Args:
      source: the frames.
    """

    def __init__(self, source: Source):
        self.source = source
        self._lock, self._kept = threading.Lock(), OrderedDict[int, bytes]()
        self._reading: Generator[Frame, None, None] | None = None
        self._next = 0

    def jpeg(self, number: int) -> bytes:
        """Frame `number` as a JPEG. Raises `InputError` where there is none, or it cannot be read."""
        with self._lock:
            if number not in self._kept:
                self._kept[number] = encode(self._read(number))
            self._kept.move_to_end(number)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[number]

    def freeze(self, frozen: bool) -> None:
        """Does nothing: stored frames stand still."""

    def source_from(self, number: int) -> Source:
        """Source from frame `number` on."""
        return self.source.starting_at(number)

    def _read(self, number: int) -> Frame:
        if self._reading is None or not self._next <= number < self._next + AHEAD:
            self._close()
            self._reading, self._next = self.source.starting_at(number).frames(), number
        try:
            for frame in self._reading:
                self._next += 1
                if self._next > number:
                    return frame
        except BaseException:
            self._close()
            raise
        self._close()
        raise InputError(f"source {self.source.name}: expected a frame {number}, found fewer frames")

    def _close(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def __enter__(self) -> "StoredFrames":
        return self

    def __exit__(self, *exception: object) -> None:
        # A frame far into a video without an index may take minutes; whoever asked for it has gone.
        if self._lock.acquire(timeout=CLOSING):
            try:
                self._close()
            finally:
                self._lock.release()


class LiveFrames:
    """Latest frame of a webcam, read on a thread so that none gets old, until tracking takes the stream over.

    Args:
      source: the webcam.
    """

    def __init__(self, source: Source):
        self.source, self._stream = source, source.timed_frames()
        self._latest: Timed | None = None
        self._frozen: Timed | None = None
        self._problem: InputError | None = None
        self._changed, self._ending, self._handed_over = threading.Condition(), threading.Event(), False
        self._thread = threading.Thread(target=self._read, daemon=True)

    def jpeg(self, number: int) -> bytes:
        """Frozen frame, or else the latest one, as a JPEG, whatever the number.

        Raises:
          InputError: the stream ended.
        """
        with self._changed:
            frame = self._await_latest() if self._frozen is None else self._frozen
        return encode(frame[0])

    def freeze(self, frozen: bool) -> None:
        """Freezes the latest frame to draw in, or goes back to live frames.

        Raises:
          InputError: there is none to freeze, as the stream ended or gives none.
        """
        with self._changed:
            self._frozen = self._await_latest() if frozen else None

    def source_from(self, number: int) -> Source:
        """Source of the frozen frame and those that come from now on. It can be read once.

        Raises:
          InputError: the stream has ended, or gives no frame any more.
        """
        self._stop()
        with self._changed:
            frozen = self._latest if self._frozen is None else self._frozen
        if self._problem is not None:
            raise self._problem
        if frozen is None or self._thread.is_alive():
            raise InputError(f"{self.source.name}: expected a frame within {PATIENCE} s, found none")
        self._handed_over = True

        def read() -> Labelled:
            with closing(self._stream):
                yield f"{self.source.name}, frame 0", *frozen
                for count, timed in enumerate(self._stream, start=1):
                    yield f"{self.source.name}, frame {count}", *timed

        return replace(self.source, read=read)

    def _await_latest(self) -> Timed:
        """Latest frame, as soon as there is one. The lock is held by the caller."""
        self._changed.wait_for(lambda: self._latest is not None or self._problem is not None, PATIENCE)
        if self._problem is not None:
            raise self._problem
        if self._latest is None:
            raise InputError(f"{self.source.name}: expected a frame within {PATIENCE} s, found none")
        return self._latest

    def _read(self) -> None:
        try:
            for frame in self._stream:
                with self._changed:
                    self._latest = frame
                    self._changed.notify_all()
                if self._ending.is_set():
                    return
            raise InputError(f"{self.source.name}: expected it to go on, found its end")
        except InputError as error:
            with self._changed:
                self._problem = error
                self._changed.notify_all()

    def _stop(self) -> None:
        self._ending.set()
        self._thread.join(PATIENCE)

    def __enter__(self) -> "LiveFrames":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()
        if not self._handed_over and not self._thread.is_alive():
            self._stream.close()


Frames = StoredFrames | LiveFrames
"""Frames that the server shows."""


def open_frames(source: Source) -> Frames:
    """Frames of a source, stored or of a webcam."""
    return LiveFrames(source) if source.live else StoredFrames(source)
