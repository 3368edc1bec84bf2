"""Several targets of one video in one pass: `MultiTracker`, and the states behind it.

Every frame is decoded, padded and handed to the device once. On CPUs one target after the other then takes the step
that a target alone takes: nothing more is compiled, and centre search saves what it saves; a batch takes longer there
(docs/targets.md). On accelerators the search regions of all targets go through the backbones as one batch, and each
number of targets is a compilation of its own.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float32

from mfst_jax import tracker, validation
from mfst_jax.arrays import AnyArray, AnyNumbers, to_device
from mfst_jax.compilation import jit
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.fast import AnyParams
from mfst_jax.padding import padded_size
from mfst_jax.state import Output, State
from mfst_jax.streaming import check_size, ready, to_padded
from mfst_jax.targets import Target, check_boxes, check_names, default_names


def in_a_batch(count: int, batch: bool | None = None) -> bool:
    """Whether `count` targets are one batch: as `batch` says, and where it is None not on CPUs. One alone never is."""
    return count > 1 and (jax.default_backend() != "cpu" if batch is None else batch)


def config_for(count: int, config: Config, *, batch: bool | None = None) -> Config:
    """Configuration for `count` targets: `config`, but in a batch without centre search.

    A batch computes the centre and the whole search for all of its targets, whichever each of them needs, so that
    centre search would cost time there and save none.
    """
    return dataclasses.replace(config, centre_search=0.0) if in_a_batch(count, batch) else config


class Start(NamedTuple):
    """First frame of a video, and the targets to follow from it on.

    Attributes:
      frame: The frame, padded, on the device.
      boxes: Boxes (x, y, w, h) of the targets, 0-indexed pixels, checked already.
      frame_size: Real part of every frame, [2] int32 (height, width).
      config: How to track, as `config_for` gives it.
    """

    frame: jax.Array
    boxes: Float32[np.ndarray, "targets 4"]
    frame_size: np.ndarray | jax.Array
    config: Config


class Tracks:
    """States of all targets of a video: one each, or a batch of them."""

    def __init__(self, params: AnyParams, start: Start, *, batch: bool | None = None):
        """Takes the objects in the boxes of `start` as the targets.

        Args:
          params: the weights, plain or prepared.
          start: the first frame and the targets in it.
          batch: whether they are a batch; by default as `in_a_batch` says.
        """
        self._params = params
        self._taken = 0
        self._batch: State | None = None
        self._each: list[State] = []
        frame, boxes, frame_size, config = start
        if in_a_batch(len(boxes), batch):
            self._batch = _init_each(params, frame, to_device(boxes), to_device(np.asarray(frame_size)), config)
        else:
            init = partial(tracker.init_before_step, params, frame, config=config, frame_size=frame_size)
            self._each = [init(box) for box in boxes]

    @property
    def states(self) -> tuple[State, ...]:
        """State of each target."""
        if self._batch is None:
            return tuple(self._each)
        return tuple(jax.tree.map(itemgetter(place), self._batch) for place in range(len(self._batch.scale)))

    @property
    def is_settled(self) -> bool:
        """Whether everything is compiled, so that steps to come take no longer than others."""
        return self._taken > 0

    @property
    def is_compiling(self) -> bool:
        """Whether the next step has to wait for the compiler."""
        return not self.is_settled

    def step(self, frame: jax.Array) -> list[Output]:
        """Outputs of the next frame, on the device: one for each target, or one with a leading axis for the batch."""
        self._taken += 1
        if self._batch is not None:
            self._batch, output = _step_each(self._params, self._batch, frame)
            return [output]
        stepped = [tracker.step(self._params, state, frame) for state in self._each]
        self._each = [state for state, _ in stepped]
        return [output for _, output in stepped]

    def fetch(
        self, outputs: Sequence[Output], *, responses: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Outputs of a step in NumPy: boxes [n, 4], scores [n], and the responses [n, 272, 272] if they are wanted."""
        wanted = [(output.box, output.score, output.response if responses else None) for output in outputs]
        box, score, response = zip(*jax.device_get(wanted), strict=True)
        maps = np.concatenate([each.reshape(-1, *each.shape[-2:]) for each in response]) if responses else None
        return np.concatenate([each.reshape(-1, 4) for each in box]), np.hstack(score), maps


