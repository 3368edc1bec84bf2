"""What an epoch came to on held-out videos: losses and centre errors on pairs, success AUC in tracking."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from mfst_jax import evaluation
from mfst_jax.config import LAYERS, Config
from mfst_jax.errors import InputError
from mfst_jax.evaluation.tracking import track_sequences
from mfst_jax.fast import compile
from mfst_jax.params import Params
from train import pools, se
from train.calibration import FIRST_WEIGHT, Calibration
from train.recipe import Recipe
from train.responses import Trainable
from train.weights import with_se

MEASURED_AT_ONCE = 32


@dataclass(frozen=True)
class Judge:
    """What an epoch came to, on one device."""

    recipe: Recipe
    params: Params
    held_out: pools.Pool
    sequences: Sequence[evaluation.Sequence]

    def first_line(self, trainable: Trainable, calibration: Calibration) -> dict[str, Any]:
        """Before training, with untrained SE-blocks and without any."""
        line = {"step": 0, "epoch": 0, **self._on_pairs(trainable, self.recipe)}
        plain = self.recipe
        if self.recipe.calibration_pairs:
            line["calibration"] = calibration._asdict()
            factors: Any = tuple(factor * FIRST_WEIGHT**2 for factor in plain.factors)
            plain = dataclasses.replace(plain, factors=factors)
        line["without_se"] = self._on_pairs(Trainable(None, trainable.biases), plain)
        if self.recipe.tracking_epochs:
            line["without_se"] |= self._on_sequences(None)
        return line

    def line(self, state: se.TrainState, seconds: float) -> dict[str, Any]:
        """After an epoch that took so long."""
        step = int(state.step)
        epoch = step // self.recipe.steps_per_epoch
        train_losses = {layer: float(state.losses[layer]) / self.recipe.steps_per_epoch for layer in LAYERS}
        line = {
            "step": step,
            "epoch": epoch,
            "learning_rate": float(se.learning_rate(self.recipe, step - 1)),
            "train_loss": sum(train_losses.values()),
            "train_losses": train_losses,
            **self._on_pairs(state.trainable, self.recipe),
            "seconds": round(seconds, 2),
        }
        if self.recipe.tracking_epochs and epoch % self.recipe.tracking_epochs == 0:
            line |= self._on_sequences(state.trainable)
        return line

    def _on_pairs(self, trainable: Trainable, recipe: Recipe) -> dict[str, Any]:
        """Means over the held-out pairs."""
        totals: Any = None
        alone = jax.device_get(trainable)
        for first in range(0, len(self.held_out), MEASURED_AT_ONCE):
            rows = np.arange(first, min(first + MEASURED_AT_ONCE, len(self.held_out)))
            found = jax.device_get(se.measure(alone, self.held_out.batch(rows), recipe=recipe))
            totals = found if totals is None else jax.tree.map(np.add, totals, found)
        losses, errors = jax.tree.map(lambda each: float(each) / len(self.held_out), totals)
        return {"loss": sum(losses.values()), "losses": losses, "centre_errors": errors}

    def _on_sequences(self, trainable: Trainable | None) -> dict[str, Any]:
        """Success AUC of the backbone alone, layers fused as the preset PAPER does."""
        params = self.params if trainable is None else with_se(self.params, self.recipe, trainable)
        config = Config(models=(self.recipe.model,), se=trainable is not None, se_statistics=self.recipe.se_statistics)
        aucs = success_aucs(params, self.sequences, config)
        return {"tracking": {"success_auc": float(np.mean(list(aucs.values()))), "sequences": aucs}}


def merit(recipe: Recipe, line: dict[str, Any]) -> float:
    """What the best epoch has least of, by the recipe; infinite where it was not measured."""
    match recipe.best:
        case "loss":
            return line["loss"]
        case "centre_error":
            return line["centre_errors"]["fused"]
        case "tracking":
            return -line["tracking"]["success_auc"] if "tracking" in line else np.inf


def success_aucs(params: Params, sequences: Iterable[evaluation.Sequence], config: Config) -> dict[str, float]:
    """Success AUC by sequence, each tracked from its first true box. Raises `InputError` if an image is unusable."""
    found: dict[str, float] = {}
    for track in track_sequences(compile(params, config), sequences, config):
        if track.problem is not None:
            raise InputError(track.problem)
        found[track.sequence.name] = evaluation.success_auc(np.stack(track.boxes), track.sequence.ground_truth)
    return found
