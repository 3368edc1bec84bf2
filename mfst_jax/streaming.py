"""`Tracker`, which keeps the state between frames and has the got10k toolkit's `init` and `update`; and `warmup`."""

from collections.abc import Sequence

import jax
import numpy as np

from mfst_jax import tracker, validation
from mfst_jax.arrays import AnyArray, AnyNumbers
from mfst_jax.checkpoints import load
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.fast import AnyParams, as_prepared
from mfst_jax.padding import pad, padded_size
from mfst_jax.state import State


class Tracker:
    """Tracker of one object, frame by frame: a thin wrapper of `init` and `step` that keeps the state.

    Frames are padded (`mfst_jax.padding`), so that images of similar sizes share a compilation.

    Attributes:
      name: Name in a toolkit's tables.
      is_deterministic: True: a toolkit needs to run it only once.
      state: State of the track; None before `init`.
      score: Score of the last box, in [0, 1]; it falls when the target is lost.
    """

    def __init__(self, params: AnyParams | None = None, config: Config | None = None, *, name: str = "MFST"):
        """Tracks with `params` under `config`.

        Args:
          params: the weights, by default the built-in ones; prepared here (`mfst_jax.prepare`) if they are not yet.
          config: how to track, by default what the weights imply.
          name: what a toolkit's tables call it.

        Raises:
          InputError: a configuration that asks for what the weights lack.
        """
        self.name = name
        self.is_deterministic = True
        self.state: State | None = None
        self.score = 1.0
        self._params = as_prepared(load() if params is None else validation.check_params(params), config)
        self._config = config
        self._shape: tuple[int, ...] | None = None

    def warmup(self, size: tuple[int, int]) -> None:
        """Compiles everything that images of `size` (height, width) and similar ones need, before any has to wait."""
        warmup(self._params, padded_size(size), config=self._config)

    def init(self, image: AnyArray, box: AnyNumbers) -> None:
        """Takes the object in `box` as the target. Raises `InputError` as `mfst_jax.init` does.

        Args:
          image: [H, W, 3] RGB as `mfst_jax.init` takes it.
          box: (x, y, w, h), 0-indexed pixels.
        """
        frame = validation.check_frame(image)
        size = np.array(frame.shape[:2], np.int32)
        padded = to_padded(frame)
        self.state = tracker.init_before_step(self._params, padded, box, config=self._config, frame_size=size)
        self._shape = frame.shape
        self.score = 1.0

    def update(self, image: AnyArray) -> np.ndarray:
        """Box (x, y, w, h) of the target in the next image, [4] float32.

        Raises:
          InputError: as `mfst_jax.step` does.
        """
        if self.state is None:
            raise InputError("Tracker.update: expected a call of init first, found none")
        frame = validation.check_frame(image, expected=self._shape)
        self.state, output = tracker.step(self._params, self.state, to_padded(frame))
        self.score = float(output.score)
        return np.array(output.box)


def warmup(params: AnyParams, frame_shape: Sequence[int], *, config: Config | None = None) -> None:
    """Compiles `init` and `step`, so that a video's first frames cost no more than the others.

    Args:
      params: the weights that will be used: prepared ones need another compilation than plain ones.
      frame_shape: (height, width) or (height, width, 3) of the frames to come, padding included.
      config: how to track; by default what the weights imply.

    Raises:
      InputError: a shape that no frame has; a configuration that asks for what the weights lack.
    """
    shape = tuple(frame_shape) if len(frame_shape) == 3 else (*frame_shape, 3)
    if len(shape) != 3 or shape[2] != 3 or not all(side >= 1 for side in shape):
        raise InputError(f"frame_shape: expected (height, width) of at least 1, found {tuple(frame_shape)}")
    frame = np.zeros(shape, np.uint8)
    box = np.array([0, 0, shape[1], shape[0]], np.float32)
    state = tracker.init_before_step(params, frame, box, config=config)
    jax.block_until_ready(tracker.step(params, state, frame))


def to_padded(frame: np.ndarray | jax.Array) -> jax.Array:
    """Padded copy of a frame, on JAX's device."""
    return jax.device_put(pad(np.asarray(jax.device_get(frame))))