class MultiTracker:
    """Tracker of several objects of one video, frame by frame in one pass: `Tracker` for n targets.

    Frames are padded (`mfst_jax.padding`), so that images of similar sizes share a compilation. On CPUs all numbers of
    targets share it too, with `Tracker`; each is then followed as by a `Tracker` of its own, to the last bit. Where
    targets are a batch, each number of them is a compilation of its own, and they are tracked with `centre_search` 0.

    Attributes:
      names: Names of the targets, in the order of all rows; empty before `init`.
      scores: Scores [n] float32 of the last boxes, in [0, 1]; a target's falls when it is lost.
    """

    def __init__(self, params: AnyParams | None = None, config: Config | None = None, *, batch: bool | None = None):
        """Tracks with `params` under `config`.

        Args:
          params: the weights, by default the built-in ones; prepared here (`mfst_jax.prepare`) if they are not yet.
          config: how to track, by default what the weights imply.
          batch: whether the targets go through the network as one batch; by default everywhere but on CPUs.

        Raises:
          InputError: a configuration that asks for what the weights lack, or what they were not prepared for.
        """
        self._params, self._config = ready(params, config)
        self.names: tuple[str, ...] = ()
        self.scores = np.empty(0, np.float32)
        self._batch = batch
        self._tracks: Tracks | None = None
        self._shape: tuple[int, ...] | None = None

    @property
    def states(self) -> tuple[State, ...]:
        """States of the targets; none before `init`."""
        return () if self._tracks is None else self._tracks.states

    def warmup(self, size: Sequence[int], count: int) -> None:
        """Compiles everything that `count` targets in images of `size` and similar ones need.

        Args:
          size: (height, width) or (height, width, 3) of the images, which are uint8.
          count: the number of targets.

        Raises:
          InputError: a size that no image has, or a number of targets that cannot be tracked.
        """
        size = check_size("size", size)
        check_names(default_names(count), what="count")
        frame = to_device(np.zeros((*padded_size(size), 3), np.uint8))
        boxes = np.tile(np.array([0, 0, size[1], size[0]], np.float32), (count, 1))
        tracks = self._begin(frame, boxes, size)
        jax.block_until_ready(tracks.step(frame))

    def init(self, image: AnyArray, boxes: AnyArray | Sequence[AnyNumbers], names: Sequence[str] | None = None) -> None:
        """Takes the objects in `boxes` as the targets, in the place of all before them.

        Args:
          image: [H, W, 3] RGB as `mfst_jax.init` takes it.
          boxes: [n, 4], (x, y, w, h) each, 0-indexed pixels.
          names: of each target; by default `1`, `2` and so on, and `target` for one alone.

        Raises:
          InputError: an image or a box that `mfst_jax.init` would refuse (it says whose box), more than `MOST_TARGETS`
            boxes or none, another number of names than of boxes, or names that `targets.check_names` refuses.
        """
        frame = validation.check_frame(image)
        rows = validation.check_boxes_shape(boxes)
        given, names = names, default_names(len(rows)) if names is None else tuple(names)
        if len(names) != len(rows) or isinstance(given, str):
            raise InputError(f"names: expected one for each of {len(rows)} boxes, found {given!r:.80}")
        check_names(names)
        height, width = map(int, frame.shape[:2])
        check_boxes([Target(name, tuple(row)) for name, row in zip(names, rows.tolist(), strict=True)], (height, width))
        self._tracks = self._begin(to_padded(frame), rows, (height, width))
        self._shape, self.names, self.scores = frame.shape, names, np.ones(len(rows), np.float32)

    def update(self, image: AnyArray) -> np.ndarray:
        """Boxes (x, y, w, h) of the targets in the next image, [n, 4] float32, in the order of `names`.

        Raises:
          InputError: an image that `mfst_jax.step` would refuse, or no call of `init` before.
        """
        if self._tracks is None:
            raise InputError("MultiTracker.update: expected a call of init first, found none")
        frame = validation.check_frame(image, expected=self._shape)
        boxes, self.scores, _ = self._tracks.fetch(self._tracks.step(to_padded(frame)))
        return boxes

    def _begin(self, frame: jax.Array, boxes: Float32[np.ndarray, "targets 4"], size: tuple[int, int]) -> Tracks:
        config = config_for(len(boxes), self._config, batch=self._batch)
        start = Start(frame, boxes, np.array(size, np.int32), config)
        return Tracks(self._params, start, batch=self._batch)


@jit
def _init_each(params: AnyParams, frame: Array, boxes: Array, frame_size: Array, config: Config) -> State:
    return jax.vmap(lambda box: tracker.init(params, frame, box, config=config, frame_size=frame_size))(boxes)


@jit
def _step_each(params: AnyParams, states: State, frame: Array) -> tuple[State, Output]:
    return jax.vmap(lambda state: tracker.step(params, state, frame))(states)
