"""Quick start on CPUs: the first steps of a video by a program that compiles in a fraction of the time.

XLA for CPUs takes three to six times as long to compile the fast program of a step (`mfst_jax.prepare`) as a quick one,
which uses XLA's convolutions and is hardly optimised. The quick program takes the first `STEPS` steps of every video,
whether the fast one is ready by then or not, so that results never depend on timing.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext

import jax
import numpy as np
from jaxtyping import Float32

from mfst_jax import tracker
from mfst_jax.compilation import quickly
from mfst_jax.config import Config
from mfst_jax.fast import AnyParams, as_prepared, method_for, prepare_for
from mfst_jax.multi import Tracks, in_a_batch
from mfst_jax.params import Params
from mfst_jax.state import Output, State

STEPS = 5
"""Number of steps that the quick program takes: enough to see that the right thing is followed, while little time is
lost where a cache holds the fast program."""


def begin(
    params: AnyParams,
    frame: jax.Array,
    boxes: Float32[np.ndarray, "targets 4"],
    config: Config,
    frame_size: np.ndarray | jax.Array,
    *,
    steps: int | None = None,
) -> Tracks:
    """Tracks of the objects in `boxes`, as by `Tracks`, with a quick start where that is possible.

    Args:
      params: the weights. Where they are prepared already, and on accelerators, nothing would start sooner.
      frame: the first frame, as `Tracks` takes it.
      boxes: as `Tracks` takes them.
      config: as `Tracks` takes it.
      frame_size: as `Tracks` takes it.
      steps: how many steps there will be at most, so that what none of them needs is not compiled; None if unknown.
    """
    on_cpu = method_for(jax.default_backend()) == "toom_cook"
    if isinstance(params, Params) and on_cpu and not in_a_batch(len(boxes)):
        return _QuicklyStarted(params, frame, boxes, config, frame_size, steps)
    return Tracks(as_prepared(params, config), frame, boxes, config, frame_size)


class _QuicklyStarted(Tracks):
    """Tracks whose first `STEPS` steps are the quick program's, and the others the fast one's."""

    def __init__(
        self,
        params: Params,
        frame: jax.Array,
        boxes: Float32[np.ndarray, "targets 4"],
        config: Config,
        frame_size: np.ndarray | jax.Array,
        steps: int | None,
    ):
        self._plain = params
        self._only_quick = steps is not None and steps <= STEPS
        self._fast: Future[AnyParams] | None = None
        with quickly():
            super().__init__(prepare_for(params, config, "quick"), frame, boxes, config, frame_size)

    @property
    def is_settled(self) -> bool:
        return self._taken > (0 if self._only_quick else STEPS)

    @property
    def is_compiling(self) -> bool:
        return self._taken == 0 or (self._taken == STEPS and self._fast is not None and not self._fast.done())

    def step(self, frame: jax.Array) -> list[Output]:
        if self._taken == STEPS:
            # A header may have promised fewer frames than there are; then the fast program is not ready.
            config = self._each[0].config
            self._params = as_prepared(self._plain, config) if self._fast is None else self._fast.result()
            self._fast = None
        with quickly() if self._taken < STEPS else nullcontext():
            found = super().step(frame)
        if self._taken == 1 and not self._only_quick:  # the first box does not have to wait for this
            thread = ThreadPoolExecutor(1, "compiling")
            self._fast = thread.submit(make_fast, self._plain, self._each[0], frame)
            thread.shutdown(wait=False)
        return found


def make_fast(params: Params, state: State, frame: jax.Array) -> AnyParams:
    """Weights of the fast program, which is compiled when this returns."""
    prepared = as_prepared(params, state.config)
    tracker.compile_step(prepared, state, frame)
    return prepared
