"""Time of one training step of a backbone: this project against PyTorch in channels-last layout, in turns in a process.

    python benchmarks/train_backbone_vs_torch.py [--pairs 8] [--rounds 9] [--network siamfc] [--as-recipe]

needs the extras `train` and `parity`. `siamfc` is SiamFC's own network from random weights, BN in training, all of it
trained; `alexnet` is torchvision's AlexNet with conv1 and conv2 frozen. Weights and crops are random. A step goes from
images that are on the host to the next weights: by the response of conv5 and SGD; or with `--as-recipe` by all that
`siamfc_from_scratch` and `siamfc_from_alexnet` say, but for the number of pairs. Ours cuts and augments curated crops
in the step, PyTorch is given the images that come of it. The losses of the first two steps are printed: the second's
depends on all gradients of the first. A round times each step once; the figure to read is the ratio within a round.
"""

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import torch
import tyro
from torch import Tensor
from torch.nn import functional as F

from mfst_jax.params import Contents, Params
from mfst_jax.presets import SIAMFC
from mfst_jax.random_weights import random_params
from mfst_jax.train import backbone
from mfst_jax.train.command import find_recipe
from mfst_jax.train.data.augmentation import augment
from mfst_jax.train.data.curation import CROP_SIZE
from mfst_jax.train.data.pairs import Crops
from mfst_jax.train.losses import HIGHEST, labels
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.steps import compiled, frozen_part, init, learning_rate, reset_losses

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import torch_reference

RECIPES = {"siamfc": "siamfc_from_scratch", "alexnet": "siamfc_from_alexnet"}
Images = tuple[np.ndarray, np.ndarray]
"""Exemplars and search images of a batch, augmented or not."""


def correlate(z: Tensor, x: Tensor, *, all_to_all: bool) -> Tensor:
    """Responses `[exemplars, searches, 17, 17]` as one convolution, or those of pairs alone, `[n, 17, 17]`, grouped."""
    if all_to_all:
        return F.conv2d(x, z).transpose(0, 1)
    n, c, h, w = x.shape
    return F.conv2d(x.reshape(1, n * c, h, w), z, groups=n)[0]


class TorchTraining:
    """Training of a backbone in PyTorch, by the losses and the optimiser of a recipe."""

    def __init__(self, start: Params, recipe: Recipe):
        self.recipe = recipe
        network: Any = torch_reference.MFST(start.contents, SIAMFC, start).backbones["siamfc"]
        self.network = network.train().to(memory_format=torch.channels_last)
        for number in range(1, recipe.frozen_convolutions + 1):
            getattr(network, f"conv{number}").requires_grad_(False)
        self.biases = {layer: torch.zeros((), requires_grad=True) for layer in recipe.layers}
        weights = [each for each in network.parameters() if each.requires_grad]
        decayed = [each for each in weights if each.dim() == 4]
        self.trained = [*weights, *self.biases.values()]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": recipe.weight_decay, "multiple": 1.0},
            {"params": [each for each in weights if each.dim() < 4], "multiple": 1.0},
            {"params": [*self.biases.values()], "multiple": recipe.bias_rate},
        ]
        if recipe.optimiser == "adamw":
            self.optimiser: Any = torch.optim.AdamW(groups, betas=(recipe.momentum, 0.999), weight_decay=0.0)
        else:
            self.optimiser = torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
        self.average = [each.detach().clone() for each in self.trained] if recipe.average else []
        self.rates = np.asarray(jax.vmap(lambda step: learning_rate(recipe, step))(np.arange(1000)))
        self.steps = 0
        self.positive = torch.from_numpy(np.array(labels(recipe.label_radius)))

    def loss(self, images: Images) -> tuple[Tensor, float]:
        """Loss of a batch of pairs of different videos, and conv5's share of it."""
        recipe = self.recipe
        exemplars, searches = (torch.from_numpy(each).permute(0, 3, 1, 2) for each in images)
        z, x = self.network(exemplars), self.network(searches)
        total, of_conv5 = torch.zeros(()), 0.0
        for layer, bias in self.biases.items():
            all_to_all = recipe.other_videos > 0
            maps = recipe.factor(layer) * correlate(z[layer], x[layer], all_to_all=all_to_all) + bias
            own = torch.diagonal(maps).permute(2, 0, 1) if all_to_all else maps
            loss = torch_reference.balanced_logistic(own, self.positive).mean()
            of_conv5 = float(loss.detach())
            total = total + recipe.loss_weight(layer) * loss
            if all_to_all:
                others = maps[~torch.eye(len(maps), dtype=torch.bool)].flatten(1)
                highest = F.softplus(others.topk(HIGHEST, dim=1).values).mean()
                total = total + recipe.other_videos * recipe.loss_weight(layer) * highest
        return total, of_conv5

    def step(self, images: Images) -> float:
        """Loss of conv5 before a step on a batch."""
        total, of_conv5 = self.loss(images)
        self.optimiser.zero_grad()
        total.backward()
        if self.recipe.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.trained, self.recipe.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = float(self.rates[self.steps]) * group["multiple"]
        self.optimiser.step()
        if self.average:
            share = max(1 - self.recipe.average, 1 / (self.steps + 1))
            torch._foreach_lerp_(self.average, [each.detach() for each in self.trained], share)
        self.steps += 1
        return of_conv5


