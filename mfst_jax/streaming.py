"""`Tracker`, which keeps the state between frames and has the got10k toolkit's `init` and `update`; and `warmup`."""

from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import numpy as np

from mfst_jax import tracker, validation
from mfst_jax.arrays import AnyArray, AnyNumbers
from mfst_jax.checkpoints import load
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.fast import AnyParams, PreparedParams, as_prepared
from mfst_jax.network import bind
from mfst_jax.padding import pad, padded_size
from mfst_jax.params import resolve_config
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
          InputError: a configuration that asks for what the weights lack, or what they were not prepared for.
        """
        self.name = name
        self.is_deterministic = True
        self.state: State | None = None
        self.score = 1.0
        self._params, self._config = ready(params, config)
        self._shape: tuple[int, ...] | None = None

    def warmup(self, size: Sequence[int]) -> None:
        """Compiles everything that images of `size` and similar ones need, before any has to wait.

        Args:
          size: (height, width) or (height, width, 3) of the images, which are uint8: float32 ones are compiled for at
            their first call.

        Raises:
          InputError: a size that no image has.
        """
        warmup(self._params, padded_size(check_size("size", size)), config=self._config)

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

    That is for uint8 frames of one shape. What takes float32 frames is compiled at its first call, and so are programs
    of the caller's own, such as `jax.jit(mfst_jax.track)`.

    Args:
      params: the weights that will be used: prepared ones need another compilation than plain ones.
      frame_shape: (height, width) or (height, width, 3) of the frames to come, padding included.
      config: how to track; by default what the weights imply.

    Raises:
      InputError: a shape that no frame has; a configuration that asks for what the weights lack.
    """
    height, width = check_size("frame_shape", frame_shape)
    frame = np.zeros((height, width, 3), np.uint8)
    box = np.array([0, 0, width, height], np.float32)
    state = tracker.init_before_step(params, frame, box, config=config)
    jax.block_until_ready(tracker.step(params, state, frame))


def ready(params: AnyParams | None, config: Config | None) -> tuple[PreparedParams, Config]:
    """Prepared weights, by default the built-in ones, and the resolved configuration, which they can serve.

    Raises:
      InputError: a configuration that asks for what the weights lack, or what they were not prepared for.
    """
    given = load() if params is None else validation.check_params(params)
    config = resolve_config(given.contents, config)
    prepared = as_prepared(given, config)
    bind(prepared, config)  # which checks that they hold all that it uses
    return prepared, config


def check_size(name: str, size: Any) -> tuple[int, int]:
    """Height and width of frames, from (height, width) or the shape (height, width, 3); both are at least 1.

    Raises:
      InputError: anything else, under the name of the caller's argument.
    """
    try:
        found = tuple(map(index, size))
    except TypeError:
        found = ()
    if len(found) not in (2, 3) or found[2:] not in ((), (3,)) or min(found) < 1:
        raise InputError(f"{name}: expected whole numbers (height, width) of at least 1, found {size!r:.80}")
    return found[0], found[1]


def to_padded(frame: np.ndarray | jax.Array) -> jax.Array:
    """Padded copy of a frame, on JAX's device."""
    return jax.device_put(pad(np.asarray(jax.device_get(frame))))
