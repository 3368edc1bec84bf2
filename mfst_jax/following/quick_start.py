"""Quick start on CPUs: the first steps of a video by a program that compiles in a fraction of the time.

XLA for CPUs takes three to six times as long to compile the fast program of a step (`mfst_jax.prepare`) as a quick one,
which uses XLA's convolutions and is hardly optimised. It searches whole search regions alone, as by `centre_search=0`,
as a program for their centres would have to be compiled beside that. The quick program takes the first `STEPS` steps of
every video, whether the fast one is ready by then or not, so that results never depend on timing.
"""

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext

import jax

from mfst_jax import tracker
from mfst_jax.compilation import quickly
from mfst_jax.config import Config
from mfst_jax.fast import AnyParams, PreparedParams, method_for, prepare, prepare_for
from mfst_jax.multi import Start, Tracks, in_a_batch
from mfst_jax.params import Contents, Params
from mfst_jax.state import Output, State

STEPS = 5
"""Number of steps that the quick program takes: enough to see that the right thing is followed, while little time is
lost where a cache holds the fast program."""


class ReusedParams:
    """Plain weights that many sources are followed with, one after the other: each preparation of them is kept."""

    def __init__(self, params: Params):
        self._params = params
        self._prepared: dict[tuple[Config, bool], PreparedParams] = {}

    @property
    def contents(self) -> Contents:
        """Contents of the weights."""
        return self._params.contents

    def prepared(self, config: Config, *, quick: bool = False) -> PreparedParams:
        """Weights prepared for a configuration: for the fast program, or for the quick one."""
        if (config, quick) not in self._prepared:
            made = prepare_for(self._params, config, "quick") if quick else prepare(self._params, config)
            self._prepared[config, quick] = made
        return self._prepared[config, quick]


def begin(params: AnyParams | ReusedParams, start: Start, *, steps: int | None = None) -> Tracks:
    """Tracks as by `Tracks`, with a quick start where that is possible.

    Args:
      params: the weights. Where they are prepared already, and on accelerators, nothing would start sooner.
      start: the first frame and the targets in it.
      steps: how many steps there will be at most, so that what none of them needs is not compiled; None if unknown.
    """
    on_cpu = method_for(jax.default_backend()) == "toom_cook"
    if isinstance(params, PreparedParams):
        return Tracks(params, start)
    reused = ReusedParams(params) if isinstance(params, Params) else params
    if on_cpu and not in_a_batch(len(start.boxes)):
        return _QuicklyStarted(reused, start, steps)
    return Tracks(reused.prepared(start.config), start)


class _QuicklyStarted(Tracks):
    """Tracks whose first `STEPS` steps are the quick program's, and the others the fast one's."""

    def __init__(self, params: ReusedParams, start: Start, steps: int | None):
        self._reused, self._config = params, start.config
        self._only_quick = steps is not None and steps <= STEPS
        self._fast: Future[AnyParams] | None = None
        quick = start._replace(config=dataclasses.replace(start.config, centre_search=0.0))
        with quickly():
            super().__init__(params.prepared(quick.config, quick=True), quick)

    @property
    def is_settled(self) -> bool:
        return self._taken > (0 if self._only_quick else STEPS)

    @property
    def is_compiling(self) -> bool:
        return self._taken == 0 or (self._taken == STEPS and self._fast is not None and not self._fast.done())

    def step(self, frame: jax.Array) -> list[Output]:
        if self._taken == STEPS:
            # A header may have promised fewer frames than there are; then the fast program is not ready.
            self._params = self._reused.prepared(self._config) if self._fast is None else self._fast.result()
            self._fast = None
            self._each = [self._for_fast(state) for state in self._each]
        with quickly() if self._taken < STEPS else nullcontext():
            outputs = super().step(frame)
        if self._taken == 1 and not self._only_quick:  # the first box does not have to wait for this
            thread = ThreadPoolExecutor(1, "compiling")
            self._fast = thread.submit(make_fast, self._reused, self._for_fast(self._each[0]), frame)
            thread.shutdown(wait=False)
        return outputs

    def _for_fast(self, state: State) -> State:
        """State for the fast program, from one of the quick program's."""
        return dataclasses.replace(state, config=self._config)


def make_fast(params: ReusedParams, state: State, frame: jax.Array) -> AnyParams:
    """Weights of the fast program, which is compiled when this returns."""
    prepared = params.prepared(state.config)
    tracker.compile_step(prepared, state, frame)
    return prepared
