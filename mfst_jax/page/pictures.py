"""Pictures and response maps of a page, small enough for hundreds of them to go into one file.

A page holds up to `FULL_PICTURES` pictures of `LARGEST_AREA` pixels, or up to `MOST_PICTURES` smaller ones, within
`BUDGET` characters; a `FrameEncoder` chooses size and quality for that. If they still do not fit, the writer leaves
some out.
"""

import base64
import io
import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from mfst_jax.media.decoding import Frame

BUDGET = 18_000_000
"""Number of characters that all pictures and maps of a page may take together."""
LARGEST_AREA = 640 * 360
"""Number of pixels of a picture, at most."""
FULL_PICTURES = 500
"""Number of pictures that may be of the largest area; where there are more, each is smaller."""
FEW_PICTURES = 350
"""Number of pictures below which each gets as much room as if there were so many, which is enough."""
MOST_PICTURES = 2000
"""Number of pictures in a page. Of longer videos it has every second frame, every fourth and so on."""
QUALITIES = (82, 74, 64, 52, 42, 32, 24)
"""JPEG qualities, from the best to the least."""
SLACK = 0.7
"""Share of its room below which a picture lets the next one try a better quality."""

MOST_MAPS = 8
"""Number of targets up to which a page has response maps: those of more would take the room of the pictures."""
MAP_SIDE = 34
"""Cells on a side of a response map in a page: each is the mean of 8 x 8 samples."""


class FrameEncoder:
    """Encoder of a video's frames as JPEGs of one size, each within its share of the budget if any quality allows."""

    def __init__(self, size: tuple[int, int], count: int | None, maps: int):
        """Chooses the size of the pictures.

        Args:
          size: height and width of the frames.
          count: how many frames there are, as far as is known.
          maps: response maps beside each picture.
        """
        pictures = min(FULL_PICTURES if count is None else count, MOST_PICTURES)
        area = LARGEST_AREA * min(1, FULL_PICTURES / max(pictures, 1))
        scale = min(1.0, math.sqrt(area / math.prod(size)))
        self.size = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        share = BUDGET / max(pictures, FEW_PICTURES)
        self._room = int(max(share - maps * len(encode_bytes(bytes(MAP_SIDE**2))), share / 4) * 3 / 4)
        self._rung = 0

    def encode(self, frame: Frame) -> bytes:
        """Frame as a JPEG. Its quality depends on the frames before it, so that the same frames give the same bytes."""
        image = Image.fromarray(frame)
        if frame.shape[:2] != self.size:
            image = image.resize(self.size[::-1], Image.Resampling.BICUBIC, reducing_gap=2.0)
        while len(data := _jpeg(image, QUALITIES[self._rung])) > self._room and self._rung < len(QUALITIES) - 1:
            self._rung += 1
        if len(data) < SLACK * self._room:
            self._rung = max(0, self._rung - 1)
        return data


def encode_map(response: Float[np.ndarray, "samples samples"]) -> bytes:
    """Response map as `MAP_SIDE` x `MAP_SIDE` bytes, row by row: 0 at its lowest, 255 at its highest cell.

    A map that is flat, or not finite, is all 0.
    """
    step = len(response) // MAP_SIDE
    cells = response.reshape(MAP_SIDE, step, MAP_SIDE, step).mean(axis=(1, 3))
    low, high = float(cells.min()), float(cells.max())
    if not high > low or not math.isfinite(high - low):
        return bytes(MAP_SIDE**2)
    levels: UInt8[np.ndarray, "side side"] = np.round((cells - low) * (255 / (high - low))).astype(np.uint8)
    return levels.tobytes()


def encode_bytes(data: bytes) -> str:
    """Bytes in Base64, as a page holds them."""
    return base64.b64encode(data).decode("ascii")


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
