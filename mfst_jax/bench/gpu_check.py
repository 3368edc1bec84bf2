"""Check of a GPU or TPU, which runs unattended: does the tracker hold its laws there, agree with the CPU, and how fast?

    python -m mfst_jax.bench.gpu_check [--presets realtime siamfc] [--batches 1 8 64] [--rounds 9]

First come laws, each with the deviation that was found, then the parity with the CPU, then a table. A row of it is one
compiled program: a step of each of `batch` tracks in a video of its own. Beside it stands the roofline: the program
cannot take less time than its operations or its bytes do at the limits of the card, which are measured here. The exit
status is 0 where all is well, 1 where a law does not hold or a program does not run, and 2 without an accelerator.
"""

import dataclasses
import statistics
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Literal

import jax
import jax.numpy as jnp
import tyro

from mfst_jax import tracker
from mfst_jax.bench.command import parse_size
from mfst_jax.bench.laws import LAWS, check_laws, check_presets, make_case
from mfst_jax.bench.random_inputs import Size, noise, preset_params, random_boxes
from mfst_jax.bench.roofline import CARDS, Limits, Work, measure_limits, seconds, work
from mfst_jax.bench.side_by_side import machine, spread, table
from mfst_jax.cache import keep_compilations
from mfst_jax.checkpoints import load
from mfst_jax.compilation import Program, jit
from mfst_jax.config import Config
from mfst_jax.errors import InputError, reason
from mfst_jax.fast import prepare
from mfst_jax.padding import pad
from mfst_jax.params import resolve_config
from mfst_jax.presets import ALEXNET, PRESETS, Preset
from mfst_jax.program.arguments import exit_status
from mfst_jax.program.jax_health import backend_problem

Precision = Literal["default", "high", "highest"]


def compile_step(config: Config, preset: Preset, size: Size, batch: int) -> tuple[Program, tuple[Any, ...], Work, Any]:
    """Step of `batch` tracks in a video each, the arguments to call it with, its work, and what was compiled."""
    params = preset_params(preset)
    config = resolve_config(params.contents, config)
    weights = prepare(params, config)
    frames = jnp.stack([jnp.asarray(pad(frame)) for frame in noise(size, min(batch, 4))])
    frames = frames[jnp.arange(batch) % len(frames)]
    boxes = jnp.asarray(random_boxes(size, batch))

    def init(weights: Any, frame: jax.Array, box: jax.Array) -> tracker.State:
        return tracker.init(weights, frame, box, config=config)

    def step(weights: Any, states: tracker.State, frames: jax.Array) -> tuple[tracker.State, jax.Array]:
        states, output = jax.vmap(tracker.step, in_axes=(None, 0, 0))(weights, states, frames)
        return states, output.box

    states = jax.jit(jax.vmap(init, in_axes=(None, 0, 0)))(weights, frames, boxes)
    arguments, program = (weights, states, frames), jit(step)
    return program, arguments, work(step, *arguments), program.compile(*arguments)


HEADER = (
    *("preset", "precision", "batch", "ms a step (quartiles)", "frames/s", "MiB"),
    *("GFLOP a frame", "MB a frame", "roofline ms", "bound by", "of the roofline"),
)


def row(preset: Preset, precision: Precision, batch: int, size: Size, rounds: int, limits: Limits) -> tuple[str, ...]:
    """Row of the table, under HEADER.

    Raises:
      jax.errors.JaxRuntimeError: it does not run, such as for lack of memory.
    """
    config = dataclasses.replace(PRESETS[preset], precision=precision)
    program, arguments, done, compiled = compile_step(config, preset, size, batch)
    times = seconds(lambda: program(*arguments), rounds)
    middle = statistics.median(times)
    least, by = limits.least(done)
    return (
        *(preset, precision, str(batch), spread([1000 * each for each in times], 2), f"{batch / middle:.0f}"),
        *(_mebibytes(compiled), f"{done.flops / batch / 1e9:.1f}", f"{done.moved / batch / 1e6:.0f}"),
        *(f"{1000 * least:.2f}", by, f"{least / middle:.0%}"),
    )


