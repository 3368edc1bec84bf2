"""Study behind the score: how well candidates tell a target that is followed from one that is lost.

    python tools/study_score.py ROOT [--weights PATH] [--preset NAME] [--set key=value ...]

Tracks every sequence below ROOT and prints each candidate's AUROC, frames with IoU > 0.5 against frames with IoU < 0.2.
For the one in use it also prints the midpoint and slope of a logistic fit, and the fit's AUROC on sequences left out,
in folds that keep parts of one video together.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float, Int
from tyro.conf import Positional

import mfst_jax
from mfst_jax import localisation, params, presets
from mfst_jax.evaluation import overlaps
from mfst_jax.fusion import fuse_hierarchy
from mfst_jax.localisation import CELL, RESPONSE_SIZE
from mfst_jax.media.sources import open_source
from mfst_jax.network import bind
from mfst_jax.program.arguments import Settings, flatten_settings
from mfst_jax.score import mean_similarity
from mfst_jax.search import search_regions, take_region
from mfst_jax.state import State
from mfst_jax.train.fusion_search.random_search import folds as split_in_folds

FOLDS = 8
IN_USE = "contrast: similarity at the peak - mean"


def candidates(
    weights: mfst_jax.PreparedParams, state: State, frame: Array, chosen: mfst_jax.Config
) -> tuple[State, Float[Array, "4"], dict[str, Array]]:
    """State after one step, its box, and every candidate's value."""
    following, output = mfst_jax.step(weights, state, frame, config=chosen)

    # The region and the place that the step chose.
    regions = search_regions(state, frame, chosen)
    responses, features = bind(weights, chosen).match(state.exemplar, regions.images)
    fused = fuse_hierarchy(localisation.upsample_layers(responses, chosen), chosen)
    best = localisation.choose_region(fused, chosen)
    fused, responses, features = take_region(best, (fused, responses, features))
    windowed = localisation.add_window(fused, chosen.window_influence)
    cell = localisation.displacement(windowed, chosen.upsampling, chosen.peak_temperature) / CELL
    column, row = jnp.round(cell).astype(jnp.int32) + RESPONSE_SIZE // 2

    similarity = mean_similarity(state.exemplar.features, responses, features, chosen)
    peak = jnp.max(fused)
    where_row, where_column = jnp.divmod(jnp.argmax(fused), fused.shape[1])
    rows, columns = jnp.arange(fused.shape[0])[:, None], jnp.arange(fused.shape[1])[None]
    far = jnp.maximum(jnp.abs(rows - where_row), jnp.abs(columns - where_column)) > 2 * localisation.UPSAMPLING_FACTOR
    rest = jnp.sum(jnp.where(far, fused, 0)) / jnp.sum(far)
    spread = jnp.sqrt(jnp.sum(jnp.where(far, jnp.square(fused - rest), 0)) / jnp.sum(far))
    low = jnp.min(fused)
    return (
        following,
        output.box,
        {
            "peak of the fused map": peak,
            "1 - second peak / peak": 1 - jnp.max(jnp.where(far, fused, low)) / peak,
            "peak-to-sidelobe ratio": (peak - rest) / spread,
            "APCE": jnp.square(peak - low) / jnp.mean(jnp.square(fused - low)),
            "similarity at the peak": similarity[row, column],
            "contrast: highest - mean similarity": jnp.max(similarity) - jnp.mean(similarity),
            IN_USE: similarity[row, column] - jnp.mean(similarity),
        },
    )


def auroc(values: np.ndarray, positive: np.ndarray) -> float:
    """AUROC: the probability that a positive's value exceeds a negative's; ties count half."""
    above = values[positive][:, None] - values[~positive][None]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


def fit_logistic(values: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Midpoint and slope of the logistic regression of `positive` on `values`, by Newton's method."""
    inputs = np.stack([values, np.ones_like(values)], axis=1)
    weights = np.zeros(2)
    for _ in range(50):
        probability = 1 / (1 + np.exp(-inputs @ weights))
        curvature = (inputs * (probability * (1 - probability))[:, None]).T @ inputs + 1e-6 * np.eye(2)
        weights -= np.linalg.solve(curvature, inputs.T @ (probability - positive))
    return -weights[1] / weights[0], weights[0]


def folds_of(names: Sequence[str]) -> Int[np.ndarray, " sequences"]:
    """Number of the fold of each sequence; parts of one video are in one fold."""
    return np.argmax([*split_in_folds(names, FOLDS)], axis=0)


def main(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    weights: Path | None = None,
    preset: presets.Preset | None = None,
    set: Settings = (),
) -> None:
    """Prints the table.

    Args:
        root: A folder of sequences.
        weights: As for `mfst track`.
        preset: As for `mfst track`.
        set: As for `mfst track`.
    """
    loaded = mfst_jax.load(weights)
    chosen = params.choose_config(loaded.contents, preset, flatten_settings(set))
    prepared = mfst_jax.prepare(loaded, chosen)
    advance = jax.jit(candidates, static_argnames="chosen")
    values: dict[str, list[float]] = {}
    ious, folds = [], []
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
    for folder, number in zip(folders, folds_of([folder.name for folder in folders]), strict=True):
        source = open_source(folder)
        assert source.ground_truth is not None, folder
        frames = source.frames()
        state = mfst_jax.init(prepared, next(frames), source.ground_truth[0], config=chosen)
        for truth, frame in zip(source.ground_truth[1:], frames, strict=False):
            state, box, found = advance(prepared, state, frame, chosen=chosen)
            overlap = overlaps(np.asarray(box)[None], truth[None])
            if overlap.size:  # the target is there
                ious.append(overlap[0])
                folds.append(number)
                for name, value in found.items():
                    values.setdefault(name, []).append(float(value))
    overlap, fold = np.array(ious), np.array(folds)
    told = (overlap > 0.5) | (overlap < 0.2)
    good, fold = overlap[told] > 0.5, fold[told]
    print(f"{len(folders)} sequences, {np.sum(good)} frames with IoU > 0.5, {np.sum(~good)} with IoU < 0.2")
    for name, column in values.items():
        print(f"{name:<42} {auroc(np.array(column)[told], good):.3f}")
    contrast = np.array(values[IN_USE])[told]
    left_out = np.empty(len(good))
    for number in range(FOLDS):
        midpoint, slope = fit_logistic(contrast[fold != number], good[fold != number])
        left_out[fold == number] = slope * (contrast[fold == number] - midpoint)
    midpoint, slope = fit_logistic(contrast, good)
    print(f"logistic fit: midpoint {midpoint:.3f}, slope {slope:.1f}; left-out AUROC {auroc(left_out, good):.3f}")


if __name__ == "__main__":
    tyro.cli(main)
