"""Training's input and memory: pairs read a second against those that a step takes, and memory over steps.

    python benchmarks/train_input.py [--steps 10000] [--pool 512]

needs the extra `train`. Crops are random, in a cache on disk as curation leaves it; the pool's maps are float16 random
numbers of SiamFC's shapes. Both ways of training are timed: pairs from crops with features in the step, and from a pool
of correlations. Reading and steps are timed in turns, in one process, so that a ratio is of one time: above 1, a step
never waits for input. Then as many steps as asked for run from the pool, as training runs them, and resident memory is
printed whenever their number has doubled. Linux only.
"""

import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mfst_jax.params import Contents, Params
from mfst_jax.program import allocator
from mfst_jax.program.threads import prefetch
from mfst_jax.random_weights import random_params
from mfst_jax.train import correlation_pools, loop, se_blocks
from mfst_jax.train import steps as training
from mfst_jax.train.data.curation import CROP_SIZE, Video, open_video
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import CELLS, freeze

FRAMES, ROUNDS = 64, 5


def main(steps: int = 10_000, pool: int = 512) -> None:
    """Prints both tables.

    Args:
        steps: How many to run for the memory.
        pool: Pairs in the pool.
    """
    recipe = Recipe(model="siamfc", pairs_per_epoch=8 * steps)
    params = random_params(Contents(siamfc=True, alexnet=None))
    with tempfile.TemporaryDirectory() as folder:
        videos = [_video(Path(folder), "random")]
        _write_pool(Path(folder), params, recipe, pool)
        kept = correlation_pools.Pool(Path(folder), se_blocks.layer_channels(params, recipe))
        cached = dataclasses.replace(recipe, cached_pairs=pool)
        print("pairs a second, medians of the rounds; 8 pairs a step")
        print(f"{'':<26} {'read':>8} {'stepped':>8} {'ratio':>8}")
        ways: list[tuple[str, Recipe, Any, Any]] = [
            ("crops, features in step", recipe, videos, freeze(params, recipe)),
            ("pool of correlations", cached, kept, None),
        ]
        for name, its, feed, backbone in ways:
            read, stepped, ratio = _compare(its, feed, backbone, params)
            print(f"{name:<26} {read:8.0f} {stepped:8.1f} {ratio:8.1f}")
        print("\nresident memory in MiB, at steps from a pool")
        state, advance, key = training.init(cached, params), training.compiled(cached), jax.random.key(0)
        everywhere = _everywhere()
        batches = (loop._batch(cached, kept, everywhere, number) for number in range(steps))
        with prefetch(batches, depth=1) as coming:
            for done, batch in enumerate(coming, start=1):
                state = advance(state, None, batch, key)
                if done >= FRAMES and (done & (done - 1) == 0 or done == steps):
                    jax.block_until_ready(state)
                    print(f"{done:>8} {allocator.resident_bytes() / 2**20:8.0f}", flush=True)


def _compare(recipe: Recipe, feed: Any, backbone: Any, params: Params) -> tuple[float, float, float]:
    """Pairs read a second, pairs a second in steps, and the former over the latter."""
    read = partial(loop._batch, recipe, feed, _everywhere())
    state, advance, key, batch = training.init(recipe, params), training.compiled(recipe), jax.random.key(0), read(0)

    def step(_: int) -> None:
        jax.block_until_ready(advance(state, backbone, batch, key))

    step(0)
    rounds = [(_seconds(read), _seconds(step)) for _ in range(ROUNDS)]
    reads, steps = (statistics.median(recipe.batch_size / each[column] for each in rounds) for column in (0, 1))
    return reads, steps, statistics.median(of_step / of_read for of_read, of_step in rounds)


def _everywhere() -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec())


def _seconds(work: Callable[[int], Any]) -> float:
    """Seconds of one call, as a mean over half a second of calls."""
    begin, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - begin < 0.5:
        work(count)
        count += 1
    return (time.perf_counter() - begin) / count


def _video(folder: Path, name: str) -> Video:
    draws = np.random.default_rng(0)
    np.save(folder / f"{name}.npy", draws.integers(0, 256, (FRAMES, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8))
    frames = ", ".join(map(str, range(FRAMES)))
    sizes = ", ".join(["[64, 64]"] * FRAMES)
    (folder / f"{name}.json").write_text(f'{{"key": "{name}", "frames": [{frames}], "sizes": [{sizes}]}}')
    return open_video(folder, name)


def _write_pool(folder: Path, params: Params, recipe: Recipe, pairs: int) -> None:
    channels = se_blocks.layer_channels(params, recipe)
    draws = np.random.default_rng(1)
    for layer, count in channels.items():
        shape = (pairs, CELLS, count)
        maps = np.lib.format.open_memmap(folder / correlation_pools.maps_file(layer), "w+", np.dtype(np.float16), shape)
        for row in range(pairs):
            maps[row] = draws.standard_normal(shape[1:], np.float32) / 100
        maps.flush()
    np.save(folder / "means.npy", draws.random((pairs, 2, sum(channels.values())), np.float32))


if __name__ == "__main__":
    assert os.name == "posix"
    tyro.cli(main)
