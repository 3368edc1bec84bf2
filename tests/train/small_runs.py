"""The recipe of a run that takes seconds, what kills it, and all that a run came to."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mfst_jax import checkpoints
from mfst_jax.checkpoints import weight_names
from mfst_jax.train.recipe import Recipe


class Killed(Exception):  # noqa: N818 (it stands for a signal)
    """End of a run between two steps."""


def kill_at(step: int) -> Callable[[int], None]:
    """An `after_step` of `train` that kills the run once so many steps are done, before anything is saved of them."""

    def stop(done: int) -> None:
        if done == step:
            raise Killed

    return stop


def numbers(out: Path) -> tuple[dict[str, np.ndarray], list[dict]]:
    """All that a run came to, but for how long it took."""
    weights = weight_names.flatten(checkpoints.load(out / "last.safetensors").variables)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return weights, [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def make_recipe(**changes) -> Recipe:
    plain = Recipe(
        model="alexnet",
        factors=(1.0, 1.0, 1.0),
        epochs=3,
        pairs_per_epoch=16,
        batch_size=4,
        cached_pairs=12,
        validation_pairs=4,
    )
    return dataclasses.replace(plain, **changes)