def jax_step(start: Params, recipe: Recipe, crops: Crops, key: jax.Array) -> Callable[[], float]:
    """Training step of `mfst_jax.train.loop`, which augments the crops itself; it returns the loss of conv5."""
    advance, frozen = compiled(recipe), frozen_part(recipe, start)
    held = [init(recipe, start)]

    def step() -> float:
        held[0] = advance(reset_losses(held[0]), frozen, jax.tree.map(lambda each: each[None], crops), key)
        return float(held[0].losses["conv5"])

    return step


def recipe_of(network: Literal["siamfc", "alexnet"], pairs: int, *, as_recipe: bool) -> Recipe:
    """What both train by."""
    recipe = find_recipe(RECIPES[network])[1]
    # Random weights have no factors to calibrate.
    recipe = dataclasses.replace(recipe, batch_size=pairs, accumulation=1, calibration_pairs=0)
    if as_recipe:
        return recipe
    kept = ("model", "trains", "network", "frozen_convolutions", "batch_size")
    return Recipe(**{name: getattr(recipe, name) for name in kept}, loss_weights=(0.0, 0.0, 1.0))


def main(
    pairs: int = 8, rounds: int = 9, network: Literal["siamfc", "alexnet"] = "siamfc", as_recipe: bool = False
) -> None:
    """Times the training step of a backbone in both, in turns.

    Args:
      pairs: in a batch.
      rounds: how often each step is timed.
      network: what is trained.
      as_recipe: with the losses, the optimiser and the augmentation of the network's recipe.
    """
    recipe = recipe_of(network, pairs, as_recipe=as_recipe)
    rng = np.random.default_rng(0)
    shape = pairs, CROP_SIZE, CROP_SIZE, 3
    crops = Crops(
        *(rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(2)), video=np.arange(pairs, dtype=np.int32)
    )
    held = Contents(siamfc=False, alexnet="torchvision")
    begun = random_params(held) if network == "alexnet" else Params({"params": {}}, held)
    start = backbone.alone(begun, *backbone.fresh(recipe, begun, {}), recipe)
    key = jax.random.key(0)
    ours, theirs = jax_step(begun, recipe, crops, key), TorchTraining(start, recipe)

    @jax.jit
    def images_of(step: int) -> tuple[jax.Array, jax.Array]:
        (drawn,) = jax.random.split(jax.random.fold_in(key, step), 1)
        return augment(drawn, crops.exemplar, crops.search, recipe.augmentation)

    times: dict[str, list[float]] = {"PyTorch": [], "ours": []}
    losses: dict[str, list[float]] = {name: [] for name in times}
    for number in range(rounds + 2):
        exemplars, searches = (np.array(each) for each in images_of(number))
        for name, step in {"PyTorch": lambda: theirs.step((exemplars, searches)), "ours": ours}.items():  # noqa: B023
            begin = time.perf_counter()
            losses[name].append(step())
            times[name].append(time.perf_counter() - begin)
    for name, found in losses.items():
        print(f"{name:<10} losses of conv5 in the first two steps: {found[0]:.6f}, {found[1]:.6f}")
        print(f"{name:<10} {statistics.median(times[name][2:]) * 1e3:9.1f} ms")
    ratios = [ours / theirs for ours, theirs in zip(times["ours"][2:], times["PyTorch"][2:], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"ours to PyTorch: {middle:.2f} (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    tyro.cli(main)
