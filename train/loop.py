"""Training loop: one program for one device or many, that stops and goes on at any step with the same numbers."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rich.progress import Progress

from mfst_jax import checkpoints
from mfst_jax.checkpoints import weight_names
from mfst_jax.config import LAYERS
from mfst_jax.errors import InputError
from mfst_jax.params import Params
from mfst_jax.program.progress import progress_bar
from mfst_jax.program.threads import prefetch
from mfst_jax.train import backbone, correlation_pools, hosts, kept_features, steps
from mfst_jax.train.calibration import Calibration, calibrate
from mfst_jax.train.data import pairs
from mfst_jax.train.data.curation import Video
from mfst_jax.train.data.split import Data
from mfst_jax.train.epoch_validation import Validator, merit
from mfst_jax.train.kept_features import KeptFeatures
from mfst_jax.train.recipe import DEFAULTS, Recipe
from mfst_jax.train.run_folder import Run, open_run
from mfst_jax.train.trained_weights import write_weights

CHECK_STEPS = 100
"""Steps from one check of the losses to the next."""
SAVE_SECONDS = 300
"""Seconds from one checkpoint to the next within an epoch."""
POOL_SEED, VALIDATION_SEED = 0, 20_171
"""Seeds that choose the pairs in the pools, whatever the recipe's seed."""


Feed = correlation_pools.Pool | KeptFeatures | Sequence[Video]
"""Source of the batches."""


class DivergedError(Exception):
    """Training in which a loss is NaN or infinite."""


