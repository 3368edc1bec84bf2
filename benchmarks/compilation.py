"""What makes JAX compile, and how many seconds each compilation takes.

    python benchmarks/compilation.py [--presets alexnet realtime] [--kinds prepared plain]

A row is one call of a function in a process where nothing like it was called before: the time of the first call, less
that of the second. Nothing is read from a compilation cache or written to one. The rows of a preset and a kind of
weights come one after the other in one process, as a program would meet them.
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
from mfst_jax.alternation import machine, table
from mfst_jax.bench import Kind, random_params
from mfst_jax.config import PRESETS, Config, Preset

SHAPE = (256, 384, 3)
BOX = np.array([150, 100, 60, 50], np.float32)


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
            for trigger, seconds in measure(PRESETS[preset], kind):
                cells.setdefault(trigger, []).append(f"{seconds:.1f}")
    print(table(("what is new", *heads), [(trigger, *row) for trigger, row in cells.items()]))


def measure(config: Config, kind: Kind) -> Iterator[tuple[str, float]]:
    """Each thing that makes JAX compile, and the seconds that it costs."""
    plain = random_params(config)
    params = mfst_jax.prepare(plain, config) if kind == "prepared" else plain
    init, step = partial(mfst_jax.init, params, config=config), partial(mfst_jax.step, params)
    frames = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), np.uint8)
    yield "the first `init`", compiling(init, frames[0], BOX)
    state = init(frames[0], BOX)
    yield "the first `step`", compiling(step, state, frames[1])
    wider = np.pad(frames[0], ((0, 0), (0, 128), (0, 0)))
    other = init(wider, BOX)
    yield "frames of another padded size", compiling(step, other, wider)
    yield "float32 frames", compiling(step, state, frames[1].astype(np.float32))
    changed = dataclasses.replace(config, window_influence=0.2)
    yield "another value in the configuration", compiling(partial(step, config=changed), state, frames[1])
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), state)
    yield "two targets under `vmap`", compiling(jax.jit(jax.vmap(step, in_axes=(0, None))), states, frames[1])
    track = partial(jax.jit(mfst_jax.track), params, config=config)
    yield "`jit(track)` of three frames", compiling(track, frames, BOX)
    yield "of two frames", compiling(track, frames[:2], BOX)


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
