"""Pillow images as frames: the one conversion, of images that a caller hands in and of those that are read from files.

It is a module of its own so that Pillow is imported by whoever has an image already.
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

ORIENTATION = 0x0112
"""EXIF's tag for how a picture lies."""
TO_8_BITS = ((np.arange(2**16, dtype=np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
"""Level of 8 bits for each level of 16 bits."""


def as_rgb(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """Picture that an image is set to, uint8 RGB, upright by its EXIF orientation.

    Grey becomes RGB, 16-bit grey is scaled to 8 bits (not clipped), CMYK and palettes are converted, alpha is dropped.

    Raises:
      ValueError: it has 32 bits per pixel and channel.
      Exception: anything at all, as Pillow's readers do of damaged files.
    """
    image.load()  # after which its mode may be another
    is_pgm = image.format == "PPM"  # of more than 8 bits it comes as mode I, scaled to 16 bits
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and is_pgm):
        return np.repeat(TO_8_BITS[np.asarray(image)][:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError("32 bits per pixel")
    # By way of RGBA, since a palette with several transparent colours does not convert to RGB.
    if image.mode != "RGB":
        image = (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")
    return np.array(image)
