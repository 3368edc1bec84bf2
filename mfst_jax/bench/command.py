"""The command `mfst bench`: the time of a tracking step on this machine, by preset, weights, frame size and targets."""

import sys
from itertools import product
from typing import Annotated

import jax
import numpy as np
import tyro

from mfst_jax import checkpoints
from mfst_jax.bench.random_inputs import Size
from mfst_jax.bench.side_by_side import Contestant, alternate, machine, ratios, spread, table
from mfst_jax.bench.steps import Kind, make_step
from mfst_jax.errors import InputError
from mfst_jax.params import resolve_config
from mfst_jax.presets import PRESETS, Preset
from mfst_jax.program.arguments import Weights


def bench(
    *,
    presets: tuple[Preset, ...] = tuple(PRESETS),
    weights: Weights = None,
    kinds: tuple[Kind, ...] = ("prepared", "plain"),
    sizes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WIDTHxHEIGHT ...")] = ("640x480",),
    targets: tuple[int, ...] = (1,),
    rounds: int = 9,
    calls: int = 3,
) -> int:
    """Time the tracking step on this machine: every combination in a process of its own, all in turns.

    Without --weights they are random, with SE-blocks: the numbers make no difference to the time.

    Args:
        presets: The configurations to time.
        weights: A name (see mfst weights), an Orbax directory or a .safetensors file, with what the presets need.
        kinds: Weights as `mfst track` uses them, prepared, or the plain modules.
        sizes: Frames, such as 640x480 1920x1080.
        targets: How many to follow at once in one video: one after the other on CPUs, else as a batch.
        rounds: How often each takes its turn.
        calls: How many steps make a turn.
    """
    given = {"--presets": presets, "--kinds": kinds, "--sizes": sizes, "--targets": targets}
    for option, values in given.items():
        if not values:
            raise InputError(f"{option}: expected at least one, found none")
    shapes = [parse_size(size) for size in sizes]
    if any(count < 1 for count in targets):
        raise InputError(f"--targets: expected 1 or more, found {targets}")
    if weights is not None:
        contents = checkpoints.load(weights).contents
        for preset in presets:
            resolve_config(contents, PRESETS[preset])
    cases = list(product(presets, kinds, zip(sizes, shapes, strict=True), targets))
    contestants = {
        f"{preset}, {kind}, {size}, {count}": Contestant(make_step, weights, preset, kind, shape, count)
        for preset, kind, (size, shape), count in cases
    }
    print(f"{machine()}; jax {jax.__version__} on {jax.default_backend()}; {rounds} rounds of {calls} steps")
    if jax.default_backend() != "cpu" and len(contestants) > 1:
        print("several processes share the accelerator: each keeps memory of its own", file=sys.stderr)
    times = alternate(contestants, rounds=rounds, calls=calls)
    first = next(iter(times.values()))
    rows = []
    for (preset, kind, (size, _), count), its in zip(cases, times.values(), strict=True):
        wall, cpu = ([1000 * second for second in seconds] for seconds in (its.wall, its.cpu))
        rate = 1000 * count / float(np.median(wall))
        ratio = spread(ratios(its.wall, first.wall))
        cells = (spread(wall, 1), f"{np.median(cpu):.1f}", f"{rate:.1f}", f"{its.peak:.0f}", ratio)
        rows.append((preset, kind, size, str(count), *cells))
    header = ("preset", "weights", "frame", "targets", "ms a frame (quartiles)", "CPU ms", "boxes/s", "MiB", "to first")
    print(table(header, rows))
    return 0


def parse_size(text: str) -> Size:
    """Size of a frame from text: `640x480` -> (480, 640). Raises `InputError` for anything else."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise InputError(f"size: expected WIDTHxHEIGHT such as 640x480, found {text!r}")
    return int(height), int(width)
