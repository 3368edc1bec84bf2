"""Study behind the SE-blocks: what ways to train them are worth, on videos that they were not trained on.

    python tools/study_se.py ROOT [ROOT ...] [--weights PATH] [--variants se_statistics=each 'se_first_weight=.95
        se_dropout=.1' ...] [--tracked FOLDER] [--backwards] [--out DIR] [--cache DIR]

The ROOTs are folders of sequences, PATH holds both backbones. A variant is a list of settings of the recipes in
train/recipes; the recipes as they are come first. SE-blocks are cross-validated: for each fold of the videos, with
parts of one video in one fold, they are trained on the others and measured on it. With `--tracked`, SE-blocks that were
trained on all the ROOTs track that folder beside none, each backbone alone and both. What was found is kept in DIR, and
not computed again.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from paired_measures import Measures, measures, paired_rows
from study_options import Direction, digest_of, directions, largest_frame
from tyro.conf import Positional

import mfst_jax
from mfst_jax import checkpoints
from mfst_jax.bench.side_by_side import table
from mfst_jax.config import MODELS, Config, Model
from mfst_jax.media.images import read_image
from mfst_jax.padding import pad
from mfst_jax.params import Params, resolve_config
from mfst_jax.presets import ALEXNET, REALTIME
from mfst_jax.program.threads import prefetch
from mfst_jax.train import correlation_pools, steps
from mfst_jax.train.calibration import calibrate, without_blocks
from mfst_jax.train.data import curation, pairs
from mfst_jax.train.fusion_search.random_search import folds as split_in_folds
from mfst_jax.train.measures import measure
from mfst_jax.train.recipe import Recipe, override
from mfst_jax.train.recipes import se_alexnet, se_siamfc
from mfst_jax.train.responses import Trainable
from mfst_jax.train.trained_weights import finished
from mfst_jax.whole_files import replacing, write_atomically

RECIPES: dict[Model, Recipe] = {"siamfc": se_siamfc.RECIPE, "alexnet": se_alexnet.RECIPE}
NAMES: dict[Model, str] = {"siamfc": "S", "alexnet": "A"}
Tracker = Literal["S", "A", "S and A"]
CONFIGS: dict[Tracker, Config] = {
    "S": dataclasses.replace(REALTIME, models=("siamfc",), centre_search=0.0),
    "A": ALEXNET,
    "S and A": REALTIME,
}
MEASURED, MEASURED_AT_ONCE = 512, 32
"""Greatest number of pairs that are measured of a fold, and of those at once."""
MEASURES = ("loss of the layers", "of the fused layers", "centre error in px")


@dataclass(frozen=True)
class Backbone:
    """Backbone that gets SE-blocks, and what it saw of pairs of all videos.

    Attributes:
      params: The weights that it belongs to.
      recipe: The recipe that variants change.
      pool: The pairs.
      parts: Which pairs each fold leaves out.
      name: Name of all this in the folder of what was found.
    """

    params: Params
    recipe: Recipe
    pool: correlation_pools.Pool
    parts: list[np.ndarray]
    name: str

    def train(self, settings: str, rows: np.ndarray) -> tuple[Trainable, Recipe]:
        """SE-blocks that were trained on these pairs, and the recipe with its calibrated factors.

        Factors and biases are fitted once, to pairs of all videos, and an epoch is as long in each fold and on all
        pairs, so that the step is compiled once.
        """
        recipe = override(self.recipe, settings.split())
        calibration = calibrate(self.pool.batch(np.arange(min(recipe.calibration_pairs, len(self.pool)))), recipe)
        count = len(self.pool) * (len(self.parts) - 1) // len(self.parts)
        recipe = dataclasses.replace(recipe, factors=calibration.factors, pairs_per_epoch=count)
        state, key = steps.init(recipe, self.params, calibration.biases), jax.random.key(recipe.seed)
        advance = steps.compiled(recipe)

        def batch(step: int) -> steps.Batch:
            chosen = pairs.shuffled(len(rows), recipe.batch_size, seed=recipe.seed, step=step)
            return self.pool.batch(rows[chosen].reshape(recipe.accumulation, -1))

        total = recipe.epochs * recipe.steps_per_epoch
        with prefetch((batch(step) for step in range(total)), depth=1) as batches:
            for each in batches:
                state = advance(state, None, each, key)
        return jax.device_get(state.result), recipe

    def measure(self, trainable: Trainable, recipe: Recipe, rows: np.ndarray) -> np.ndarray:
        """`MEASURES` of SE-blocks, or of none, on the first of these pairs."""
        rows = rows[: min(len(rows), MEASURED) // MEASURED_AT_ONCE * MEASURED_AT_ONCE]
        total = np.zeros(len(MEASURES))
        how = resolve_config(self.params.contents, dataclasses.replace(recipe.layers_fused_with, se=None))
        if trainable.blocks is not None:
            trainable = Trainable(trainable.block_of_each, trainable.biases)
        # Alike for variants that differ in training alone, so that it is compiled once for all of them.
        plain = Recipe(recipe.model, factors=recipe.factors, se_statistics=recipe.se_statistics)
        for part in rows.reshape(-1, MEASURED_AT_ONCE):
            seen = self.pool.batch(part)
            by_layer, fused = (
                jax.device_get(measure(trainable, seen, recipe=dataclasses.replace(plain, fused_loss=it), config=how))
                for it in (False, True)
            )
            losses = [sum(map(float, each.losses.values())) for each in (by_layer, fused)]
            total += [*losses, float(fused.centre_errors["fused"])]
        return total / len(rows)

    def cross_validate(self, settings: str | None) -> Iterator[np.ndarray]:
        """`MEASURES` of each fold, of SE-blocks that were trained on the others; of none without settings."""
        for part in self.parts:
            if settings is None:
                calibration = calibrate(self.pool.batch(np.arange(self.recipe.calibration_pairs)), self.recipe)
                recipe = without_blocks(dataclasses.replace(self.recipe, factors=calibration.factors))
                trainable = Trainable(None, calibration.biases)
            else:
                trainable, recipe = self.train(settings, np.flatnonzero(~part))
            yield self.measure(trainable, recipe, np.flatnonzero(part))


def see(params: Params, model: Model, videos: list[curation.Video], cache: Path, folds: int, epochs: int) -> Backbone:
    """Backbone with a pool of pairs of all videos, in `cache` as for `mfst train`."""
    recipe = dataclasses.replace(RECIPES[model], epochs=epochs, tracking_epochs=0, best="loss")
    chosen = pairs.sample(videos, recipe.cached_pairs, seed=0, step=0, max_frame_gap=recipe.max_frame_gap)
    pool = correlation_pools.make(cache / "pools", params, recipe, videos, chosen)
    parts = [part[chosen[:, 0]] for part in split_in_folds([video.name for video in videos], folds)]
    keys = [digest_of(params, (model,)), [video.key for video in videos], folds, repr(recipe)]
    return Backbone(params, recipe, pool, parts, f"{model}-{_digest(keys)}")


def kept(path: Path, compute: Callable[[], Any]) -> Any:
    """JSON of this file, computed where there is none."""
    if not path.is_file():
        write_atomically(path, json.dumps(compute()))
    return json.loads(path.read_text())


def cross_validated(backbone: Backbone, variants: list[str | None], out: Path) -> str:
    """Table of the folds' means of each variant, and in how many folds each is better than the first SE-blocks."""
    found = {}
    for settings in variants:
        path = out / "folds" / backbone.name / f"{_named(settings)}.json"
        found[settings] = np.array(
            kept(path, lambda settings=settings: [each.tolist() for each in backbone.cross_validate(settings)])
        )
        print(f"{path.parent.name}, {_title(settings)}: {found[settings].mean(axis=0).round(4)}", flush=True)
    rows = []
    for settings, by_fold in found.items():
        better = (by_fold < found[variants[1]]).sum(axis=0)
        counts = ", ".join(map(str, better)) if settings not in variants[:2] else ""
        rows.append((_title(settings), *(f"{mean:.3f}" for mean in by_fold.mean(axis=0)), counts))
    header = (f"SE-blocks of {NAMES[backbone.recipe.model]}", *MEASURES, f"folds of {len(backbone.parts)} better")
    return table(header, rows)


