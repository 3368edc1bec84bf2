"""A clip whose end leads to its beginning, drawn and encoded here: what `long_run.py` follows."""

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from mfst_jax.media.decoding import Frame
from mfst_jax.media.source import Source
from mfst_jax.media.writers import VideoWriter

SIZE = 240, 320
"""Height and width of the clip."""
LOOP = 240
"""Number of frames of the clip, by default."""
TARGET = 40, 32
"""Width and height of the target in the first frame."""
BAR = slice(228, 244)
"""Columns of the bar that the target passes behind."""
BLACK = 0.75, 0.77
"""Stretch of the clip, as shares of its length, in which there is nothing to be seen."""


def texture(rng: np.random.Generator, height: int, width: int, grain: int) -> np.ndarray:
    """Smooth random colours [height, width, 3] uint8, with detail at about `grain` pixels."""
    coarse = rng.integers(0, 256, (height // grain + 2, width // grain + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def clip(loop: int = LOOP) -> Iterator[tuple[np.ndarray, tuple[int, int, int, int]]]:
    """Frames of a clip of `loop` frames, each with its true box. The first follows on the last as any on another."""
    rng = np.random.default_rng(20)
    background, patch = texture(rng, *SIZE, grain=12), texture(rng, *TARGET[::-1], grain=6)
    bar = texture(rng, SIZE[0], BAR.stop - BAR.start, grain=4)
    for number in range(loop):
        turn = 2 * math.pi * number / loop
        angle = turn - 0.8 * math.sin(turn)  # slow at first, then fast
        growth = 1.2 ** math.sin(turn)
        width, height = (round(side * growth) for side in TARGET)
        x, y = round(140 + 80 * math.cos(angle) - width / 2), round(120 + 60 * math.sin(angle) - height / 2)
        frame = background.copy()
        resized = Image.fromarray(patch).resize((width, height), Image.Resampling.BICUBIC)
        frame[y : y + height, x : x + width] = np.asarray(resized)
        frame[:, BAR] = bar
        yield (np.zeros_like(frame) if BLACK[0] <= number / loop < BLACK[1] else frame), (x, y, width, height)


def write_clip(path: Path, loop: int = LOOP) -> tuple[int, int, int, int]:
    """Writes the clip as a video, and returns the true box of its first frame."""
    boxes = []
    with VideoWriter(path, 25) as video:
        for frame, box in clip(loop):
            video.write(frame)
            boxes.append(box)
    return boxes[0]


def looping(source: Source, count: int) -> Iterator[Frame]:
    """First `count` frames of a source that begins anew wherever it ends."""
    while count > 0:
        with closing(source.frames()) as frames:
            for frame in frames:
                yield frame
                count -= 1
                if count == 0:
                    return