def train(
    recipe: Recipe,
    params: Params,
    data: Data,
    out: str | Path,
    *,
    cache: str | Path,
    devices: Sequence[jax.Device] | None = None,
    source: dict[str, Any] | None = None,
    after_step: Callable[[int], None] | None = None,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Trains what the recipe says, from the beginning or from where the run in `out` stopped.

    Args:
      recipe: what to do.
      params: weights that hold the recipe's backbone; or what is to lie beside a backbone that is trained itself.
      data: the videos.
      out: the run's folder (`run_folder.py`).
      cache: the folder for correlations that are computed once.
      devices: what to train on, by default all devices; each takes its share of every batch.
      source: what the weights' provenance is to say about `params`.
      after_step: called with the number of steps done.
      quiet: no progress bar.

    Returns:
      The metrics of the whole run, a line for each epoch, from epoch 0 (before training).

    Raises:
      InputError: weights without the backbone, a batch that the devices cannot share, no sequences for a recipe that
        tracks, another run in `out`, or no room.
      DivergedError: a loss is NaN or infinite. The checkpoint of the last good step stays.
    """
    if recipe.trains == "se_blocks" and not params.contents.holds(recipe.model):
        raise InputError(f"weights: expected the backbone {recipe.model!r}, found {params.contents.describe()}")
    if recipe.tracking_epochs and not data.sequences:
        raise InputError("tracking_epochs: expected 0 where there are no held-out sequences to track, found more")
    devices = jax.devices() if devices is None else devices
    part = recipe.batch_size // recipe.accumulation
    if part % len(devices):
        raise InputError(f"batch_size: expected parts of a multiple of {len(devices)} devices, found {part}")
    everywhere = NamedSharding(Mesh(np.array(devices), ("data",)), PartitionSpec())
    tracked = {"tracked": data.tracked_key()} if recipe.tracking_epochs else {}
    identity = {
        **dataclasses.asdict(recipe),
        "weights": checkpoints.digest(weight_names.flatten(params.variables)),
        "data": data.key(),
        **tracked,
    }
    # A run by a version that did not note what it tracks is taken to track the same.
    with open_run(out, identity, {**DEFAULTS, **tracked}) as run, progress_bar(quiet, "steps") as progress:
        feed, held_out, of_alexnet, calibration = _prepare(recipe, params, data, Path(cache), progress)
        recipe = dataclasses.replace(recipe, factors=calibration.factors)

        def keep(name: str, state: steps.TrainState, metrics: dict[str, Any]) -> None:
            known = {"biases": state.result.biases, "metrics": metrics, "data": data, "source": source}
            write_weights(run.folder / name, validator.weights(state), recipe, **known)

        validator = Validator(recipe, params, held_out, data.sequences, of_alexnet)
        state = steps.init(recipe, params, calibration.biases)
        state, best = _everywhere((state, np.float32(np.inf)), everywhere)
        state, best = run.resume((state, best))
        if run.latest_step is None:
            run.log(validator.first_line(state, calibration))
        with hosts.batches_on(len(devices)):
            frozen = _everywhere(steps.frozen_part(recipe, params), everywhere)
        advance = steps.compiled(recipe, len(devices))
        key = jax.jit(jax.random.key, out_shardings=everywhere)(recipe.seed)
        start, total = int(state.step), recipe.epochs * recipe.steps_per_epoch
        task = progress.add_task("training", total=total, completed=start)
        saved, epoch_started = time.monotonic(), time.monotonic()
        batches = ((step, _batch(recipe, feed, everywhere, step)) for step in range(start, total))
        with prefetch(batches, depth=1) as coming:
            for step, batch in coming:
                state = advance(state, frozen, batch, key)
                done = step + 1
                end = done % recipe.steps_per_epoch == 0
                if after_step is not None:
                    after_step(done)
                if end or done % CHECK_STEPS == 0:
                    _check(state, run)
                    progress.update(task, completed=done)
                if end:
                    line = validator.line(state, time.monotonic() - epoch_started)
                    run.log(line)
                    if merit(recipe, line) < float(best):
                        best = _everywhere(np.float32(merit(recipe, line)), everywhere)
                        keep("best.safetensors", state, line)
                    state = _everywhere(steps.reset_losses(state), everywhere)
                    epoch_started = time.monotonic()
                if end or (done % CHECK_STEPS == 0 and time.monotonic() - saved > SAVE_SECONDS):
                    run.save(done, (state, best))
                    saved = time.monotonic()
        run.wait()
        hosts.wait("metrics written")
        metrics = run.metrics()
        keep("last.safetensors", state, metrics[-1])
        return metrics


def _prepare(
    recipe: Recipe, params: Params, data: Data, cache: Path, progress: Progress
) -> tuple[Feed, correlation_pools.Pool | pairs.Chosen, correlation_pools.Pool | None, Calibration]:
    """Source of the batches, the held-out pairs, these as A sees them, and the first response factors and biases."""

    def choose(videos: Sequence[Video], count: int, seed: int) -> pairs.Chosen:
        return pairs.Chosen(videos, pairs.sample(videos, count, seed=seed, step=0, max_frame_gap=recipe.max_frame_gap))

    def make(
        params: Params, videos: Sequence[Video], count: int, seed: int, what: str, recipe: Recipe = recipe
    ) -> correlation_pools.Pool:
        task = progress.add_task(what, total=count)
        chosen = choose(videos, count, seed).pairs
        show = lambda done, _: progress.update(task, completed=done)  # noqa: E731
        with hosts.first_alone(what):
            pool = correlation_pools.make(cache, params, recipe, videos, chosen, advance=show)
        progress.update(task, completed=count)
        return pool

    feed: Feed = data.training
    of_alexnet = None
    if recipe.beside_alexnet:
        alexnet = Recipe(model="alexnet", max_frame_gap=recipe.max_frame_gap)
        count = recipe.validation_pairs
        of_alexnet = make(params, data.held_out, count, VALIDATION_SEED, "held-out pairs by A", alexnet)
    if recipe.kept_views:
        task = progress.add_task("features of crops", total=None)
        show = lambda done, total: progress.update(task, completed=done, total=total)  # noqa: E731
        with hosts.first_alone("features of crops"):
            feed = kept_features.make(cache, params, recipe, data.training, advance=show)
    if recipe.trains == "backbone":
        held_out: Any = choose(data.held_out, recipe.validation_pairs, VALIDATION_SEED)
        first = backbone.alone(params, *backbone.fresh(recipe, params, {}), recipe)
    else:
        held_out = make(params, data.held_out, recipe.validation_pairs, VALIDATION_SEED, "held-out pairs")
        first = params
        if recipe.cached_pairs:
            feed = make(params, data.training, recipe.cached_pairs, POOL_SEED, "training pairs")
    count = recipe.calibration_pairs
    if not count:
        return feed, held_out, of_alexnet, Calibration(recipe.factors, dict.fromkeys(LAYERS, 0.0))
    pool = feed
    if not isinstance(pool, correlation_pools.Pool):
        pool = make(first, data.training, count, POOL_SEED, "pairs to calibrate by")
    return feed, held_out, of_alexnet, calibrate(pool.batch(np.arange(min(count, len(pool)))), recipe)


def _batch(recipe: Recipe, feed: Feed, everywhere: NamedSharding, step: int) -> steps.Batch:
    """Batch of a step: a first axis for the parts to accumulate over, the second shared among the devices.

    Every process knows which pairs these are, and reads those of its own devices.
    """
    shape = recipe.accumulation, recipe.batch_size // recipe.accumulation
    sharding = NamedSharding(everywhere.mesh, PartitionSpec(None, "data"))
    places: Any = sharding.addressable_devices_indices_map(shape).values()
    mine = [each[1].indices(shape[1])[:2] for each in places]
    columns = slice(min(first for first, _ in mine), max(last for _, last in mine))
    if isinstance(feed, correlation_pools.Pool):
        rows = pairs.shuffled(len(feed), recipe.batch_size, seed=recipe.seed, step=step)
        batch: Any = feed.batch(rows.reshape(shape)[:, columns])
    else:
        kept = isinstance(feed, KeptFeatures)
        videos = feed.videos if kept else feed
        drawn = {"seed": recipe.seed, "step": step}
        chosen = pairs.sample(videos, recipe.batch_size, max_frame_gap=recipe.max_frame_gap, **drawn)
        part = chosen.reshape(*shape, -1)[:, columns]
        rows = part.reshape(-1, part.shape[-1])
        if kept:
            views = kept_features.draw_views(recipe.batch_size, feed.views, feed.paired_views, **drawn)
            batch = feed.batch(rows, views.reshape(*shape, -1)[:, columns].reshape(-1, 2))
        else:
            batch = pairs.load(videos, rows)
        batch = jax.tree.map(lambda each: each.reshape(*part.shape[:2], *each.shape[1:]), batch)
    return jax.tree.map(
        lambda each: jax.make_array_from_process_local_data(sharding, each, (*shape, *each.shape[2:])), batch
    )


def _everywhere(tree: Any, sharding: NamedSharding) -> Any:
    """Arrays that every process has, replicated on all devices."""
    return jax.tree.map(
        lambda each: jax.make_array_from_callback(np.shape(each), sharding, lambda at, each=each: np.asarray(each)[at]),
        tree,
    )


def _check(state: steps.TrainState, run: Run) -> None:
    wrong = [layer for layer, loss in state.losses.items() if not np.isfinite(loss)]
    if wrong:
        raise DivergedError(
            f"the loss of {', '.join(wrong)} is no number any more by step {int(state.step)}; "
            f"the last good checkpoint is of step {run.latest_step or 0}, in {run.folder}"
        )
