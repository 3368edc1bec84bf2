"""Several videos at once under `jax.vmap` of `track`: plain weights beside prepared ones, and what correlating costs.

    python benchmarks/vmap.py [--preset NAME] [--videos N] [--frames T] [--rounds N]

Weights and frames are random. All programs take turns in one process: plain weights, whose cross-correlation is a
convolution; the same by the matrix products of the prepared path; and prepared weights. A line has the median CPU time
of a call, and the median over rounds of its ratio to the first within a round, with quartiles.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import tyro

import mfst_jax
from mfst_jax import model
from mfst_jax.bench import random_inputs
from mfst_jax.bench.side_by_side import machine, ratios, spread, table
from mfst_jax.compilation import compiler_options
from mfst_jax.config import Config
from mfst_jax.correlation import cross_correlate
from mfst_jax.fast import AnyParams
from mfst_jax.fast.correlation import cross_correlate_by_taps
from mfst_jax.presets import PRESETS, Preset

SIZE = (120, 160)


def compile_tracks(
    params: AnyParams, config: Config, videos: np.ndarray, boxes: np.ndarray, correlate: Callable[..., Any]
) -> Callable[[], Any]:
    """Tracks of all videos under `vmap`, compiled; the Flax modules use this cross-correlation."""
    jax.clear_caches()  # or a trace with the other cross-correlation would serve again
    track = jax.jit(jax.vmap(mfst_jax.track, in_axes=(None, 0, 0)), compiler_options=compiler_options())
    model.cross_correlate = correlate
    try:
        compiled = track.lower(params, videos, boxes, config=config).compile()
    finally:
        model.cross_correlate = cross_correlate
    return lambda: compiled(params, videos, boxes, config=config)


def main(preset: Preset = "alexnet", videos: int = 4, frames: int = 3, rounds: int = 9) -> None:
    """Prints the table.

    Args:
        preset: How to track.
        videos: How many at once.
        frames: How many each has.
        rounds: How often each program takes its turn.
    """
    config, params = PRESETS[preset], random_inputs.preset_params(preset)
    clips = random_inputs.noise(SIZE, videos * frames).reshape(videos, frames, *SIZE, 3)
    boxes = random_inputs.random_boxes(SIZE, videos)
    programs = {
        "plain": compile_tracks(params, config, clips, boxes, cross_correlate),
        "plain, by matrix products": compile_tracks(params, config, clips, boxes, cross_correlate_by_taps),
        "prepared": compile_tracks(mfst_jax.prepare(params, config), config, clips, boxes, cross_correlate),
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    print(f"{machine()}; jax {jax.__version__}; {preset}, {videos} videos of {frames} frames")
    for number in range(rounds + 1):
        for name, call in programs.items():
            start = time.process_time()
            jax.block_until_ready(call())
            if number > 0:
                times[name].append(time.process_time() - start)
    rows = [
        (name, f"{1000 * float(np.median(seconds)):.0f}", spread(ratios(seconds, times["plain"])))
        for name, seconds in times.items()
    ]
    print(table(("weights", "CPU ms", "to plain (quartiles)"), rows))


if __name__ == "__main__":
    tyro.cli(main)
