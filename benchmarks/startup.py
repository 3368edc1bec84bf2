"""Start of a process: the time of its imports, and the time until the first box.

    python benchmarks/startup.py [--rounds 7] [--weights PATH]

Every start is a new process, all kinds in turns. "First box" is `mfst track` on two frames of the built-in clip, from
start to end, which is one new box: without a compilation cache, with an empty one, and with the one that the round
before filled.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import tyro
from PIL import Image

from mfst_jax import known_weights
from mfst_jax.alternation import machine, ratios, spread, table
from mfst_jax.arguments import File
from mfst_jax.cache import CACHE_VARIABLE
from mfst_jax.video import demo_source

IMPORTS = ("jax", "mfst_jax", "mfst_jax.cli")
SWITCH = "JAX_ENABLE_COMPILATION_CACHE"


def main(rounds: int = 7, weights: File = None) -> None:
    """Prints the table.

    Args:
        rounds: How often each kind of start takes its turn.
        weights: As for `mfst track`.
    """
    source = demo_source()
    assert source.ground_truth is not None
    with tempfile.TemporaryDirectory() as folder:
        frames, warm = Path(folder, "frames"), Path(folder, "warm")
        frames.mkdir()
        for number, frame in zip(range(2), source.frames(), strict=False):
            Image.fromarray(frame).save(frames / f"{number}.png")
        box = ",".join(map(str, source.ground_truth[0]))
        track = [sys.executable, "-m", "mfst_jax.cli", "track", str(frames), "--box", box]
        track += [] if weights is None else ["--weights", str(known_weights.locate(weights).absolute())]

        kinds: dict[str, tuple[list[str], dict[str, str]]] = {
            f"import {name}": ([sys.executable, "-c", f"import {name}"], {}) for name in IMPORTS
        }
        kinds["first box, no cache"] = track, {SWITCH: "0"}
        kinds["first box, empty cache"] = track, {CACHE_VARIABLE: ""}
        kinds["first box, warm cache"] = track, {CACHE_VARIABLE: str(warm)}
        print(f"{machine()}; {rounds} rounds")
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for number in range(rounds + 1):
            for name, (command, environment) in kinds.items():
                with tempfile.TemporaryDirectory() as empty:
                    chosen = {key: value or empty for key, value in environment.items()}
                    took = _start(command, chosen)
                if number:  # the first round fills the caches, the disk's among them
                    times[name].append(took)
    rows = []
    for name, found in times.items():
        wall, cpu = ([pair[axis] for pair in found] for axis in (0, 1))
        beyond = [ours - theirs for (_, ours), (_, theirs) in zip(found, times["import jax"], strict=True)]
        share = spread(ratios(cpu, [theirs for _, theirs in times["first box, no cache"]]))
        rows.append((name, spread(wall), spread(cpu), f"{statistics.median(beyond):.2f}", share))
    header = ("start", "wall s (quartiles)", "CPU s (quartiles)", "CPU s beyond import jax", "CPU to no cache")
    print(table(header, rows))


def _start(command: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds of wall and of CPU time until the process has ended."""
    ours = (CACHE_VARIABLE, SWITCH, "JAX_COMPILATION_CACHE_DIR")
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, env=clean | dict(environment), check=True, capture_output=True)
    after = os.times()
    cpu = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return time.perf_counter() - start, cpu


if __name__ == "__main__":
    tyro.cli(main)
