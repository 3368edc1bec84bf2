"""Rate of `mfst track`, from file to boxes and to an annotated video, against that of the step alone.

    python benchmarks/pipeline.py [--frames 60] [--rounds 5] [--weights PATH] [--preset NAME]

The source is the built-in clip enlarged to 1080p, encoded first in a process of its own. A round takes each way once,
in one process: the bare steps, over the video's padded frames that are on the device already, so that they search as
often in the centre alone as the others do; boxes to a table, read ahead of the tracker; and boxes and annotated video,
drawn and encoded behind it as well. The figure to read is the ratio of rates within a round: 1 means that reading,
drawing and encoding hide behind the steps.
"""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from memory import HEIGHT, WIDTH, encode

import mfst_jax
from mfst_jax.bench.side_by_side import machine, ratios, spread, table
from mfst_jax.cache import keep_compilations
from mfst_jax.following.loop import follow
from mfst_jax.media.sources import Source, demo_source, open_source
from mfst_jax.padding import pad
from mfst_jax.params import choose_config
from mfst_jax.presets import Preset
from mfst_jax.program.arguments import File


def hold(video: Source, period: int) -> list[jax.Array]:
    """Padded frames of a video on the device, as many as there are before it repeats itself."""
    with closing(video.frames()) as frames:
        return [jnp.asarray(pad(frame)) for frame in islice(frames, period)]


def main(frames: int = 60, rounds: int = 5, weights: File = None, preset: Preset | None = None) -> None:
    """Prints the table.

    Args:
        frames: Length of the video.
        rounds: How often each way is taken.
        weights: As for `mfst track`.
        preset: As for `mfst track`.
    """
    keep_compilations()
    params = mfst_jax.load(weights)
    config = choose_config(params.contents, preset, ())
    prepared = mfst_jax.prepare(params, config)
    source = demo_source()
    assert source.ground_truth is not None
    height, width = source.size
    box = source.ground_truth[0] * np.array([WIDTH / width, HEIGHT / height] * 2, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path, table_path, movie = (Path(folder, name) for name in ("long.mp4", "boxes.csv", "out.mp4"))
        encoder = multiprocessing.get_context("spawn").Process(target=encode, args=(path, frames))
        encoder.start()
        encoder.join()
        if encoder.exitcode:
            raise SystemExit(f"encoding the video failed: {encoder.exitcode}")
        video = open_source(path)
        held = hold(video, 2 * len(source.ground_truth) - 2)
        state = mfst_jax.init(prepared, held[0], box, config=config, frame_size=np.array(video.size, np.int32))

        def steps() -> float:
            current, start = state, time.perf_counter()
            for frame in islice(cycle([*held[1:], held[0]]), frames):
                current, output = mfst_jax.step(prepared, current, frame)
                jax.device_get((output.box, output.score))
            return frames / (time.perf_counter() - start)

        ways: dict[str, Callable[[], float]] = {
            "steps alone": steps,
            "boxes": lambda: follow(video, box, prepared, config, table=table_path, quiet=True).frames_per_second,
            "boxes and video": lambda: (
                follow(video, box, prepared, config, table=table_path, video=movie, quiet=True).frames_per_second
            ),
        }
        print(f"{WIDTH} x {HEIGHT}, {frames} frames, {params.contents.describe()}; {machine()}; {rounds} rounds")
        rates: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, way in ways.items():
                start = time.process_time()
                rate = way()
                if number:  # the first round does not count
                    rates[name].append(rate)
                    cpu[name].append((time.process_time() - start) / frames)
    rows = [
        (
            name,
            spread(found, 1),
            f"{1000 * statistics.median(cpu[name]):.1f}",
            spread(ratios(found, rates["steps alone"])),
        )
        for name, found in rates.items()
    ]
    print(table(("way", "frames/s (quartiles)", "CPU ms a frame", "to the steps alone"), rows))


if __name__ == "__main__":
    tyro.cli(main)
