"""Study behind docs/evaluation.md: why `SIAMFC` gives other boxes than a published tracker, sequence by sequence.

    python tools/study_siamfc.py ROOT --weights PATH --published DIR --out DIR

Tracks every sequence of an OTB folder as `SIAMFC` does, with one thing changed at a time to what the published tracker
is known to do, and with changes that mean nothing: a first box that is a pixel off, and weights that are half a step of
their int8 grid off. It prints each sequence's success AUC under each, the range over those that mean nothing, and the
frame in which either tracker first misses the target; a difference within that range needs no other explanation.
Results already in --out are not tracked again.
"""

import dataclasses
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float
from tyro.conf import Positional

import mfst_jax
from mfst_jax import crops, presets, tracker
from mfst_jax.errors import InputError
from mfst_jax.evaluation import datasets, overlaps, scoring
from mfst_jax.evaluation.results import Results, write_result
from mfst_jax.evaluation.tracking import track_sequences
from mfst_jax.sequences import Sequence

SHIFTS = tuple(product((-1.0, 1.0), repeat=2))
"""Shifts of the first box, (x, y) in pixels."""
SEEDS = range(3)
MISS = 0.1


@dataclass(frozen=True)
class Variant:
    """Variant of `SIAMFC`: what it changes in the configuration, in the input or in the weights.

    Attributes:
      name: Name of the variant.
      changes: Fields of the configuration that it changes.
      shift: Shift of the first box, (x, y) in pixels.
      seed: Seed of the noise in the weights; None for no noise.
      rounded: Whether crops begin and end at whole pixels.
    """

    name: str
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    shift: tuple[float, float] = (0.0, 0.0)
    seed: int | None = None
    rounded: bool = False

    @property
    def is_noise(self) -> bool:
        """Whether its change means nothing."""
        return self.shift != (0.0, 0.0) or self.seed is not None


VARIANTS = (
    Variant("base"),
    Variant("step 1.0375", {"scale_step": 1.0375}),
    Variant("fill first", {"fill": "first"}),
    Variant("corners", {"upsampling": "corners"}),
    Variant("rounded", rounded=True),
    Variant("all of SiamFC", {"scale_step": 1.0375, "fill": "first"}, rounded=True),
    *(Variant(f"shift {x:+.0f} {y:+.0f}", shift=(x, y)) for x, y in SHIFTS),
    *(Variant(f"noise {seed}", seed=seed) for seed in SEEDS),
)


def rounded_crop(
    frame: crops.Frame, centre: Float[Array, "2"], side: Float[Array, ""], **rest: Any
) -> Float[Array, "255 255 3"]:
    """Crop of whole pixels, as SiamFC's MATLAB code cuts them."""
    side = jnp.round(side)
    first = jnp.round(centre - (side - 1) / 2)
    return crops.crop(frame, first + (side - 1) / 2, side, **rest)


def with_noise(params: mfst_jax.Params, seed: int) -> mfst_jax.Params:
    """Weights with every SiamFC filter off by up to half of the smallest step between its own values.

    That is what rounding to int8 has lost.
    """
    random = np.random.default_rng(seed)

    def disturb(path: tuple[Any, ...], leaf: Any) -> Any:
        if getattr(path[-1], "key", None) != "kernel":
            return leaf
        steps = [np.diff(np.unique(leaf[..., output])).min() for output in range(leaf.shape[-1])]
        return leaf + np.float32(random.uniform(-0.5, 0.5, leaf.shape) * steps)

    variables = jax.tree_util.tree_map_with_path(disturb, jax.tree.map(np.asarray, params.variables))
    return mfst_jax.Params(variables, params.contents)


def track(variant: Variant, params: mfst_jax.Params, sequences: tuple[Sequence, ...], folder: Path) -> None:
    """Tracks what `folder` lacks. Raises `InputError` if a sequence cannot be tracked."""
    chosen = dataclasses.replace(presets.SIAMFC, **variant.changes)
    lacking = [sequence for sequence in sequences if not (folder / f"{sequence.name}.txt").exists()]
    if not lacking:
        return
    if variant.seed is not None:
        params = with_noise(params, variant.seed)
    shift = np.array([*variant.shift, 0, 0])
    moved = [dataclasses.replace(each, ground_truth=each.ground_truth + shift) for each in lacking]
    jax.clear_caches()  # the crop is no argument of the step
    with patch.object(tracker, "crop", rounded_crop if variant.rounded else crops.crop):
        for done in track_sequences(mfst_jax.prepare(params, chosen), moved, chosen):
            if done.problem is not None:
                raise InputError(done.problem)
            write_result(folder, done.sequence.name, np.stack(done.boxes), np.array(done.seconds))
    jax.clear_caches()


def first_miss(results: Results, sequence: Sequence) -> str:
    """Number, from 0, of the first frame whose box has an IoU of less than `MISS` with the truth."""
    found = results.read(sequence.name)
    assert found is not None
    boxes = found.runs[0][: len(sequence.ground_truth)] - np.array([found.origin, found.origin, 0, 0])
    truth = sequence.ground_truth[: len(boxes)]
    missed = np.flatnonzero(np.isfinite(truth).all(axis=1))[overlaps(boxes, truth) < MISS]
    return str(missed[0]) if missed.size else "never"


def main(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    weights: Path,
    published: Path,
    out: Path,
) -> None:
    """Prints the table.

    Args:
        root: A folder of OTB's sequences.
        weights: A checkpoint with SiamFC's backbone.
        published: The published raw results.
        out: The folder for ours, one of each variant.
    """
    params = mfst_jax.load(weights)
    dataset = datasets.load(root)
    scores = {"published": scoring.score(Results(published), dataset)}
    for variant in VARIANTS:
        folder = out / variant.name.replace(" ", "_")
        track(variant, params, dataset.sequences, folder)
        scores[variant.name] = scoring.score(Results(folder), dataset)
        overall = scores[variant.name].overall
        assert overall is not None
        print(f"{variant.name}: {overall.success_auc:.3f} {overall.precision_20px:.3f}", flush=True)
    columns = ["published", *(variant.name for variant in VARIANTS if not variant.is_noise)]
    noise = {
        kind: [variant.name for variant in VARIANTS if variant.name.startswith(kind)] for kind in ("shift", "noise")
    }
    more = ("first box a pixel off", "weights half an int8 step off", "first miss: published", "base")
    print("| sequence | " + " | ".join([*columns, *more]) + " |")
    print("| --- " * (1 + len(columns) + len(more)) + "|")
    for sequence in dataset.sequences:
        auc = {column: each.sequences[sequence.name].measures.success_auc for column, each in scores.items()}
        ranges = [f"{min(auc[n] for n in names):.3f} to {max(auc[n] for n in names):.3f}" for names in noise.values()]
        misses = (first_miss(Results(published), sequence), first_miss(Results(out / "base"), sequence))
        row = [sequence.name, *(f"{auc[column]:.3f}" for column in columns), *ranges, *misses]
        print("| " + " | ".join(row) + " |")
    means = {column: each.overall.success_auc for column, each in scores.items() if each.overall is not None}
    ranges = [f"{min(means[n] for n in names):.3f} to {max(means[n] for n in names):.3f}" for names in noise.values()]
    row = ["mean", *(f"{means[column]:.3f}" for column in columns), *ranges, "", ""]
    print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    tyro.cli(main)
