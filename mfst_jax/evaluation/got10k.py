"""Tracker for the got10k toolkit, which need not be installed: its experiments take it.

ExperimentOTB("OTB", version=2015).run(Tracker(origin=1))
ExperimentGOT10k("GOT-10k", subset="val").run(Tracker())
"""

import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float64

from mfst_jax import streaming
from mfst_jax.config import Config
from mfst_jax.media.images import read_image
from mfst_jax.params import Params


class Tracker(streaming.Tracker):
    """Tracker with what the toolkit expects of `got10k.trackers.Tracker`.

    That is `name`, `is_deterministic`, `init`, `update` and `track`.
    """

    def __init__(
        self, params: Params | None = None, config: Config | None = None, *, name: str = "MFST", origin: int = 0
    ):
        """Tracks with `params` under `config`.

        Args:
          params: the weights, by default the built-in ones.
          config: how to track, by default what the weights imply.
          name: the tracker's name in the toolkit's tables and folders.
          origin: the number of the first pixel in the boxes: the toolkit hands over OTB's as they are in its files,
            from 1.
        """
        super().__init__(params, config, name=name)
        self._shift = np.array([origin, origin, 0, 0], np.float32)

    def init(self, image: Any, box: Any) -> None:
        """Takes the object in `box` as the target. Raises `InputError` as `mfst_jax.init` does."""
        super().init(image, np.asarray(box, np.float32) - self._shift)
        jax.block_until_ready(self.state)

    def update(self, image: Any) -> np.ndarray:
        """Box (x, y, w, h) of the target in the next image. Raises `InputError` as `mfst_jax.step` does."""
        return super().update(image) + self._shift

    def track(
        self, img_files: Sequence[str | Path], box: Any, visualize: bool = False
    ) -> tuple[Float64[np.ndarray, "frames 4"], Float64[np.ndarray, " frames"]]:
        """Boxes and times of the object in `box` through image files, as the toolkit's own loop gives them.

        Args:
          img_files: the images, in order.
          box: (x, y, w, h) in the first one.
          visualize: whether the toolkit shows each image with its box.

        Returns:
          The box and the seconds of each image, from pixels to box.

        Raises:
          InputError: an image or the box is unusable.
        """
        boxes, seconds = np.zeros((len(img_files), 4)), np.zeros(len(img_files))
        boxes[:1] = box
        for number, path in enumerate(img_files):
            image = read_image(path)
            begin = time.perf_counter()
            if number == 0:
                self.init(image, box)
            else:
                boxes[number] = self.update(image)
            seconds[number] = time.perf_counter() - begin
            if visualize:
                import_module("got10k.utils.viz").show_frame(image, boxes[number])
        return boxes, seconds
