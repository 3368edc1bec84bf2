"""Memory of a long 1080p video, tracked as `mfst track` does, as the frames go by.

    python benchmarks/memory.py [--frames 10000] [--weights PATH] [--preset NAME] [--set key=value ...]

The video is the built-in clip, enlarged and run back and forth, encoded first in a process of its own. Resident memory
includes what the allocator keeps although it is free; "in use" does not. Linux with glibc only.
"""

import ctypes
import multiprocessing
import resource
import tempfile
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

import mfst_jax
from mfst_jax.following.loop import follow
from mfst_jax.media.sources import demo_source, open_source
from mfst_jax.media.writers import VideoWriter
from mfst_jax.params import choose_config
from mfst_jax.presets import Preset
from mfst_jax.program import allocator
from mfst_jax.program.arguments import Settings, flatten_settings

HEIGHT, WIDTH = 1080, 1920


def encode(path: Path, frames: int) -> None:
    """Writes the long video."""
    clip = [np.asarray(Image.fromarray(frame).resize((WIDTH, HEIGHT))) for frame in demo_source().frames()]
    period = clip + clip[-2:0:-1]
    with VideoWriter(path, fps=25) as video:
        for number in range(frames):
            video.write(period[number % len(period)])


def main(
    frames: int = 10_000,
    weights: Path | None = None,
    preset: Preset | None = None,
    set: Settings = (),
) -> None:
    """Encodes, tracks, and prints a line whenever the number of frames has doubled.

    Args:
        frames: Length of the video.
        weights: As for `mfst track`.
        preset: As for `mfst track`.
        set: As for `mfst track`.
    """
    source = demo_source()
    assert source.ground_truth is not None
    height, width = source.size
    box = source.ground_truth[0] * np.array([WIDTH / width, HEIGHT / height] * 2, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.mp4")
        encoder = multiprocessing.get_context("spawn").Process(target=encode, args=(path, frames))
        encoder.start()
        encoder.join()

        if encoder.exitcode:
            raise SystemExit(f"encoding the long video failed: {encoder.exitcode}")

        def report(number: int, *_: object) -> None:
            done = number + 1
            if done >= 25 and (done & (done - 1) == 0 or done == frames):
                resident = allocator.resident_bytes() / 2**20
                print(
                    f"{done:>7} frames: {resident:7.1f} MiB resident, {_peak():7.1f} at most, "
                    f"{_in_use():7.1f} of the heap in use",
                    flush=True,
                )

        with allocator.compiling():
            params = mfst_jax.load(weights)
            chosen = choose_config(params.contents, preset, flatten_settings(set))
            prepared = mfst_jax.prepare(params, chosen)
            del params  # as `mfst track` does
        tracked = follow(open_source(path), box, prepared, chosen, table=Path(folder, "boxes.csv"), hear=report)
    print(f"{len(tracked.boxes)} frames tracked, {prepared.contents.describe()}")


def _in_use() -> float:
    """Memory that `malloc` has given out and not got back, small blocks and large ones, in MiB."""

    class Counts(ctypes.Structure):  # struct mallinfo2
        _fields_ = [(f"field{number}", ctypes.c_size_t) for number in range(10)]

    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Counts
    counts = mallinfo2()
    return (counts.field7 + counts.field4) / 2**20  # uordblks and hblkhd


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    tyro.cli(main)
