"""Weights that training hands over: with what was trained, and with where they come from."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mfst_jax import checkpoints
from mfst_jax.config import Config, Layer
from mfst_jax.params import Params, implied_config
from mfst_jax.train import hosts
from mfst_jax.train.backbone import Backbone, with_backbone
from mfst_jax.train.data.split import Data
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import Trainable
from mfst_jax.version import __version__


def finished(params: Params, recipe: Recipe, trainable: Trainable | Backbone, running: dict[str, Any]) -> Params:
    """Weights with everything that was trained."""
    if isinstance(trainable, Backbone):
        return with_backbone(params, trainable, running, recipe)
    return with_se(params, recipe, trainable)


def with_se(params: Params, recipe: Recipe, trainable: Trainable) -> Params:
    """Weights with the trained SE-blocks, and with a configuration that uses them as they were trained.

    It is the one that the weights recommended before, where it has the recipe's model; or what both backbones imply; or
    else `Config` with that model alone.
    """
    blocks = jax.tree.map(np.asarray, trainable.block_of_each)
    variables = {**params.variables, "params": {**params.variables["params"], f"{recipe.model}_se": blocks}}
    held: Any = {f"{recipe.model}_se": True}
    contents = dataclasses.replace(params.contents, config=None, **held)
    implied = implied_config(contents)
    recommended, both = params.contents.config, contents.siamfc and contents.alexnet is not None
    config = implied if both else Config(models=(recipe.model,))
    if recommended is not None and recipe.model in recommended.models:
        config = recommended
    config = dataclasses.replace(config, se_statistics=recipe.se_statistics)
    return Params(variables, dataclasses.replace(contents, config=None if config == implied else config))


def write_weights(
    path: Path,
    trained: Params,
    recipe: Recipe,
    *,
    biases: Mapping[Layer, Any],
    metrics: Mapping[str, Any],
    data: Data,
    source: Mapping[str, Any] | None,
) -> None:
    """Writes the weights, with the recipe, the videos' names, the epoch's metrics and the biases.

    The same run gives the same bytes, whatever time it takes. The first process alone writes.

    Args:
      path: a .safetensors file.
      trained: all weights (`finished`).
      recipe: what was done.
      biases: of the responses.
      metrics: of the epoch.
      data: what it was trained on.
      source: where the backbones come from.
    """
    if not hosts.is_first():
        return
    provenance = {
        "tool": f"mfst_jax {__version__}, train",
        "sources": [source] if source else [],
        "recipe": dataclasses.asdict(recipe),
        "data": {
            "key": data.key(),
            "training": [video.name for video in data.training],
            "held_out": [video.name for video in data.held_out],
        },
        "metrics": {name: value for name, value in metrics.items() if name != "seconds"},
        "biases": {layer: float(bias) for layer, bias in biases.items()},
    }
    checkpoints.save(trained, path, provenance=provenance)