def with_blocks(backbones: list[Backbone], settings: str, out: Path) -> Params:
    """Weights with SE-blocks that were trained on all pairs."""
    params = backbones[0].params
    for backbone in backbones:
        path = out / "weights" / backbone.name / f"{_named(settings)}.safetensors"
        if not path.is_file():
            trainable, recipe = backbone.train(settings, np.arange(len(backbone.pool)))
            path.parent.mkdir(parents=True, exist_ok=True)
            checkpoints.save(finished(backbone.params, recipe, trainable, {}), path)
        branch = f"{backbone.recipe.model}_se"
        blocks = checkpoints.load(path, bundled_se=False).variables["params"][branch]
        variables = {**params.variables, "params": {**params.variables["params"], branch: blocks}}
        held: Any = {branch: True}
        params = Params(variables, dataclasses.replace(params.contents, **held))
    return params


def track(params: Params, config: Config, tracks: list[Direction], folder: Path) -> dict[str, Measures]:
    """Measures of each sequence, the mean of its tracks; frames are padded to the largest, which changes no box."""
    found: dict[str, list[Measures]] = {}
    size = largest_frame(tracks)
    prepared = mfst_jax.prepare(params, config)
    for it in tracks:
        path = folder / f"{it.name}.npy"
        if not path.is_file():
            first, box = read_image(it.frames[0]), it.truth[0].astype(np.float32)
            start, real = jax.device_put(pad(first, size)), np.array(first.shape[:2], np.int32)
            state, boxes = mfst_jax.init(prepared, start, box, config=config, frame_size=real), [box]
            for image in it.frames[1:]:
                state, output = mfst_jax.step(prepared, state, jax.device_put(pad(read_image(image), size)))
                boxes.append(np.asarray(output.box))
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as new, new.open("wb") as file:
                np.save(file, np.array(boxes, np.float64))
        found.setdefault(it.sequence, []).append(measures(np.load(path), it.truth))
    return {name: tuple(np.mean(each, axis=0)) for name, each in found.items()}


