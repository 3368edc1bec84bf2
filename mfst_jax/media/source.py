"""`Source`: frames of one size, one at a time, with what is known of them before they are read."""

import sys
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from jaxtyping import Float32

from mfst_jax.errors import InputError
from mfst_jax.media.decoding import Frame, Labelled


@dataclass(frozen=True, eq=False)
class Source:
    """Source of frames. `open_source` makes one.

    Attributes:
      name: What the source is called in messages and on pages.
      size: Height and width of every frame, in pixels.
      count: Number of frames: exact for images, what the header says for a video, None where it is not known.
      fps: Frames per second, averaged over the first ones; 25 for images that say nothing of time.
      ground_truth: True boxes (x, y, w, h) in 0-indexed pixels, row t for frame t, NaN where the target is absent or
        not annotated.
      read: Opens the source and yields its frames unchecked, each with its name. Callers use `frames` instead.
      notes: What is odd about its true boxes or the choice of its frames, a line each.
      lacks: Why it has no true boxes, where it might have had some.
      files: File of each frame of a folder or glob of images, by its path from the folder that all of them share.
      first: Number of the first frame that `frames` yields (`starting_at`); `count` and `ground_truth` are of all
        frames.
      read_from: Reads from the frame of a given number on, as `read` does; None where all frames before it have to be
        read anyway.
      live: Whether it is a webcam or a stream without an end, whose frames come as time passes and never again.
      timed: Whether its frames have times: those of videos, webcams and streams do.
    """

    name: str
    size: tuple[int, int]
    count: int | None
    fps: float
    ground_truth: Float32[np.ndarray, "rows 4"] | None = field(repr=False)
    read: Callable[[], Labelled] = field(repr=False)
    notes: tuple[str, ...] = ()
    lacks: str = ""
    files: tuple[str, ...] = field(default=(), repr=False)
    first: int = 0
    read_from: Callable[[int], Labelled] | None = field(default=None, repr=False)
    live: bool = False
    timed: bool = False

    @property
    def remaining(self) -> int | None:
        """Number of frames from number `first` on; None where it is not known."""
        return None if self.count is None or self.count <= self.first else self.count - self.first

    def starting_at(self, number: int) -> "Source":
        """Source without the frames before `number`; all numbers stay as they are.

        A number beyond the last frame shows only when frames are read, since headers may count wrongly.

        Raises:
          InputError: a number below 0, or any but 0 of a webcam.
        """
        if number < 0:
            raise InputError(f"source {self.name}: expected to start at a frame from 0 on, found {number}")
        if self.live and number:
            raise InputError(
                f"source {self.name}: expected to start at frame 0, as a webcam's or a stream's frames have no other "
                f"numbers, found {number}"
            )
        return replace(self, first=number)

    def frames(self) -> Generator[Frame, None, None]:
        """Frames from number `first` on, each read as it is asked for. Each call starts anew; `close()` ends one early.

        Raises:
          InputError: from the iterator: an image or a video that cannot be read, or that is cut short, after all frames
            before that point; a frame of another size than the first; no frame with the number `first`.
        """
        with closing(self.timed_frames()) as frames:
            for frame, _ in frames:
                yield frame

    def timed_frames(self) -> Generator[tuple[Frame, float | None], None, None]:
        """Frames as `frames` gives them, each with its time in seconds from the start; None where it has none.

        Raises:
          InputError: from the iterator, as `frames` does.
        """
        begin = self.read_from if self.first else None
        with closing(self.read() if begin is None else begin(self.first)) as labelled:
            found = self.first == 0
            for label, frame, *time in islice(labelled, min(self.first, sys.maxsize) if begin is None else 0, None):
                found = True
                if frame.shape[:2] != self.size:
                    (height, width), (found_height, found_width) = self.size, frame.shape[:2]
                    raise InputError(
                        f"{label}: expected {width}x{height} pixels like the first frame, "
                        f"found {found_width}x{found_height}"
                    )
                yield frame, time[0] if time else None
            if not found:
                raise InputError(f"source {self.name}: expected a frame {self.first}, found fewer frames")


def first_size(read: Callable[[], Labelled]) -> tuple[int, int]:
    """Height and width of the first frame, which is read for that. Raises `InputError` as reading does."""
    with closing(read()) as labelled:
        height, width, _ = next(labelled)[1].shape
    return height, width
