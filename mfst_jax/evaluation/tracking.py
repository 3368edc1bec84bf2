"""Tracking of sequences from disk: one after the other, or several at a time as a batch on all devices.

Frames are padded (`mfst_jax.padding`), so that videos of similar sizes share a compilation and can be in one batch.
Each sequence has the slot of the batch that the whole list of sequences gives it, whatever else runs, so that a run
that is resumed repeats the arithmetic of one that is not.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mfst_jax import tracker, validation
from mfst_jax.compilation import jit
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.fast import AnyParams
from mfst_jax.media.decoding import USUAL_FPS, Frame, Labelled
from mfst_jax.media.images import read_image
from mfst_jax.media.source import Source
from mfst_jax.padding import padded_size
from mfst_jax.sequences import Sequence
from mfst_jax.state import State

SLOTS = PartitionSpec("slot")
"""Sharding of a batch: its first axis is split over the devices."""
_IDLE_BOX = (0.0, 0.0, 32.0, 32.0)
"""Box of a slot without a sequence, whose frames are black."""


@dataclass(eq=False)
class SequenceTrack:
    """Track of one sequence.

    Attributes:
      sequence: The sequence.
      boxes: (x, y, w, h) of each frame in 0-indexed pixels, the first being the given one.
      seconds: Seconds of each frame from pixels to box, without the compiler; in a batch, its share.
      problem: What ended it early; None if nothing did.
    """

    sequence: Sequence
    boxes: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    problem: str | None = None


def track_sequences(
    params: AnyParams,
    sequences: Iterable[Sequence],
    config: Config,
    *,
    batch: int = 1,
    skip: Collection[str] = (),
    choose: Callable[[list[tuple[str, ...]]], Iterator[int]] = lambda groups: iter(range(len(groups))),
    advance: Callable[[int], None] = lambda frames: None,
) -> Iterator[SequenceTrack]:
    """Tracks each sequence from its first true box, and yields it as it ends.

    Args:
      params: the weights.
      sequences: all of the run.
      config: how to track.
      batch: how many at a time, split over as many devices as divide it. Results differ from those of a batch of one
        only by rounding.
      skip: the names of those that need no tracking.
      choose: called with the names in each group of `batch` sequences, in order; it yields the number of each group
        that is to be tracked here, one at a time. By default all are.
      advance: called with the number of frames done since the last call.
    """
    lanes = []
    for sequence in sequences:
        if sequence.name in skip and batch == 1:
            continue
        try:
            lanes.append(_Lane(sequence))
        except InputError as error:
            yield SequenceTrack(sequence, problem=f"{sequence.name}: {error}")
    ready, groups = set(), list(_group(lanes, batch))
    for number in choose([tuple(lane.track.sequence.name for lane in group) for _, group in groups]):
        shape, group = groups[number]
        running = {slot: lane for slot, lane in enumerate(group) if lane.track.sequence.name not in skip}
        if not running:
            continue
        together = _Together(params, config, (batch, *shape))
        if shape not in ready:  # compiled before any clock runs
            together.start({})
            together.advance()
            ready.add(shape)
        yield from _track_group(together, running, advance)


class _Lane:
    """Sequence that is being tracked. Raises `InputError` if its first frame or its box is unusable."""

    def __init__(self, sequence: Sequence):
        def read() -> Labelled:
            for path in sequence.frames:
                yield f"image {path}", read_image(path)

        height, width, _ = read_image(sequence.frames[0]).shape
        self.size = height, width
        self.box = sequence.ground_truth[0].astype(np.float32)
        validation.check_box(self.box, self.size)
        self.frames = Source(sequence.name, self.size, len(sequence.frames), USUAL_FPS, None, read).frames()
        self.track = SequenceTrack(sequence)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the padded frames."""
        return padded_size(self.size)

    def next_frame(self) -> Frame | None:
        """Next frame; None at the end. Raises `InputError` if it is unusable."""
        return next(self.frames, None)


def _group(lanes: list[_Lane], batch: int) -> Iterator[tuple[tuple[int, int], list[_Lane]]]:
    """Groups of at most `batch` sequences, all of one padded shape and of similar lengths."""
    if batch == 1:
        yield from ((lane.shape, [lane]) for lane in lanes)
        return
    lanes = sorted(lanes, key=lambda lane: (lane.shape, -len(lane.track.sequence.frames), lane.track.sequence.name))
    for shape in dict.fromkeys(lane.shape for lane in lanes):
        alike = [lane for lane in lanes if lane.shape == shape]
        yield from ((shape, alike[first : first + batch]) for first in range(0, len(alike), batch))


