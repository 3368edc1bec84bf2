"""The training loop: one program for one device or many, that stops and goes on at any step with the same numbers."""

import dataclasses
import functools
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mfst_jax import checkpoints, layout
from mfst_jax.compilation import compiler_options
from mfst_jax.config import LAYERS, Config
from mfst_jax.errors import InputError
from mfst_jax.params import Params, implied_config
from mfst_jax.version import __version__
from train import pairs, pools, se
from train.folders import Video
from train.recipe import Recipe
from train.responses import Correlations, Crops, Trainable
from train.runs import Run, open_run

CHECK_STEPS = 100
"""Steps after which the losses are looked at."""
SAVE_SECONDS = 300
"""Between checkpoints within an epoch."""
MEASURED_AT_ONCE = 32
VALIDATION_SEED = 20_171
"""Says which held-out pairs, whatever the recipe's seed."""


class DivergedError(Exception):
    """A loss is no number any more."""


@dataclasses.dataclass(frozen=True)
class Data:
    """The videos to train on and those held out."""

    training: Sequence[Video]
    held_out: Sequence[Video]

    def key(self) -> str:
        """Stands for all of their crops and for which are held out."""
        keys = [[(video.name, video.key) for video in side] for side in (self.training, self.held_out)]
        return hashlib.sha256(json.dumps(keys).encode()).hexdigest()


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
    """Trains the recipe's SE-blocks, from the beginning or from where the run in `out` stopped.

    Args:
      recipe: what to do.
      params: weights that hold the recipe's backbone.
      data: the videos.
      out: the run's folder (`runs.py`).
      cache: the folder for correlations that are computed once.
      devices: what to train on, by default all devices; each takes its share of every batch.
      source: what the weights' provenance is to say about `params`.
      after_step: called with the number of steps done.
      quiet: no progress bar.

    Returns:
      The metrics of the whole run, a line an epoch, from epoch 0 (before training).

    Raises:
      InputError: weights without the backbone, a batch that the devices cannot share, another run in `out`, or no room.
      DivergedError: a loss is NaN or infinite. The checkpoint of the last good step stays.
    """
    if not params.contents.holds(recipe.model):
        raise InputError(f"weights: expected the backbone {recipe.model!r}, found {params.contents.describe()}")
    devices = jax.devices() if devices is None else devices
    part = recipe.batch_size // recipe.accumulation
    if part % len(devices):
        raise InputError(f"batch_size: expected parts of a multiple of {len(devices)} devices, found {part}")
    everywhere = NamedSharding(Mesh(np.array(devices), ("data",)), PartitionSpec())
    identity = {
        **dataclasses.asdict(recipe),
        "weights": checkpoints.digest(layout.flatten(params.variables)),
        "data": data.key(),
    }
    with open_run(out, identity) as run, _progress(quiet) as progress:
        feed, held_out = _pools(recipe, params, data, Path(cache), progress)
        state, best = jax.device_put((se.init(recipe, params), np.float32(np.inf)), everywhere)
        state, best = run.resume((state, best))
        if run.latest_step is None:
            run.log(_first_line(recipe, held_out, state.trainable))
        backbone = None if recipe.cached_pairs else jax.device_put(params, everywhere)
        advance = _compiled_step(recipe)
        key = jax.device_put(jax.random.key(recipe.seed), everywhere)
        start, total = int(state.step), recipe.epochs * recipe.steps_per_epoch
        task = progress.add_task("training", total=total, completed=start)
        saved, epoch_started = time.monotonic(), time.monotonic()
        for step, batch in _ahead(partial(_batch, recipe, feed, everywhere), range(start, total)):
            state = advance(state, backbone, batch, key)
            done = step + 1
            end = done % recipe.steps_per_epoch == 0
            if after_step is not None:
                after_step(done)
            if end or done % CHECK_STEPS == 0:
                _check(state, run)
                progress.update(task, completed=done)
            if end:
                line = _line(recipe, state, held_out, time.monotonic() - epoch_started)
                run.log(line)
                if line["loss"] < float(best):
                    best = jax.device_put(np.float32(line["loss"]), everywhere)
                    _write_weights(run.folder / "best.safetensors", params, recipe, state, line, data, source)
                state = jax.device_put(se.reset_losses(state), everywhere)
                epoch_started = time.monotonic()
            if end or (done % CHECK_STEPS == 0 and time.monotonic() - saved > SAVE_SECONDS):
                run.save(done, (state, best))
                saved = time.monotonic()
        run.wait()
        metrics = run.metrics()
        _write_weights(run.folder / "last.safetensors", params, recipe, state, metrics[-1], data, source)
        return metrics


def with_se(params: Params, recipe: Recipe, trainable: Trainable) -> Params:
    """`params` with the trained SE-blocks, and with a configuration that uses them as they were trained."""
    blocks = jax.tree.map(np.asarray, trainable.blocks)
    variables = {**params.variables, "params": {**params.variables["params"], f"{recipe.model}_se": blocks}}
    held: Any = {f"{recipe.model}_se": True}
    contents = dataclasses.replace(params.contents, config=None, **held)
    implied = implied_config(contents)
    both = contents.siamfc and contents.alexnet is not None
    config = implied if both else Config(models=(recipe.model,))
    config = dataclasses.replace(config, se_statistics=recipe.se_statistics)
    return Params(variables, dataclasses.replace(contents, config=None if config == implied else config))


