"""Throughput over many videos: sequences a second at several batch sizes, as `mfst eval --batch` tracks them.

    python benchmarks/throughput.py [--batches 1 8 32] [--frames 20] [--rounds 3] [--devices 0]

A batch is one `vmap` over padded frames, shared out to all devices (`mfst_jax.evaluation.tracking`). Every batch tracks
the same `--sequences` synthetic videos, of several sizes that are padded to one, read from a temporary folder, and has
to find the boxes that a batch of one finds. Their number is a multiple of each batch, so that no slot is idle.
`--devices N` makes N fake devices of a CPU: that shows that sharing out is right, not that it is fast. Compiling and
warming up are left out: the clock starts after a batch of short videos.
"""

import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import tyro

SIZES = (240, 320), (200, 280), (180, 360)
"""Heights and widths of the videos, which are padded to one shape: a batch is of one."""
SHORT = 2
"""Number of frames of the videos that come before the clock starts."""


def main(
    batches: tuple[int, ...] = (1, 8, 32),
    sequences: int = 32,
    frames: int = 20,
    rounds: int = 3,
    devices: int = 0,
    preset: str = "paper",
    scale_count: int | None = None,
) -> None:
    """Prints the table.

    Args:
        batches: How many sequences at a time.
        sequences: How many there are: a multiple of each batch.
        frames: Of each sequence.
        rounds: How often each batch size takes its turn.
        devices: How many fake devices to make of a CPU; 0 takes what there is.
        preset: The configuration.
        scale_count: Another number of scales than the preset's, such as 1 for a quick run.
    """
    if devices:  # before JAX starts
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={devices}"
    _measure(batches, sequences, frames, rounds, preset, scale_count)


def _measure(
    batches: tuple[int, ...], sequences: int, frames: int, rounds: int, preset: str, scale_count: int | None
) -> None:
    import dataclasses

    import jax
    import numpy as np
    from PIL import Image

    import mfst_jax
    from mfst_jax.bench import random_inputs
    from mfst_jax.bench.side_by_side import machine, ratios, spread, table
    from mfst_jax.cache import keep_compilations
    from mfst_jax.errors import InputError
    from mfst_jax.evaluation import load
    from mfst_jax.evaluation.tracking import track_sequences
    from mfst_jax.params import resolve_config
    from mfst_jax.presets import PRESETS

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from scenes import video

    if preset not in PRESETS or rounds < 2 or min(batches, default=0) < 1:
        raise InputError(f"expected a preset of {', '.join(PRESETS)}, 2 rounds or more and batches of 1 or more")
    if sequences < 1 or any(sequences % batch for batch in batches):
        sizes = ", ".join(map(str, batches))
        raise InputError(f"--sequences: expected a multiple of each batch ({sizes}), found {sequences}")
    keep_compilations()
    config = PRESETS[preset]
    params = random_inputs.preset_params(preset)
    config = resolve_config(params.contents, config)
    if scale_count is not None:
        config = dataclasses.replace(config, scale_count=scale_count)
    weights = mfst_jax.prepare(params, config)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(sequences + max(batches)):
            name, length = (f"clip{number:03d}", frames) if number < sequences else (f"short{number:03d}", SHORT)
            clip, truth = video(number, frames=length, size=SIZES[number % len(SIZES)], velocity=(1, 1))
            images = Path(folder, name, "img")
            images.mkdir(parents=True)
            for index, frame in enumerate(clip, start=1):
                Image.fromarray(frame).save(images / f"{index:04d}.bmp")
            rows = truth + np.array([1, 1, 0, 0], np.float32)
            np.savetxt(images.with_name("groundtruth_rect.txt"), rows, delimiter=",")
        dataset = load(Path(folder), "folder")
        clips, short = dataset.sequences[:sequences], dataset.sequences[sequences:]

        def track(batch: int) -> tuple[float, dict[str, np.ndarray]]:
            start = 0.0

            def choose(groups: list[tuple[str, ...]]) -> Iterator[int]:
                nonlocal start
                yield len(groups) - 1  # the short ones
                start = time.perf_counter()
                yield from range(len(groups) - 1)

            tracks = list(track_sequences(weights, (*clips, *short[:batch]), config, batch=batch, choose=choose))
            seconds = time.perf_counter() - start
            if problems := [track.problem for track in tracks if track.problem]:
                raise SystemExit("\n".join(problems))
            return seconds, {track.sequence.name: np.stack(track.boxes) for track in tracks}

        local = jax.local_devices()
        print(
            f"{preset}, {sequences} sequences of {frames} frames on {len(local)} x {local[0].device_kind}; {machine()}"
        )
        expected = track(1)[1]
        apart: dict[int, float] = {}
        for batch in batches:
            found = track(batch)[1]
            apart[batch] = max(float(np.abs(found[name] - expected[name]).max()) for name in expected)
        seconds: dict[int, list[float]] = {batch: [] for batch in batches}
        for _ in range(rounds):
            for batch in batches:
                seconds[batch].append(track(batch)[0])
    rows = [
        (
            str(batch),
            str(math.gcd(batch, len(local)) if batch > 1 else 1),
            spread([sequences / second for second in seconds[batch]]),
            spread([sequences * frames / second for second in seconds[batch]], 1),
            spread(ratios(seconds[batches[0]], seconds[batch])),
            f"{apart[batch]:.1e}",
        )
        for batch in batches
    ]
    header = ("batch", "devices", "sequences/s (quartiles)", "frames/s", f"rate to batch {batches[0]}", "px apart")
    print(table(header, rows))


if __name__ == "__main__":
    tyro.cli(main)
