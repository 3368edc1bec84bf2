"""Validation of an epoch on held-out videos: losses and centre errors on pairs, success AUC in tracking."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from mfst_jax import evaluation
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.evaluation.tracking import track_sequences
from mfst_jax.fast import prepare
from mfst_jax.params import Params, resolve_config
from mfst_jax.train import backbone, correlation_pools
from mfst_jax.train.calibration import Calibration, without_blocks
from mfst_jax.train.data.pairs import Chosen, Crops
from mfst_jax.train.measures import Measures, centre_errors_with_alexnet, measure
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import Correlations, Trainable
from mfst_jax.train.steps import TrainState, learning_rate
from mfst_jax.train.trained_weights import finished

MEASURED_AT_ONCE = 32


@dataclass(frozen=True)
class Validator:
    """Validation of epochs, on one device.

    Attributes:
      recipe: The recipe.
      params: Weights that the run began with.
      held_out: Held-out pairs: what a frozen backbone saw of them; or their crops, for a backbone that changes.
      sequences: Held-out sequences, to track.
      of_alexnet: What A saw of the held-out pairs, for an S that is trained beside it.
    """

    recipe: Recipe
    params: Params
    held_out: correlation_pools.Pool | Chosen
    sequences: Sequence[evaluation.Sequence]
    of_alexnet: correlation_pools.Pool | None = None

    def first_line(self, state: TrainState, calibration: Calibration) -> dict[str, Any]:
        """Metrics before training: of the untrained backbone, or of untrained SE-blocks and of none."""
        line = {"step": 0, "epoch": 0, **self._on_pairs(state, self.recipe)}
        plain = self.recipe
        if plain.trains == "backbone":
            return line | (self._on_sequences(state) if plain.tracking_epochs else {})
        if self.recipe.calibration_pairs:
            line["calibration"] = calibration._asdict()
            plain = without_blocks(plain)
        without = dataclasses.replace(state, trainable=Trainable(None, state.result.biases), averaged=None)
        line["without_se"] = self._on_pairs(without, plain)
        if self.recipe.tracking_epochs:
            line["without_se"] |= self._on_sequences(None)
        return line

    def line(self, state: TrainState, seconds: float) -> dict[str, Any]:
        """Metrics after an epoch that took so many `seconds`."""
        step = int(state.step)
        epoch = step // self.recipe.steps_per_epoch
        train_losses = {layer: float(loss) / self.recipe.steps_per_epoch for layer, loss in state.losses.items()}
        line = {
            "step": step,
            "epoch": epoch,
            "learning_rate": float(learning_rate(self.recipe, step - 1)),
            "train_loss": self.recipe.weighted_sum(train_losses),
            "train_losses": train_losses,
            **self._on_pairs(state, self.recipe),
            "seconds": round(seconds, 2),
        }
        if self.recipe.tracking_epochs and epoch % self.recipe.tracking_epochs == 0:
            line |= self._on_sequences(state)
        return line

    def weights(self, state: TrainState) -> Params:
        """Weights of the tracker in this state of the training: the averaged ones where there are any."""
        return finished(self.params, self.recipe, state.result, state.result_statistics)

    def _on_pairs(self, state: TrainState, recipe: Recipe) -> dict[str, Any]:
        """Means over the held-out pairs."""
        totals: Any = None
        trainable, running = jax.device_get((state.result, state.result_statistics))
        for first in range(0, len(self.held_out), MEASURED_AT_ONCE):
            rows = np.arange(first, min(first + MEASURED_AT_ONCE, len(self.held_out)))
            beside = None if self.of_alexnet is None else self.of_alexnet.batch(rows)
            found = jax.device_get(_measure(self.params, trainable, running, self.held_out.batch(rows), beside, recipe))
            totals = found if totals is None else jax.tree.map(np.add, totals, found)
        losses, errors = jax.tree.map(lambda each: float(each) / len(self.held_out), totals)
        return {"loss": recipe.weighted_sum(losses), "losses": losses, "centre_errors": errors}

    def _on_sequences(self, state: TrainState | None) -> dict[str, Any]:
        """Success AUC with `Recipe.tracked_with`; without SE-blocks where there is no state."""
        params, config = self.params, self.recipe.tracked_with
        if state is None:
            config = dataclasses.replace(config, se=False)
        else:
            params = self.weights(state)
        aucs = success_aucs(params, self.sequences, config)
        return {"tracking": {"success_auc": float(np.mean(list(aucs.values()))), "sequences": aucs}}


def _measure(
    params: Params,
    trainable: Any,
    running: Any,
    batch: Correlations | Crops,
    of_alexnet: Correlations | None,
    recipe: Recipe,
) -> Measures:
    if isinstance(batch, Correlations):
        # Which response factors S has depends on its network, and the pairs do not tell it.
        config = resolve_config(params.contents, dataclasses.replace(recipe.layers_fused_with, se=None))
        return measure(trainable, batch, recipe=recipe, config=config)
    seen = correlation_pools.see(backbone.alone(params, trainable, running, recipe), batch, recipe=recipe)
    found = measure(Trainable(None, trainable.biases), seen, recipe=recipe)
    if of_alexnet is not None:
        error = centre_errors_with_alexnet(seen, of_alexnet, recipe=recipe)
        found = found._replace(centre_errors={**found.centre_errors, "with_alexnet": error})
    return found


def merit(recipe: Recipe, line: dict[str, Any]) -> float:
    """Number that the best epoch has least of, by the recipe; infinite where it was not measured."""
    match recipe.best:
        case "loss":
            return line["loss"]
        case "centre_error":
            errors = line["centre_errors"]
            return errors.get("with_alexnet", errors["fused"])
        case "tracking":
            return -line["tracking"]["success_auc"] if "tracking" in line else np.inf


def success_aucs(params: Params, sequences: Iterable[evaluation.Sequence], config: Config) -> dict[str, float]:
    """Success AUC by sequence, each tracked from its first true box. Raises `InputError` if an image is unusable."""
    found: dict[str, float] = {}
    for track in track_sequences(prepare(params, config), sequences, config):
        if track.problem is not None:
            raise InputError(track.problem)
        found[track.sequence.name] = evaluation.success_auc(np.stack(track.boxes), track.sequence.ground_truth)
    return found
