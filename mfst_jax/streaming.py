"""`Tracker`: the state kept for you, behind the `init` / `update` contract of the got10k toolkit."""

from typing import Any

import numpy as np

from mfst_jax import tracker
from mfst_jax.checkpoints import load
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.fast import Compiled
from mfst_jax.params import Params


class Tracker:
    """A thin shell over `init` and `step`: one object, followed frame by frame.

    Attributes:
      name: what a toolkit's tables call it.
      is_deterministic: True: a toolkit needs to run it only once.
      state: the tracker's `State`; None before `init`.
      score: of the last box, in [0, 1]; it falls when the target is lost.
    """

    def __init__(self, params: Params | Compiled | None = None, config: Config | None = None, *, name: str = "MFST"):
        """Tracks with `params` (by default the built-in weights) under `config` (by default what they imply)."""
        self.name = name
        self.is_deterministic = True
        self.state: tracker.State | None = None
        self.score = 1.0
        self._params = load() if params is None else params
        self._config = config

    def init(self, image: Any, box: Any) -> None:
        """Takes the object in `box` as the target. Raises `InputError` as `mfst_jax.init` does.

        Args:
          image: [H, W, 3] uint8 RGB, or a Pillow image.
          box: (x, y, w, h), 0-indexed pixels.
        """
        self.state = tracker.init(self._params, _to_frame(image), np.asarray(box, np.float32), config=self._config)
        self.score = 1.0

    def update(self, image: Any) -> np.ndarray:
        """The target's box (x, y, w, h) in the next image, [4] float32. Raises `InputError` as `mfst_jax.step` does."""
        if self.state is None:
            raise InputError("Tracker.update: expected a call of init first, found none")
        self.state, output = tracker.step(self._params, self.state, _to_frame(image))
        self.score = float(output.score)
        return np.array(output.box)


def _to_frame(image: Any) -> np.ndarray:
    return np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)
