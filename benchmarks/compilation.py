"""Compilations: what makes JAX compile, and how many seconds each compilation takes.

    python benchmarks/compilation.py [--presets alexnet realtime] [--kinds prepared plain]

A row is the time of the first call of a function with what is new to it, less that of the second. All rows come one
after the other in one process, as a program would meet them. No compilation cache is read or written.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import mfst_jax
from mfst_jax.bench import random_inputs
from mfst_jax.bench.side_by_side import machine, table
from mfst_jax.bench.steps import Kind
from mfst_jax.presets import PRESETS, Preset

SIZE: random_inputs.Size = (256, 384)


def main(
    presets: tuple[Preset, ...] = ("alexnet", "siamfc", "realtime", "paper"),
    kinds: tuple[Kind, ...] = ("prepared", "plain"),
) -> None:
    """Prints the table.

    Args:
      presets: to compile for, on random weights of the backbones that each needs.
      kinds: of weights.
    """
    jax.config.update("jax_enable_compilation_cache", False)
    print(machine(), end="\n\n")
    cells: dict[str, list[str]] = {}
    heads = [f"{preset}, {kind}" for preset in presets for kind in kinds]
    for preset in presets:
        for kind in kinds:
            for trigger, seconds in measure(preset, kind):
                cells.setdefault(trigger, []).append(f"{seconds:.1f}")
    print(table(("what is new", *heads), [(trigger, *row) for trigger, row in cells.items()]))


def measure(preset: Preset, kind: Kind) -> Iterator[tuple[str, float]]:
    """Causes of compilation, and the seconds that each costs."""
    config = PRESETS[preset]
    plain = random_inputs.preset_params(preset)
    params = mfst_jax.prepare(plain, config) if kind == "prepared" else plain
    init, step = partial(mfst_jax.init, params, config=config), partial(mfst_jax.step, params)
    frames, box = random_inputs.noise(SIZE, 3), random_inputs.random_boxes(SIZE, 1)[0]
    yield "the first `init`", compiling(init, frames[0], box)
    state = init(frames[0], box)
    yield "the first `step`", compiling(step, state, frames[1])
    wider = np.pad(frames[0], ((0, 0), (0, 128), (0, 0)))
    other = init(wider, box)
    yield "frames of another padded size", compiling(step, other, wider)
    yield "float32 frames", compiling(step, state, frames[1].astype(np.float32))
    changed = dataclasses.replace(config, window_influence=0.2)
    yield "another value in the configuration", compiling(partial(step, config=changed), state, frames[1])
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), state)
    yield "two targets under `vmap`", compiling(jax.jit(jax.vmap(step, in_axes=(0, None))), states, frames[1])
    track = partial(jax.jit(mfst_jax.track), params, config=config)
    yield "`jit(track)` of three frames", compiling(track, frames, box)
    yield "of two frames", compiling(track, frames[:2], box)


def compiling(function: Callable[..., Any], *arguments: Any) -> float:
    """Seconds that the first call takes beyond the second."""
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - begin)
    return times[0] - times[1]


if __name__ == "__main__":
    tyro.cli(main)
