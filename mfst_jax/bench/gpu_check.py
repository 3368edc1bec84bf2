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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from mfst_jax import tracker
from mfst_jax.bench.command import parse_size
from mfst_jax.bench.random_inputs import Size, noise, preset_params, random_boxes
from mfst_jax.bench.roofline import CARDS, Limits, Work, measure_limits, seconds, work
from mfst_jax.bench.side_by_side import machine, spread, table
from mfst_jax.cache import keep_compilations
from mfst_jax.checkpoints import load
from mfst_jax.compilation import Program, jit
from mfst_jax.config import ALEXNET, PRESETS, Config, Preset
from mfst_jax.errors import InputError, reason
from mfst_jax.fast import PreparedParams, prepare
from mfst_jax.padding import pad
from mfst_jax.params import Params, resolve_config
from mfst_jax.program.arguments import exit_status
from mfst_jax.program.jax_health import backend_problem, computes_rightly
from mfst_jax.state import Result

PIXELS = 0.05
"""Greatest deviation of a side of a box that passes for rounding, in pixels."""
RELATIVE = 1e-3
"""Greatest deviation of a response from the CPU's, relative to the largest response."""
Precision = Literal["default", "high", "highest"]


@dataclass(frozen=True)
class Case:
    """Material of the laws: a textured target that moves over a textured background.

    Attributes:
      params: Weights on the accelerator.
      config: How to track.
      frames: [T, H, W, 3] uint8.
      box: True box in the first frame, [4] float32.
      device: The accelerator.
    """

    params: Params
    config: Config
    frames: np.ndarray
    box: np.ndarray
    device: Any

    @cached_property
    def weights(self) -> PreparedParams:
        """Prepared weights."""
        return prepare(self.params, self.config)

    def track(self, frames: Any, **options: Any) -> Result:
        """Track by prepared weights."""
        return tracker.track(self.weights, frames, self.box, config=self.config, **options)


