"""Study behind the SE-blocks: whether they help on videos that they were not trained on, by cross-validation.

    python tools/study_se.py ROOT --weights PATH [--out DIR] [--models siamfc] [--statistics each]

ROOT is a folder of sequences, PATH holds both backbones. For each fold of the videos SE-blocks are trained on the
others, by the settings of train/recipes and for a fixed number of epochs; then the fold is measured and tracked with
each backbone alone and with both, with SE-blocks and without. Tracks that are there are not tracked again.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from tyro.conf import Positional

from mfst_jax import checkpoints, evaluation
from mfst_jax.config import MODELS, Config, Model
from mfst_jax.evaluation.statistics import compare
from mfst_jax.params import Params
from mfst_jax.presets import PAPER
from mfst_jax.train import correlation_pools, steps
from mfst_jax.train.calibration import FIRST_WEIGHT, calibrate
from mfst_jax.train.data import curation, pairs
from mfst_jax.train.epoch_validation import success_aucs
from mfst_jax.train.fusion_search.random_search import folds as split_in_folds
from mfst_jax.train.measures import measure
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.recipes import se_alexnet, se_siamfc
from mfst_jax.train.responses import Trainable
from mfst_jax.train.trained_weights import finished
from mfst_jax.whole_files import write_atomically

RECIPES: dict[Model, Recipe] = {"siamfc": se_siamfc.RECIPE, "alexnet": se_alexnet.RECIPE}
CONFIGS: dict[str, Config] = {
    "S": Config(models=("siamfc",)),
    "A": Config(models=("alexnet",)),
    "S and A": PAPER,
}
CALIBRATED_ON = 512


def main(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    weights: Path,
    out: Path = Path("runs", "study_se"),
    folds: int = 5,
    epochs: int = 4,
    statistics: Literal["exemplar", "each"] = "exemplar",
    models: tuple[Model, ...] = MODELS,
) -> None:
    """Cross-validate SE-blocks.

    Args:
        root: A folder of sequences. Never the benchmark's.
        weights: Weights that hold both backbones.
        out: Where crops, correlations and results go.
        folds: How many.
        epochs: Over the pairs of the other folds, for each.
        statistics: Whose channel means set the SE weight.
        models: Which backbones get SE-blocks.
    """
    params = checkpoints.load(weights, bundled_se=False)
    videos, _ = curation.curate(root, out / "crops", workers=curation.default_workers())
    dataset = evaluation.load(root, "folder")
    parts = list(split_in_folds([video.name for video in videos], folds))
    losses: dict[Model, list[np.ndarray]] = {model: [] for model in models}
    aucs: dict[str, dict[str, dict[str, float]]] = {}
    pool = {model: _pool(out, params, recipe, videos) for model, recipe in RECIPES.items() if model in models}
    for number, part in enumerate(parts):
        trained = params
        for model in models:
            recipe = dataclasses.replace(
                RECIPES[model], epochs=epochs, tracking_epochs=0, best="loss", se_statistics=statistics
            )
            trained, found = _train(trained, recipe, *pool[model], part)
            losses[model].append(found)
            print(f"fold {number + 1} of {folds}, {model}: held-out loss {found[0]:.3f} -> {found[1]:.3f}", flush=True)
        names = {video.name for video, left in zip(videos, part, strict=True) if left}
        sequences = [each for each in dataset.sequences if each.name in names]
        for name, config in CONFIGS.items():
            if not set(models) & set(config.models):
                continue
            config = dataclasses.replace(config, se_statistics=statistics)
            for se in (False, True):
                with_se = [statistics, *(model for model in models if model in config.models)] if se else ["without"]
                how = [*config.models, "SE", *with_se, f"{number}-of-{folds}"]
                path = out / "aucs" / f"{'-'.join(how)}.json"
                if not path.is_file():
                    found_aucs = success_aucs(trained, sequences, dataclasses.replace(config, se=None if se else False))
                    write_atomically(path, json.dumps(found_aucs))
                aucs.setdefault(name, {}).setdefault(str(se), {}).update(json.loads(path.read_text()))
    print(_table(aucs, losses))


def _pool(
    out: Path, params: Params, recipe: Recipe, videos: Sequence[curation.Video]
) -> tuple[correlation_pools.Pool, np.ndarray]:
    """Pairs of all videos, and the video of each."""
    chosen = pairs.sample(videos, recipe.cached_pairs, seed=0, step=0, max_frame_gap=recipe.max_frame_gap)
    return correlation_pools.make(out / "pools", params, recipe, videos, chosen), chosen[:, 0]


def _train(
    params: Params, recipe: Recipe, pool: correlation_pools.Pool, video: np.ndarray, part: np.ndarray
) -> tuple[Params, np.ndarray]:
    """Weights with SE-blocks trained on all but `part`, and mean losses on it without and with them."""
    inside, outside = np.flatnonzero(part[video]), np.flatnonzero(~part[video])
    calibration = calibrate(pool.batch(outside[:CALIBRATED_ON]), recipe)
    recipe = dataclasses.replace(recipe, factors=calibration.factors, pairs_per_epoch=len(outside))
    state, key = steps.init(recipe, params, calibration.biases), jax.random.key(0)
    advance = steps.compiled(recipe)
    for step in range(recipe.epochs * recipe.steps_per_epoch):
        rows = outside[pairs.shuffled(len(outside), recipe.batch_size, seed=recipe.seed, step=step)]
        state = advance(state, None, pool.batch(rows[None]), key)
    alone: Any = tuple(factor * FIRST_WEIGHT**2 for factor in recipe.factors)
    plain = dataclasses.replace(recipe, factors=alone)
    losses = [
        _loss(Trainable(None, calibration.biases), pool, inside, plain),
        _loss(jax.device_get(state.trainable), pool, inside, recipe),
    ]
    return finished(params, recipe, state.trainable, {}), np.array(losses)


def _loss(trainable: Trainable, pool: correlation_pools.Pool, rows: np.ndarray, recipe: Recipe) -> float:
    total = 0.0
    for first in range(0, len(rows) - 31, 32):
        found = measure(trainable, pool.batch(rows[first : first + 32]), recipe=recipe).losses
        total += float(sum(found.values(), np.float32(0)))
    return total / (len(rows) // 32 * 32)


def _table(aucs: dict[str, dict[str, dict[str, float]]], losses: dict[Model, list[np.ndarray]]) -> str:
    lines = ["| success AUC | without SE | with SE | difference | 95 % interval | p | up, down by more than .02 |"]
    lines.append("|" + " --- |" * 7)
    for name, by_se in aucs.items():
        names = sorted(by_se["False"])
        without, with_blocks = (np.array([by_se[se][each] for each in names]) for se in ("False", "True"))
        found, change = compare(with_blocks, without), with_blocks - without
        low, high = found.interval
        lines.append(
            f"| {name} | {without.mean():.3f} | {with_blocks.mean():.3f} | {found.difference:+.3f} | "
            f"{low:+.3f} to {high:+.3f} | {found.p_value:.2f} | {(change > 0.02).sum()}, {(change < -0.02).sum()} |"
        )
    for model, of_folds in losses.items():
        before, after = np.mean(of_folds, axis=0)
        lines.append(f"held-out loss of {model}: {before:.3f} without SE, {after:.3f} with")
    return "\n".join(lines)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