def _track_group(
    together: "_Together", running: dict[int, _Lane], advance: Callable[[int], None]
) -> Iterator[SequenceTrack]:
    started = False
    with ThreadPoolExecutor(len(running)) as readers:
        coming = {slot: readers.submit(lane.next_frame) for slot, lane in running.items()}
        while True:
            for slot, frame in coming.items():
                try:
                    image = frame.result()
                except InputError as error:
                    running[slot].track.problem = f"{running[slot].track.sequence.name}: {error}"
                    image = None
                if image is None:
                    yield running.pop(slot).track
                else:
                    together.frames[slot, : image.shape[0], : image.shape[1]] = image
            if not running:
                break
            # The next frames are read while these are tracked.
            coming = {slot: readers.submit(lane.next_frame) for slot, lane in running.items()}
            begin = time.perf_counter()
            boxes = together.advance() if started else together.start(running)
            started = True
            seconds = time.perf_counter() - begin
            for slot, lane in running.items():
                lane.track.boxes.append(boxes[slot])
                lane.track.seconds.append(seconds / len(running))
            advance(len(running))


class _Together:
    """Frames and states of a batch of tracks, one for each slot."""

    def __init__(self, params: AnyParams, config: Config, shape: tuple[int, int, int]):
        self.frames = np.zeros((*shape, 3), np.uint8)
        self._params, self._config = params, config
        self._mesh = _mesh(len(self.frames))
        self._states: Any = None

    def start(self, lanes: dict[int, _Lane]) -> np.ndarray:
        """Takes the targets in `frames`, and returns their boxes."""
        boxes = np.tile(np.array(_IDLE_BOX, np.float32), (len(self.frames), 1))
        sizes = np.tile(np.array(self.frames.shape[1:3], np.int32), (len(self.frames), 1))
        for slot, lane in lanes.items():
            boxes[slot], sizes[slot] = lane.box, lane.size
        if len(self.frames) == 1:
            self._states = tracker.init(
                self._params, self.frames[0], boxes[0], config=self._config, frame_size=sizes[0]
            )
        else:
            frames, boxes_there, sizes = (self._share_out(array) for array in (self.frames, boxes, sizes))
            self._states = _init_all(self._params, frames, boxes_there, sizes, config=self._config, mesh=self._mesh)
        jax.block_until_ready(self._states)
        return boxes

    def advance(self) -> np.ndarray:
        """Finds the targets in `frames`, and returns their boxes."""
        if len(self.frames) == 1:
            self._states, output = tracker.step(self._params, self._states, self.frames[0])
            return np.asarray(output.box)[None]
        frames = self._share_out(self.frames)
        self._states, boxes = _step_all(self._params, self._states, frames, mesh=self._mesh)
        return np.asarray(boxes)

    def _share_out(self, array: np.ndarray) -> jax.Array:
        """Array of all slots, each slot on its device."""
        return jax.device_put(array, NamedSharding(self._mesh, SLOTS))


def _mesh(batch: int) -> Mesh:
    """Mesh of as many of this process's devices as divide `batch` evenly."""
    devices = jax.local_devices()
    count = math.gcd(batch, len(devices))
    return Mesh(np.array(devices[:count]), tuple(SLOTS))


@partial(jit, static_argnames=("config", "mesh"))
def _init_all(
    params: AnyParams,
    frames: jax.Array,
    boxes: jax.Array,
    sizes: jax.Array,
    *,
    config: Config,
    mesh: Mesh,
) -> State:
    def init(params: AnyParams, frame: jax.Array, box: jax.Array, size: jax.Array) -> State:
        return tracker.init(params, frame, box, config=config, frame_size=size)

    return _on_all(jax.vmap(init, in_axes=(None, 0, 0, 0)), mesh)(params, frames, boxes, sizes)


@partial(jit, static_argnames=("mesh",))
def _step_all(params: AnyParams, states: State, frames: jax.Array, *, mesh: Mesh) -> tuple[State, jax.Array]:
    def step(params: AnyParams, state: State, frame: jax.Array) -> tuple[State, jax.Array]:
        state, output = tracker.step(params, state, frame)
        return state, output.box

    return _on_all(jax.vmap(step, in_axes=(None, 0, 0)), mesh)(params, states, frames)


def _on_all(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """`function(params, *rest)` with its slots split over the devices, which do not communicate."""

    def shared(params: AnyParams, *rest: Any) -> Any:
        specs = (PartitionSpec(), *[SLOTS] * len(rest))
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=SLOTS, check_vma=False)(params, *rest)

    return shared