def make_case(params: Params, config: Config, device: Any, size: Size = (120, 168), count: int = 5) -> Case:
    """Case of `count` frames of a size, the target a quarter as high as they are."""
    rng, (height, width) = np.random.default_rng(0), size
    side, grain = height // 4, 4
    coarse = [
        rng.integers(0, 256, (-(-rows // grain), -(-columns // grain), 3), np.uint8)
        for rows, columns in (size, (side, side))
    ]
    background, patch = (np.kron(each, np.ones((grain, grain, 1), np.uint8)) for each in coarse)
    frames = np.repeat(background[None, :height, :width], count, axis=0)
    for number, frame in enumerate(frames):
        x, y = width // 3 + 3 * number, height // 3 + 2 * number
        frame[y : y + side, x : x + side] = patch[:side, :side]
    return Case(params, config, frames, np.array([width // 3, height // 3, side, side], np.float32), device)


def arithmetic(case: Case) -> float:
    """0 where the device computes rightly what a release of JAX got wrong, else infinity."""
    return 0.0 if computes_rightly() else np.inf


def blank_frames(case: Case) -> float:
    """By how much a box moves in black frames."""
    found = case.track(np.zeros_like(case.frames))
    return _deviation(found.box, np.tile(case.box, (len(case.frames), 1)))


def repetition(case: Case) -> float:
    """By how much the same call differs from itself; 0 is asked for."""
    return np.inf if _deviation(case.track(case.frames).box, case.track(case.frames).box) else 0.0


def one_program(case: Case) -> float:
    """By how much a whole track in one compiled program differs from one frame by frame."""
    frames, box = jnp.asarray(case.frames), jnp.asarray(case.box)
    found = jax.jit(tracker.track)(case.weights, frames, box, config=case.config)
    return _deviation(found.box, case.track(case.frames).box)


def batches(case: Case) -> float:
    """By how much tracks taken together differ from each alone."""
    videos = np.stack([case.frames, case.frames[::-1]])
    boxes = np.tile(case.box, (2, 1))

    def track(weights: Any, frames: jax.Array, box: jax.Array) -> jax.Array:
        return tracker.track(weights, frames, box, config=case.config).box

    found = jax.jit(jax.vmap(track, in_axes=(None, 0, 0)))(case.weights, videos, boxes)
    return max(_deviation(found[number], case.track(video).box) for number, video in enumerate(videos))


def padded_frames(case: Case) -> float:
    """By how much a track in padded frames differs from one in the frames themselves."""
    padded = np.stack([np.asarray(pad(frame)) for frame in case.frames])
    return _deviation(case.track(padded, frame_size=case.frames.shape[1:3]).box, case.track(case.frames).box)


def boxes_of_the_cpu(case: Case) -> float:
    """By how much boxes differ from those of the plain modules on a CPU."""
    cpu = jax.devices("cpu")[-1]
    with jax.default_device(cpu):
        expected = tracker.track(jax.device_put(case.params, cpu), case.frames, case.box, config=case.config)
        expected = np.asarray(expected.box)
    return _deviation(case.track(case.frames).box, expected)


LAWS: dict[str, Callable[[Case], float]] = {
    "a small example is computed rightly": arithmetic,
    "black frames move nothing": blank_frames,
    "the same call gives the same bits": repetition,
    "one program tracks as frame by frame": one_program,
    "a batch tracks as each alone": batches,
    "padding changes nothing": padded_frames,
    "boxes are the CPU's": boxes_of_the_cpu,
}
"""Laws, each with the function that gives its greatest deviation in pixels."""


def check_laws(case: Case, laws: dict[str, Callable[[Case], float]]) -> Iterator[tuple[str, str, bool]]:
    """Name of each law, what was found, and whether it holds. A law that fails to run does not hold."""
    for name, law in laws.items():
        try:
            with jax.default_device(case.device):
                found = law(case)
        except Exception as error:
            yield name, f"{type(error).__name__}: {reason(error):.200}", False
        else:
            yield name, f"{found:.4f} px", found <= PIXELS  # which NaN is not


def check_responses(params: Params, config: Config, device: Any) -> float:
    """Deviation of a step's fused responses from the CPU's, relative to the largest: prepared against plain weights."""
    case = make_case(params, config, device)

    def respond(weights: Any) -> np.ndarray:
        state = tracker.init(weights, case.frames[0], case.box, config=config)
        return np.asarray(tracker.step(weights, state, case.frames[1])[1].response)

    cpu = jax.devices("cpu")[-1]
    with jax.default_device(cpu):
        expected = respond(jax.device_put(params, cpu))
    with jax.default_device(device):
        found = respond(prepare(jax.device_put(params, device), config))
    return float(np.abs(found - expected).max() / np.abs(expected).max())


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
    for name, found, holds in check_laws(make_case(load(), ALEXNET, device), LAWS):
        print(f"{'holds' if holds else 'FAILS'}  {name}: {found}", flush=True)
        problems += [] if holds else [name]
    with jax.default_device(device):
        problems += _compare_presets(presets, device)
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


def _compare_presets(presets: Sequence[Preset], device: Any) -> Iterator[str]:
    """Prints how far each preset's responses are from the CPU's, and yields what is wrong."""
    for preset in presets:
        params, name = preset_params(preset), f"responses of {preset} are the CPU's"
        try:
            found = check_responses(params, resolve_config(params.contents, PRESETS[preset]), device)
        except Exception as error:
            print(f"FAILS  {name}: {type(error).__name__}: {reason(error):.200}", flush=True)
            yield name
        else:
            print(f"{'holds' if found <= RELATIVE else 'FAILS'}  {name}: {found:.1e} of the largest", flush=True)
            if not found <= RELATIVE:
                yield name


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


def _deviation(found: Any, expected: Any) -> float:
    """Greatest difference of two arrays of boxes, in pixels; NaN where a box is."""
    return float(np.max(np.abs(np.asarray(found) - np.asarray(expected))))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the check as a program."""
    return exit_status(lambda: tyro.cli(check, args=arguments, description=__doc__), program="gpu_check")


if __name__ == "__main__":
    sys.exit(main())
