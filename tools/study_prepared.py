"""Study behind docs/evaluation.md: how far prepared weights are from plain ones, sequence by sequence.

    python tools/study_prepared.py ROOT --weights PATH [--preset NAME] [--every N]

Tracks every sequence twice from its first box, with plain and with prepared weights, each going on from its own boxes.
In one frame of every N both also see the same search regions, those of the plain track. For each sequence it prints the
largest error of a response, as a share of its map's largest value, the largest difference of x, y, width or height
between the boxes of a frame, and the first frame in which that is more than half a pixel.
"""

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from tyro.conf import Positional

import mfst_jax
from mfst_jax.cache import keep_compilations
from mfst_jax.compilation import jit
from mfst_jax.config import Config
from mfst_jax.evaluation import datasets
from mfst_jax.media.images import read_image
from mfst_jax.network import bind
from mfst_jax.padding import pad
from mfst_jax.params import resolve_config
from mfst_jax.presets import PRESETS, Preset
from mfst_jax.search import search_regions
from mfst_jax.sequences import Sequence

PARTED = 0.5
"""Difference of boxes in pixels from which on they have parted."""


@dataclass(frozen=True)
class Parting:
    """Differences of the two tracks of a sequence.

    Attributes:
      response_error: Largest error of a response, relative to its map's largest value.
      pixels: Largest difference of a box, in each frame after the first.
    """

    response_error: float
    pixels: np.ndarray

    def first(self) -> str:
        """Number, from 0, of the first frame in which boxes have parted."""
        parted = np.flatnonzero(self.pixels > PARTED)
        return str(parted[0] + 1) if parted.size else "never"


def compare(sequence: Sequence, plain: mfst_jax.Params, prepared: mfst_jax.PreparedParams, every: int) -> Parting:
    """Differences of the tracks by both kinds of weights, in padded frames, so that sequences share compilations."""
    chosen = resolve_config(plain.contents, None)
    images = map(read_image, sequence.frames)
    first = next(images)
    padded, size = jax.device_put(pad(first)), np.array(first.shape[:2], np.int32)
    expected, found = (
        mfst_jax.init(weights, padded, sequence.ground_truth[0], frame_size=size) for weights in (plain, prepared)
    )
    error, pixels = 0.0, []
    for number, image in enumerate(images, 1):
        frame = jax.device_put(pad(image))
        if number % every == 0:
            regions = _regions(expected, frame, config=chosen)
            pairs = zip(
                jax.tree.leaves(_responses(plain, expected.exemplar, regions, config=chosen)),
                jax.tree.leaves(_responses(prepared, found.exemplar, regions, config=chosen)),
                strict=True,
            )
            errors = [_relative(np.asarray(theirs), np.asarray(ours)) for theirs, ours in pairs]
            error = max(error, *errors)
        expected, target = mfst_jax.step(plain, expected, frame)
        found, output = mfst_jax.step(prepared, found, frame)
        pixels.append(np.abs(np.asarray(output.box) - np.asarray(target.box)).max())
    return Parting(error, np.array(pixels))


@partial(jit, static_argnames=("config",))
def _regions(state: mfst_jax.State, frame: jax.Array, *, config: Config) -> jax.Array:
    return search_regions(state, frame, config).images


@partial(jit, static_argnames=("config",))
def _responses(weights: Any, exemplar: Any, regions: jax.Array, *, config: Config) -> Any:
    return bind(weights, config).match(exemplar, regions)[0]


def _relative(expected: np.ndarray, found: np.ndarray) -> Any:
    return np.abs(found - expected).max() / np.abs(expected).max()


def main(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    weights: Path,
    preset: Preset = "paper",
    every: int = 10,
) -> None:
    """Prints the table.

    Args:
        root: A folder of sequences with true boxes.
        weights: A checkpoint with all that the preset uses.
        preset: How to track.
        every: In which frames responses are compared.
    """
    keep_compilations()
    params = mfst_jax.load(weights)
    params = dataclasses.replace(
        params,
        contents=dataclasses.replace(params.contents, config=resolve_config(params.contents, PRESETS[preset])),
    )
    prepared = mfst_jax.prepare(params)
    print("| sequence | frames | response error | box, largest and mean px | parted |")
    print("| --- " * 5 + "|")
    for sequence in datasets.load(root).sequences:
        parting = compare(sequence, params, prepared, every)
        far = f"{parting.pixels.max():.3f}, {parting.pixels.mean():.3f}"
        row = (sequence.name, len(sequence.frames), f"{parting.response_error:.1e}", far, parting.first())
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
