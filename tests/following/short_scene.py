"""A short video to follow an object in."""

from pathlib import Path

import numpy as np
from scenes import video

from mfst_jax.errors import InputError
from mfst_jax.media.decoding import Labelled
from mfst_jax.media.source import Source

FRAMES = 12


def scene(fail_at: int | None = None, size: tuple[int, int] = (120, 160)) -> tuple[Source, np.ndarray]:
    """A source of moving texture, and its true boxes; the frame `fail_at` cannot be read."""
    frames, truth = video(50, frames=FRAMES, size=size)

    def read() -> Labelled:
        for number, frame in enumerate(frames):
            if number == fail_at:
                raise InputError(f"frame {number}: expected an image, found none")
            yield f"frame {number}", frame

    return Source("scene", size, FRAMES, 25.0, truth, read), truth


def numbers(table: Path) -> list[int]:
    """Of the frames in a table of boxes."""
    return [int(line.split(",")[0]) for line in table.read_text().splitlines()[1:]]
