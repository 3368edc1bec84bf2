"""Media: frames in, from videos, images and webcams; videos and pictures out, with boxes drawn on them.

>>> from mfst_jax.media import open_source
>>> for frame in open_source("video.mp4").frames():
...     print(frame.shape)
"""

from mfst_jax.media.drawing import draw
from mfst_jax.media.images import read_image
from mfst_jax.media.source import Source
from mfst_jax.media.sources import demo_source, open_source
from mfst_jax.media.writers import VideoWriter, save_image

__all__ = ["Source", "VideoWriter", "demo_source", "draw", "open_source", "read_image", "save_image"]
