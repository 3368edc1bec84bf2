"""Start of a process: the time of its imports, and the time until the first box, preset by preset.

    python benchmarks/startup.py [--presets paper realtime] [--caches empty warm] [--rounds 7] [--against TREE]

Every start is a new process, all kinds in turns. "First box" is `mfst track` on two frames of the built-in clip, from
start to end, which is one new box: without a compilation cache, with an empty one, and with the one that the round
before filled. With `--frames 60` the track is long enough to wait for the fast program too. Weights are random, unless
some are given. With `--against`, another checkout of this project starts in the same turns.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import tyro
from PIL import Image

from mfst_jax import checkpoints
from mfst_jax.bench import random_inputs
from mfst_jax.bench.side_by_side import machine, ratios, spread, table
from mfst_jax.cache import CACHE_VARIABLE
from mfst_jax.checkpoints import known_weights
from mfst_jax.errors import InputError
from mfst_jax.media.sources import demo_source
from mfst_jax.presets import PRESETS, Preset
from mfst_jax.program.arguments import File

Cache = Literal["none", "empty", "warm"]
Start = tuple[Path, list[str], dict[str, str]]
"""Checkout, arguments of Python, and environment variables of a start."""

OURS = Path(__file__).resolve().parents[1]
IMPORTS = ("jax", "mfst_jax", "mfst_jax.cli")
SWITCH = "JAX_ENABLE_COMPILATION_CACHE"


def main(
    rounds: int = 7,
    presets: tuple[Preset, ...] = tuple(PRESETS),
    caches: tuple[Cache, ...] = ("none", "empty", "warm"),
    weights: File = None,
    against: Path | None = None,
    frames: int = 2,
) -> None:
    """Prints the table.

    Args:
        rounds: How often each kind of start takes its turn.
        presets: How to track.
        caches: What compilations to find.
        weights: As for `mfst track`; by default random ones of what each preset uses.
        against: Another checkout, to be compared with.
        frames: How much of the clip to track.
    """
    if against is not None and not (against / "mfst_jax").is_dir():
        raise InputError(f"--against: expected a checkout with a folder mfst_jax, found {against}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        track = ["-m", "mfst_jax.cli", "track", *_clip(folder / "frames", frames), "--weights"]
        by_preset = {preset: [*track, _weights(weights, preset, folder), "--preset", preset] for preset in presets}
        kinds: dict[str, Start] = {}
        for tree in [OURS] if against is None else [OURS, against.resolve()]:
            whose = "" if tree == OURS else ", against"
            kinds |= {f"import {module}{whose}": (tree, ["-c", f"import {module}"], {}) for module in IMPORTS}
            for preset, command in by_preset.items():
                for cache in caches:
                    warm = str(folder / f"warm{whose}")
                    where = {"none": {SWITCH: "0"}, "empty": {CACHE_VARIABLE: ""}, "warm": {CACHE_VARIABLE: warm}}
                    kinds[f"{preset}, cache: {cache}{whose}"] = tree, command, where[cache]
        print(f"{machine()}; {rounds} rounds")
        times = _in_turns(kinds, rounds)
    rows = []
    for name, found in times.items():
        wall, cpu = ([pair[axis] for pair in found] for axis in (0, 1))
        beyond = [ours - theirs for (_, ours), (_, theirs) in zip(found, times["import jax"], strict=True)]
        row = [name, spread(wall), spread(cpu), f"{statistics.median(beyond):.2f}"]
        if against is not None:
            other = times.get(f"{name}, against", found)
            row += [spread(ratios(*([pair[axis] for pair in each] for each in (found, other)))) for axis in (0, 1)]
        rows.append(row)
    header = ["start", "wall s (quartiles)", "CPU s (quartiles)", "CPU s beyond import jax"]
    header += [] if against is None else ["wall to the other's", "CPU to the other's"]
    print(table(header, rows))


def _in_turns(kinds: Mapping[str, Start], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of wall and of CPU time of each kind of start, a pair for each round."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for number in range(rounds + 1):
        for name, (tree, command, environment) in kinds.items():
            with tempfile.TemporaryDirectory() as empty:
                chosen = {key: value or empty for key, value in environment.items()}
                took = _start(command, chosen | {"PYTHONPATH": str(tree)})
            if number:  # the first round fills the caches, the disk's among them
                times[name].append(took)
    return times


def _clip(folder: Path, frames: int) -> list[str]:
    """First frames of the built-in clip, and the box in the first, as `mfst track` takes them."""
    source = demo_source()
    assert source.ground_truth is not None
    folder.mkdir()
    for number, frame in zip(range(frames), source.frames(), strict=False):
        Image.fromarray(frame).save(folder / f"{number}.png")
    return [str(folder), "--box", ",".join(map(str, source.ground_truth[0]))]


def _weights(given: str | Path | None, preset: Preset, folder: Path) -> str:
    if given is not None:
        return str(known_weights.locate(given).absolute())
    path = folder / f"{preset}.safetensors"
    checkpoints.save(random_inputs.preset_params(preset), path)
    return str(path)


def _start(command: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds of wall and of CPU time until the process has ended."""
    ours = (CACHE_VARIABLE, SWITCH, "JAX_COMPILATION_CACHE_DIR")
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    before, start = os.times(), time.perf_counter()
    command = [sys.executable, "-P", *command]  # the checkout, not the folder where this was started
    subprocess.run(command, env=clean | dict(environment), check=True, capture_output=True)
    after = os.times()
    cpu = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return time.perf_counter() - start, cpu


if __name__ == "__main__":
    tyro.cli(main)