def tracked(
    backbones: list[Backbone], variants: list[str | None], names: Sequence[Tracker], tracks: list[Direction], out: Path
) -> str:
    """Table of success AUC and precision of each variant beside no SE-blocks, each backbone alone and both."""
    models = {backbone.recipe.model for backbone in backbones}
    plain = backbones[0].params
    rows: list[tuple[str, ...]] = []
    for name in names:
        config = CONFIGS[name]
        if not models >= {*config.models}:
            continue
        without: Any = None
        for settings in variants:
            params = plain if settings is None else with_blocks(backbones, settings, out)
            statistics = "each" if "se_statistics=each" in (settings or "") else "exemplar"
            how = dataclasses.replace(config, se=None, se_statistics=statistics)
            how = resolve_config(params.contents, how)
            trained = [] if settings is None else [it.name for it in backbones if it.recipe.model in how.models]
            key = _digest([repr(how), digest_of(plain, how.models), trained])
            folder = out / "tracks" / f"{name.replace(' ', '-')}-{_named(settings)}-{key}"
            found = track(params, how, tracks, folder)
            without = found if settings is None else without
            cells = [(mean, "" if settings is None else change) for _, _, mean, change in paired_rows(without, found)]
            rows.append((f"{name}, {_title(settings)}", *cells[0], *cells[1]))
            print(*rows[-1], flush=True)
    return table(("", "success AUC", "less without SE", "precision at 20 px", "less without SE"), rows)


def main(
    roots: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    weights: Path | None = None,
    variants: tuple[str, ...] = (),
    models: tuple[Model, ...] = MODELS,
    folds: int = 5,
    epochs: int = 4,
    tracked_on: Annotated[Path | None, tyro.conf.arg(name="tracked")] = None,
    backwards: bool = False,
    trackers: tuple[Tracker, ...] = ("S", "A", "S and A"),
    out: Path = Path("runs", "study_se"),
    cache: Path = Path("runs", "cache"),
) -> None:
    """Cross-validates variants of the training of SE-blocks, and tracks with them.

    Args:
        roots: Folders of sequences to train on. Never the benchmark's.
        weights: Weights that hold both backbones; by default the built-in ones.
        variants: Settings of the recipes, as for `mfst train --set`, in one argument for each variant.
        models: Which backbones get SE-blocks.
        folds: How many.
        epochs: Over as many pairs as folds but one have.
        tracked_on: A folder of sequences to track.
        backwards: Track each sequence backwards too.
        trackers: What to track with.
        out: Where what was found is kept.
        cache: As for `mfst train`.
    """
    params = checkpoints.load(weights, bundled_se=False)
    every: list[curation.Video] = []
    for root in roots:
        name = root.resolve().name
        every += curation.curate(root, cache / "crops" / name, workers=curation.default_workers())[0]
    backbones = [see(params, model, every, cache, folds, epochs) for model in models]
    chosen = [None, "", *variants]
    tables = [cross_validated(backbone, chosen, out) for backbone in backbones]
    if tracked_on is not None:
        tracks = list(directions(tracked_on, backwards=backwards))
        tables.append(tracked(backbones, chosen, trackers, tracks, out))
    print("\n" + "\n\n".join(tables))


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def _title(settings: str | None) -> str:
    return "without SE" if settings is None else settings or "as in the recipes"


def _named(settings: str | None) -> str:
    return _title(settings).replace(" ", "-")


if __name__ == "__main__":
    tyro.cli(main)
