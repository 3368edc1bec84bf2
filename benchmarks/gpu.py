"""Performance of an accelerator, beside what its limits allow: runs unattended, prints one table.

    python benchmarks/gpu.py [--presets paper siamfc] [--batches 1 8 32] [--rounds 9]

A row is one compiled program: a step of every one of `batch` tracks, each in a video of its own. Its operations are
those of its convolutions and matrix products, its bytes those that they read and write, each array once; the roofline
says that it cannot take less time than either at the card's limit, unless the compiler keeps arrays on the chip between
them. The limits are measured here, by the fastest of many large matrix products at the same precision and of many large
copies; for cards that `CARDS` knows, the maker's data sheet stands beside. Without a GPU or TPU it says so, and runs on
the CPU at a small size.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

import floor
import jax
import jax.numpy as jnp
import numpy as np
import tyro

import mfst_jax
from mfst_jax import tracker
from mfst_jax.bench import command, random_inputs
from mfst_jax.bench.side_by_side import machine, spread, table
from mfst_jax.cache import keep_compilations
from mfst_jax.compilation import compiler_options
from mfst_jax.config import PRESETS, Config, Preset
from mfst_jax.padding import pad
from mfst_jax.params import resolve_config

CARDS = {
    "Tesla T4": (8.1, 320),
    "Tesla V100-SXM2-16GB": (15.7, 900),
    "NVIDIA TITAN Xp": (12.15, 547.7),
    "NVIDIA GeForce RTX 3090": (35.6, 936),
    "NVIDIA GeForce RTX 4090": (82.6, 1008),
    "NVIDIA L4": (30.3, 300),
    "NVIDIA A100-SXM4-40GB": (19.5, 1555),
    "NVIDIA A100-SXM4-80GB": (19.5, 2039),
    "NVIDIA H100 80GB HBM3": (67.0, 3350),
    "NVIDIA H200": (67.0, 4800),
}
"""TFLOP/s in float32 (no TF32) and GB/s, from NVIDIA's data sheets, by JAX's name of the card."""
WARM = 3
Precision = Literal["default", "high", "highest"]


def main(
    presets: tuple[Preset, ...] = ("paper", "siamfc"),
    batches: tuple[int, ...] = (1, 8, 32),
    size: str = "1280x720",
    rounds: int = 9,
    precision: tuple[Precision, ...] = ("highest", "default"),
) -> None:
    """Prints the table.

    Args:
        presets: The configurations.
        batches: How many videos at once.
        size: Of their frames.
        rounds: How often each program is timed.
        precision: Of products on the accelerator, as in `Config.precision`.
    """
    keep_compilations()
    device, shape, side, megabytes = jax.devices()[0], command.parse_size(size), 8192, 1024
    if device.platform == "cpu":
        print("no GPU or TPU here: on the CPU, at a small size, to show that this runs")
        batches, shape, side, megabytes, precision = batches[:2], (240, 320), 1024, 64, precision[:1]
    limits = {name: _flops_limit(side, name) for name in precision}
    bandwidth = _bandwidth_limit(megabytes)
    print(f"{device.device_kind}, jax {jax.__version__}; {machine()}; {rounds} rounds")
    for name, limit in limits.items():
        print(f"measured limit at precision {name}: {limit / 1e12:.2f} TFLOP/s, {bandwidth / 1e9:.0f} GB/s")
    if device.device_kind in CARDS:
        print("data sheet: {} TFLOP/s in float32, {} GB/s".format(*CARDS[device.device_kind]))
    rows = []
    for preset in presets:
        for name in precision:
            config = dataclasses.replace(PRESETS[preset], precision=name)
            for batch in batches:
                program, arguments, work = _program(config, preset, shape, batch)
                seconds = _times(lambda: program(*arguments), rounds)  # noqa: B023
                bounds = work.flops / limits[name], work.moved / bandwidth
                cells = [
                    preset,
                    name,
                    str(batch),
                    spread([1000 * second for second in seconds], 2),
                    f"{batch / statistics.median(seconds):.0f}",
                    f"{work.flops / batch / 1e9:.1f}",
                    f"{work.moved / batch / 1e6:.0f}",
                    f"{1000 * max(bounds):.2f}",
                    "operations" if bounds[0] > bounds[1] else "bytes",
                    f"{max(bounds) / statistics.median(seconds):.0%}",
                ]
                rows.append(cells)
    header = ("preset", "precision", "batch", "ms a step (quartiles)", "frames/s")
    roofline = ("GFLOP a frame", "MB a frame", "roofline ms", "bound by", "of the roofline")
    print(table((*header, *roofline), rows))


def _program(
    config: Config, preset: Preset, size: random_inputs.Size, batch: int
) -> tuple[Any, tuple[Any, ...], floor.Work]:
    """Compiled step of all tracks, the arguments to call it with, and its work."""
    params = random_inputs.preset_params(preset)
    config = resolve_config(params.contents, config)
    weights = mfst_jax.prepare(params, config)
    frames = jnp.stack([jnp.asarray(pad(frame)) for frame in random_inputs.noise(size, min(batch, 4))])
    frames = frames[jnp.arange(batch) % len(frames)]
    boxes = jnp.asarray(random_inputs.random_boxes(size, batch))

    def init(weights: Any, frame: jax.Array, box: jax.Array) -> tracker.State:
        return mfst_jax.init(weights, frame, box, config=config)

    def step(weights: Any, states: tracker.State, frames: jax.Array) -> tuple[tracker.State, jax.Array]:
        states, output = jax.vmap(mfst_jax.step, in_axes=(None, 0, 0))(weights, states, frames)
        return states, output.box

    states = jax.jit(jax.vmap(init, in_axes=(None, 0, 0)))(weights, frames, boxes)
    jitted = jax.jit(step, compiler_options=compiler_options())
    arguments = weights, states, frames
    return jitted.lower(*arguments).compile(), arguments, floor.work(step, *arguments)


def _times(call: Callable[[], Any], rounds: int) -> list[float]:
    """Seconds of each call, once it is warm."""
    seconds = []
    for number in range(WARM + rounds):
        start = time.perf_counter()
        jax.block_until_ready(call())
        if number >= WARM:
            seconds.append(time.perf_counter() - start)
    return seconds


def _flops_limit(side: int, precision: str) -> float:
    """Operations a second in the fastest of several float32 products of matrices of that side."""
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((side, side), np.float32))
    multiply = jax.jit(lambda a: jnp.matmul(a, a, precision=precision))
    return 2 * side**3 / min(_times(lambda: multiply(matrix), 9))


def _bandwidth_limit(megabytes: int) -> float:
    """Bytes a second in the fastest of several passes that read and write as much."""
    numbers = jnp.zeros(megabytes * 2**18, jnp.float32)
    add = jax.jit(lambda x: x + 1)
    return 2 * numbers.nbytes / min(_times(lambda: add(numbers), 9))


if __name__ == "__main__":
    tyro.cli(main)
