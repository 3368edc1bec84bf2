"""Media: frames in, from videos, images and webcams; videos and pictures out, with boxes drawn on them.

>>> from mfst_jax.media import open_source
>>> for frame in open_source("video.mp4").frames():
...     print(frame.shape)
"""

from mfst_jax.media.decoding import Frame
from mfst_jax.media.drawing import Mark, contact_sheet, draw, draw_targets
from mfst_jax.media.images import read_image
from mfst_jax.media.sources import Source, demo_source, open_source
from mfst_jax.media.writers import VideoWriter, save_image

__all__ = [
    "Frame",
    "Mark",
    "Source",
    "VideoWriter",
    "contact_sheet",
    "demo_source",
    "draw",
    "draw_targets",
    "open_source",
    "read_image",
    "save_image",
]
