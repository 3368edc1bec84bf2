"""Time of one step of exported trackers beside ours, in turns, on the same CPU cores.

    python benchmarks/exported.py [mfst.onnx mfst.stablehlo ...] [--weights paper] [--rounds 15] [--calls 3]

needs the extra `export`. The files are what `mfst export` wrote of the same weights and the same configuration; ours is
`mfst_jax.Tracker` with them. Each has a process of its own and follows the target of a made-up video of 640 x 480. A
round times each once; the figure to read is the ratio within a round: below 1, the first of the two is faster.
"""

import itertools
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

import mfst_jax
from mfst_jax.bench.side_by_side import Contestant, alternate, machine, ratios, spread, table
from mfst_jax.cache import keep_compilations
from mfst_jax.config import from_dict
from mfst_jax.export.files import read_metadata
from mfst_jax.export.running import open_exported

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from scenes import video

FRAMES = 20


def make(path: Path | None, weights: str | None, config: dict[str, Any]) -> Callable[[], object]:
    """Step to time, by an exported tracker or, without a path, by ours; it runs through the video to and fro."""
    keep_compilations()
    frames, boxes = video(seed=0, frames=FRAMES, size=(480, 640), target=(80, 60), start=(300, 200))
    if path is None:
        ours = mfst_jax.Tracker(mfst_jax.load(weights), from_dict(config))
        ours.init(frames[0], boxes[0])
        update: Callable[[np.ndarray], object] = ours.update
    else:
        exported = open_exported(path)
        exported.init(frames[0], boxes[0])
        update = exported.update
    order = itertools.cycle([*frames[1:], *frames[-2::-1]])
    for _ in range(3):
        update(next(order))
    return lambda: update(next(order))


def main(
    exported: Annotated[tyro.conf.Positional[list[Path]], tyro.conf.arg(metavar="PATH")],
    /,
    *,
    weights: str | None = None,
    rounds: int = 15,
    calls: int = 3,
) -> None:
    """Prints the times and the ratios.

    Args:
      exported: what `mfst export` wrote, all of one configuration.
      weights: the weights that it was exported from; by default the built-in ones.
      rounds: rounds to time.
      calls: steps of each in a round.
    """
    config = read_metadata(exported[0])["config"]
    assert all(read_metadata(path)["config"] == config for path in exported), "one configuration"
    names = ["ours", *(path.name for path in exported)]
    contestants = {
        name: Contestant(make, path, weights, config) for name, path in zip(names, [None, *exported], strict=True)
    }
    print(f"640 x 480; {machine()}; {rounds} rounds of {calls} steps; median (quartiles)\n")
    times = alternate(contestants, rounds=rounds, calls=calls)
    rows = [
        [
            name,
            spread([1000 * second for second in each.wall], 1),
            f"{1000 * statistics.median(each.cpu):.1f}",
            f"{each.peak:.0f}",
            spread(ratios(times["ours"].wall, each.wall)),
        ]
        for name, each in times.items()
    ]
    print(table(("tracker", "ms a step", "CPU ms", "MiB", "ours to it"), rows))


if __name__ == "__main__":
    tyro.cli(main)
