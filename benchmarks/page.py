"""Size of a page to scrub through, and the cost of writing it: `python benchmarks/page.py`.

The frames are every fifth of the built-in clip, over and over, brought to each size; boxes and maps are made up, since
they take the same room whatever they show. Times are of one core, beside which others track.
"""

import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from mfst_jax.bench.side_by_side import machine, table
from mfst_jax.config import to_dict
from mfst_jax.media.sources import demo_source
from mfst_jax.page import PageTarget, PageWriter
from mfst_jax.presets import PAPER


def main(
    counts: tuple[int, ...] = (150, 500, 2000, 10_000),
    sizes: tuple[str, ...] = ("640x360", "1920x1080"),
    targets: int = 1,
) -> None:
    """Prints a line for each number of frames and each size.

    Args:
        counts: Numbers of frames.
        sizes: Sizes of the frames, WIDTHxHEIGHT.
        targets: How many targets there are, with a map each.
    """
    clip = list(demo_source().frames())[::5]
    response = np.random.default_rng(0).random((272, 272), np.float32)
    boxes, scores = np.tile(np.array([158, 208, 61, 44], np.float32), (targets, 1)), np.full(targets, 0.9, np.float32)
    lines = []
    for size in sizes:
        width, height = map(int, size.split("x"))
        frames = [np.asarray(Image.fromarray(frame).resize((width, height))) for frame in clip]
        for count in counts:
            started = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "page.html"
                with PageWriter(
                    path,
                    name="clip",
                    size=(height, width),
                    fps=25,
                    targets=[PageTarget(f"{number}") for number in range(targets)],
                    count=count,
                    config=to_dict(PAPER),
                    maps=True,
                ) as page:
                    for frame in islice(cycle(frames), count):
                        page.write(frame, boxes, scores, responses=[response] * targets)
                megabytes = path.stat().st_size / 1e6
            milliseconds = 1000 * (time.process_time() - started) / count
            lines.append((size, f"{count}", f"{megabytes:.1f} MB", f"{milliseconds:.1f} ms"))
    print(machine())
    print(table(("frames of", "frames", "the page", "a frame"), lines))


if __name__ == "__main__":
    tyro.cli(main)