def check(
    *,
    presets: tuple[Preset, ...] = ("realtime", "siamfc"),
    batches: tuple[int, ...] = (1, 8, 64),
    size: str = "1280x720",
    rounds: int = 9,
    precision: tuple[Precision, ...] = ("highest", "default"),
    platform: str | None = None,
) -> int:
    """Check the accelerator: laws, parity with the CPU, time and memory beside the roofline.

    The exit status is 0 where all is well, 1 where something is not, 2 without an accelerator.

    Args:
        presets: The configurations whose responses are compared and whose steps are timed, with random weights.
        batches: How many videos at once.
        size: Of the frames of those steps.
        rounds: How often each step is timed.
        precision: Of products in those steps, as in `Config.precision`.
        platform: Which of JAX's platforms to check; cpu checks the CPU as if it were an accelerator.
    """
    shape, problems = parse_size(size), []
    device = _find(platform)
    keep_compilations()
    print(f"{device.device_kind}, jax {jax.__version__}; {machine()}")
    with jax.default_device(device):
        findings = chain(check_laws(make_case(load(), ALEXNET, device), LAWS), check_presets(presets, device))
        for name, found, holds in findings:
            print(f"{'holds' if holds else 'FAILS'}  {name}: {found}", flush=True)
            problems += [] if holds else [name]
        problems += _time_presets(presets, precision, batches, shape, rounds, device)
    print(f"problems: {'; '.join(problems) or 'none'}")
    return 1 if problems else 0


def _find(platform: str | None) -> Any:
    """First device of a platform, or of JAX's default one. Raises `InputError` where that is no accelerator."""
    if (problem := backend_problem()) is not None:
        raise InputError(problem)
    try:
        device = jax.devices(platform)[0]
    except RuntimeError as error:
        raise InputError(f"--platform {platform}: expected one that JAX has here, found {reason(error):.200}") from None
    if device.platform == "cpu" and platform != "cpu":
        raise InputError("expected a GPU or TPU, found that JAX has the CPU alone (mfst doctor says what is missing)")
    return device


def _time_presets(
    presets: Sequence[Preset],
    precisions: Sequence[Precision],
    batches: Sequence[int],
    size: Size,
    rounds: int,
    device: Any,
) -> Iterator[str]:
    """Prints the limits, the table and the peak memory, and yields what did not run."""
    side, megabytes = (1024, 64) if device.platform == "cpu" else (8192, 1024)
    rows = []
    for precision in precisions:
        limits = measure_limits(side, megabytes, precision)
        print(f"limits at precision {precision}: {limits.flops / 1e12:.2f} TFLOP/s, {limits.moved / 1e9:.0f} GB/s")
        for preset in presets:
            for batch in batches:
                try:
                    rows.append(row(preset, precision, batch, size, rounds, limits))
                except jax.errors.JaxRuntimeError as error:
                    yield f"{preset} at precision {precision} in a batch of {batch} does not run: {reason(error):.200}"
    if device.device_kind in CARDS:
        print("data sheet: {} TFLOP/s in float32, {} GB/s".format(*CARDS[device.device_kind]))
    print(table(HEADER, rows))
    memory = device.memory_stats() or {}
    if "peak_bytes_in_use" in memory:
        print(f"peak memory of all: {memory['peak_bytes_in_use'] / 2**20:.0f} MiB")


def _mebibytes(compiled: Any) -> str:
    """Memory that a compiled program takes, its arguments and results included; ? where it does not say."""
    found = compiled.memory_analysis()
    if found is None:
        return "?"
    parts = (
        found.temp_size_in_bytes,
        found.argument_size_in_bytes,
        found.output_size_in_bytes,
        -found.alias_size_in_bytes,
    )
    return f"{sum(parts) / 2**20:.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the check as a program."""
    return exit_status(lambda: tyro.cli(check, args=arguments, description=__doc__), program="gpu_check")


if __name__ == "__main__":
    sys.exit(main())
