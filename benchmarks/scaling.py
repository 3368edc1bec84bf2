"""Cost of a step as the frame's size grows, the number of targets in one video, and its length.

    python benchmarks/scaling.py [--preset paper] [--rounds 9] [--calls 3] [--frames 2000]

Weights are random and prepared. Sizes and numbers of targets have a process each, in turns; the cost of a further
target is `(n targets - 1 target) / (n - 1)`, beside a track by itself. Several targets are stepped in turn, as
`MultiTracker` does on CPUs, and as one batch without centre search, as it does elsewhere. The length is that of one
track over frames of noise: the median step and the memory as the frames go by.
"""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import mfst_jax
from mfst_jax.bench import command, random_inputs
from mfst_jax.bench.side_by_side import Contestant, alternate, machine, ratios, spread, table
from mfst_jax.bench.steps import make_step
from mfst_jax.cache import keep_compilations
from mfst_jax.padding import pad
from mfst_jax.params import resolve_config
from mfst_jax.presets import PRESETS, Preset
from mfst_jax.program import allocator

SIZE = (480, 640)


def main(
    preset: Preset = "paper",
    sizes: tuple[str, ...] = ("320x240", "640x480", "1280x720", "1920x1080", "3840x2160"),
    targets: tuple[int, ...] = (1, 2, 4, 8, 16),
    frames: int = 2000,
    rounds: int = 9,
    calls: int = 3,
) -> None:
    """Prints three tables.

    Args:
        preset: The configuration.
        sizes: Of frames; none leaves their table out.
        targets: How many in one video; the first should be 1.
        frames: The length of the long track; 0 for none.
        rounds: How often each takes its turn.
        calls: How many steps make a turn.
    """
    print(
        f"{preset}; {machine()}; jax {jax.__version__} on {jax.default_backend()}; {rounds} rounds of {calls} steps\n"
    )
    if sizes:
        _compare_sizes(preset, sizes, rounds, calls)
    if targets:
        _compare_targets(preset, targets, rounds, calls)
    if frames:
        rows = [(str(number), milliseconds, memory) for number, milliseconds, memory in _long_track(preset, frames)]
        print("\n" + table(("frames", "ms a step since the line above", "MiB resident"), rows))


def _compare_sizes(preset: Preset, sizes: tuple[str, ...], rounds: int, calls: int) -> None:
    contestants = {size: Contestant(make_step, None, preset, "prepared", command.parse_size(size), 1) for size in sizes}
    times = alternate(contestants, rounds=rounds, calls=calls)
    first = times[sizes[0]]
    rows = [
        (
            size,
            _milliseconds(found.wall),
            _median(found.cpu),
            f"{found.peak:.0f}",
            spread(ratios(found.wall, first.wall)),
        )
        for size, found in times.items()
    ]
    print(table(("frame", "ms (quartiles)", "CPU ms", "MiB", f"to {sizes[0]}"), rows))


def _compare_targets(preset: Preset, targets: tuple[int, ...], rounds: int, calls: int) -> None:
    cases = [(count, batch) for count in targets for batch in ((False, True) if count > 1 else (False,))]
    contestants = {
        f"{count} {_how(batch)}": Contestant(make_step, None, preset, "prepared", SIZE, count, batch)
        for count, batch in cases
    }
    times = alternate(contestants, rounds=rounds, calls=calls)
    one = next(iter(times.values()))
    rows = []
    for (count, batch), found in zip(cases, times.values(), strict=True):
        further = "-"
        if count > 1:
            both = zip(found.cpu, one.cpu, strict=True)
            further = spread([(many - single) / (count - 1) / single for many, single in both])
        rows.append(
            (str(count), _how(batch), _milliseconds(found.wall), _median(found.cpu), f"{found.peak:.0f}", further)
        )
    header = ("targets", "as", "ms (quartiles)", "CPU ms", "MiB", "CPU of a further target to one alone")
    print("\n" + table(header, rows))


def _how(batch: bool) -> str:
    return "batch" if batch else "in turn"


def _long_track(preset: Preset, frames: int) -> Iterator[tuple[int, str, str]]:
    """Rows of the table, one whenever the number of frames has doubled."""
    keep_compilations()
    config = PRESETS[preset]
    params = random_inputs.preset_params(preset)
    config = resolve_config(params.contents, config)
    weights = mfst_jax.prepare(params, config)
    pictures = [jnp.asarray(pad(frame)) for frame in random_inputs.noise(SIZE, 4)]
    state: Any = mfst_jax.init(weights, pictures[0], random_inputs.random_boxes(SIZE, 1)[0], config=config)
    seconds: list[float] = []
    for number in range(1, frames + 1):
        start = time.perf_counter()
        state, output = mfst_jax.step(weights, state, pictures[number % len(pictures)])
        np.asarray(output.box)
        seconds.append(time.perf_counter() - start)
        if number >= 64 and (number & (number - 1) == 0 or number == frames):
            yield number, _median(seconds), f"{allocator.resident_bytes() / 2**20:.0f}"
            seconds.clear()


def _milliseconds(seconds: list[float]) -> str:
    return spread([1000 * second for second in seconds], 1)


def _median(seconds: list[float]) -> str:
    return f"{1000 * statistics.median(seconds):.1f}"


if __name__ == "__main__":
    tyro.cli(main)