@functools.cache
def _compiled_step(recipe: Recipe) -> Any:
    return jax.jit(partial(se.train_step, recipe=recipe), compiler_options=compiler_options())


def _pools(
    recipe: Recipe, params: Params, data: Data, cache: Path, progress: Progress
) -> tuple[pools.Pool | Sequence[Video], pools.Pool]:
    """What batches are taken from, and the held-out pairs."""

    def make(videos: Sequence[Video], count: int, seed: int, what: str) -> pools.Pool:
        task = progress.add_task(what, total=count)
        chosen = pairs.sample(videos, count, seed=seed, step=0, max_frame_gap=recipe.max_frame_gap)
        show = lambda done, _: progress.update(task, completed=done)  # noqa: E731
        pool = pools.make(cache, params, recipe, videos, chosen, advance=show)
        progress.update(task, completed=count)
        return pool

    held_out = make(data.held_out, recipe.validation_pairs, VALIDATION_SEED, "held-out pairs")
    if not recipe.cached_pairs:
        return data.training, held_out
    return make(data.training, recipe.cached_pairs, recipe.seed, "training pairs"), held_out


def _batch(
    recipe: Recipe, feed: pools.Pool | Sequence[Video], everywhere: NamedSharding, step: int
) -> Correlations | Crops:
    """The batch of a step: a first axis for the parts to accumulate over, the second shared among the devices."""
    count = recipe.batch_size
    if isinstance(feed, pools.Pool):
        batch: Any = feed.batch(pairs.shuffled(len(feed), count, seed=recipe.seed, step=step))
    else:
        chosen = pairs.sample(feed, count, seed=recipe.seed, step=step, max_frame_gap=recipe.max_frame_gap)
        batch = pairs.load(feed, chosen)
    batch = jax.tree.map(lambda each: each.reshape(recipe.accumulation, -1, *each.shape[1:]), batch)
    return jax.device_put(batch, NamedSharding(everywhere.mesh, PartitionSpec(None, "data")))


def _ahead(make: Callable[[int], Any], steps: range) -> Iterator[tuple[int, Any]]:
    """Each step with its batch, the next one already in the making."""
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(make, steps[0]) if steps else None
        for step in steps:
            assert future is not None
            batch = future.result()
            future = thread.submit(make, step + 1) if step + 1 in steps else None
            yield step, batch


def _check(state: se.TrainState, run: Run) -> None:
    wrong = [layer for layer in LAYERS if not np.isfinite(state.losses[layer])]
    if wrong:
        raise DivergedError(
            f"the loss of {', '.join(wrong)} is no number any more by step {int(state.step)}; "
            f"the last good checkpoint is of step {run.latest_step or 0}, in {run.folder}"
        )


def _validate(recipe: Recipe, trainable: Trainable | None, held_out: pools.Pool) -> dict[str, Any]:
    """Means over the held-out pairs, on one device."""
    totals: Any = None
    alone = jax.device_get(trainable)
    for first in range(0, len(held_out), MEASURED_AT_ONCE):
        rows = np.arange(first, min(first + MEASURED_AT_ONCE, len(held_out)))
        found = jax.device_get(se.measure(alone, held_out.batch(rows), recipe=recipe))
        totals = found if totals is None else jax.tree.map(np.add, totals, found)
    losses, errors = jax.tree.map(lambda each: float(each) / len(held_out), totals)
    return {"loss": sum(losses.values()), "losses": losses, "centre_errors": errors}


def _first_line(recipe: Recipe, held_out: pools.Pool, trainable: Trainable) -> dict[str, Any]:
    without = _validate(recipe, None, held_out)
    return {"step": 0, "epoch": 0, **_validate(recipe, trainable, held_out), "without_se": without}


def _line(recipe: Recipe, state: se.TrainState, held_out: pools.Pool, seconds: float) -> dict[str, Any]:
    step = int(state.step)
    train_losses = {layer: float(state.losses[layer]) / recipe.steps_per_epoch for layer in LAYERS}
    return {
        "step": step,
        "epoch": step // recipe.steps_per_epoch,
        "learning_rate": float(se.learning_rate(recipe, step - 1)),
        "train_loss": sum(train_losses.values()),
        "train_losses": train_losses,
        **_validate(recipe, state.trainable, held_out),
        "seconds": round(seconds, 2),
    }


def _write_weights(
    path: Path,
    params: Params,
    recipe: Recipe,
    state: se.TrainState,
    line: dict[str, Any],
    data: Data,
    source: dict[str, Any] | None,
) -> None:
    provenance = {
        "tool": f"mfst_jax {__version__}, train",
        "sources": [source] if source else [],
        "recipe": dataclasses.asdict(recipe),
        "data": {
            "key": data.key(),
            "training": [video.name for video in data.training],
            "held_out": [video.name for video in data.held_out],
        },
        "metrics": line,
        "biases": {layer: float(bias) for layer, bias in state.trainable.biases.items()},
    }
    checkpoints.save(with_se(params, recipe, state.trainable), path, provenance=provenance)


def _progress(quiet: bool) -> Progress:
    console = Console(file=sys.stderr)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )
