"""Study behind docs/choices.md: how well a configuration keeps the target's scale where its place is known.

    python tools/study_scale.py ROOT --weights WEIGHTS [--preset NAME] [--set key=value ...] [--steps 1 3 10]

ROOT is a folder of sequences. In each frame the tracker is put at the true place, with the scale that it has come to,
and takes some steps, each at the true place. Training sequences are thinned, while a video at full rate shows much the
same thing for many frames: one step a frame tells how well it follows, ten tell where the scale settles.

A line for each number of steps has the mean overlap of true boxes with boxes of the tracker's scale in the same place
and of the same shape, and the mean of their scale to the true one.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import jax.numpy as jnp
import numpy as np
import tyro
from tyro.conf import Positional

import mfst_jax
from mfst_jax import boxes, evaluation
from mfst_jax.bench.side_by_side import table
from mfst_jax.config import Config
from mfst_jax.evaluation import Sequence
from mfst_jax.fast import PreparedParams
from mfst_jax.media.images import read_image
from mfst_jax.padding import pad
from mfst_jax.params import choose_config
from mfst_jax.presets import Preset
from mfst_jax.program.arguments import Settings, flatten_settings


def errors(prepared: PreparedParams, config: Config, sequence: Sequence, steps: int) -> np.ndarray:
    """Logarithm of the tracker's scale to the true one, after the steps at each frame but the first."""
    truth = sequence.ground_truth.astype(np.float32)
    first, *others = np.flatnonzero(np.isfinite(truth).all(axis=1))
    frame = read_image(sequence.frames[first])
    size = np.array(frame.shape[:2], np.int32)
    state = mfst_jax.init(prepared, pad(frame), truth[first], config=config, frame_size=size)
    scales = np.array([float(boxes.context_side(jnp.asarray(box[2:]), config.context)) for box in truth[others]])
    scales /= float(boxes.context_side(state.size, config.context))
    found = []
    for number, true_scale in zip(others, scales, strict=True):
        frame = jnp.asarray(pad(read_image(sequence.frames[number])))
        centre, _ = boxes.to_centre(jnp.asarray(truth[number]))
        for _ in range(steps):
            state, _ = mfst_jax.step(prepared, replace(state, centre=centre), frame)
        found.append(math.log(float(state.scale) / true_scale))
    return np.array(found)


def main(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    weights: Path,
    preset: Preset = "realtime",
    set: Settings = (),
    steps: tuple[int, ...] = (1, 3, 10),
) -> None:
    """Prints the table.

    Args:
        root: A folder of sequences. Never the benchmark's.
        weights: As for `mfst track`.
        preset: The configuration.
        set: Fields to change, as key=value.
        steps: How many at each frame.
    """
    params = mfst_jax.load(weights)
    config = choose_config(params.contents, preset, flatten_settings(set))
    prepared = mfst_jax.prepare(params, config)
    rows = []
    for count in steps:
        found = [errors(prepared, config, each, count) for each in evaluation.load(root, "folder").sequences]
        overlap = np.mean([np.mean(np.exp(-2 * np.abs(logs))) for logs in found])
        scale = math.exp(np.mean([np.mean(logs) for logs in found]))
        rows.append((str(count), f"{overlap:.3f}", f"{scale:.2f}"))
    print(table(("steps a frame", "mean overlap", "mean scale to the true one"), rows))


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
