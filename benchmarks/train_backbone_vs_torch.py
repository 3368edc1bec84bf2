"""Time of one training step of a backbone: this project against PyTorch in channels-last layout, in turns in a process.

    python benchmarks/train_backbone_vs_torch.py [--pairs 8] [--rounds 9] [--network siamfc]

needs the extras `train` and `parity`. `siamfc` is SiamFC's own network from random weights, BN in training, all of it
trained; `alexnet` is torchvision's AlexNet with conv1 and conv2 frozen. Weights and crops are random. A step goes from
curated crops that are on the host, not augmented, to the next weights, by the response of conv5 and SGD. The losses of
the first two steps are printed: the second's depends on all gradients of the first. A round times each step once; the
figure to read is the ratio within a round.
"""

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
from torch.nn import functional as F

from mfst_jax.params import Contents, Params
from mfst_jax.presets import SIAMFC
from mfst_jax.random_weights import random_params
from mfst_jax.train import backbone
from mfst_jax.train.data.curation import CROP_SIZE, MARGIN
from mfst_jax.train.data.pairs import Crops
from mfst_jax.train.losses import labels
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.steps import compiled, frozen_part, init, reset_losses

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import torch_reference

FROZEN = {"siamfc": 0, "alexnet": 2}


def torch_step(start: Params, recipe: Recipe, crops: Crops) -> Callable[[], float]:
    """Training step in PyTorch, correlations as one grouped convolution."""
    network: Any = torch_reference.MFST(start.contents, SIAMFC, start).backbones["siamfc"]
    network.train().to(memory_format=torch.channels_last)
    for number in range(1, recipe.frozen_convolutions + 1):
        getattr(network, f"conv{number}").requires_grad_(False)
    positive = torch.from_numpy(np.array(labels()))
    share = torch.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    bias = torch.zeros((), requires_grad=True)
    trained = [each for each in network.parameters() if each.requires_grad]
    optimiser = torch.optim.SGD([*trained, bias], lr=recipe.learning_rate, momentum=recipe.momentum)

    def step() -> float:
        exemplars, searches = (
            torch.from_numpy(each[:, MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32)).permute(0, 3, 1, 2)
            for each in (crops.exemplar, crops.search)
        )
        z, x = network(exemplars[:, :, 64:191, 64:191])["conv5"], network(searches)["conv5"]
        n, c, h, w = x.shape
        response = F.conv2d(x.reshape(1, n * c, h, w), z, groups=n)[0]
        signed = torch.where(positive, 1.0, -1.0) * (recipe.factors[2] * response + bias)
        loss = (share * F.softplus(-signed)).sum(dim=(1, 2)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step


def jax_step(start: Params, recipe: Recipe, crops: Crops) -> Callable[[], float]:
    """Training step of `mfst_jax.train.loop`."""
    advance, frozen, key = compiled(recipe), frozen_part(recipe, start), jax.random.key(0)
    held = [init(recipe, start)]

    def step() -> float:
        held[0] = advance(reset_losses(held[0]), frozen, jax.tree.map(lambda each: each[None], crops), key)
        return float(held[0].losses["conv5"])

    return step


def main(pairs: int = 8, rounds: int = 9, network: Literal["siamfc", "alexnet"] = "siamfc") -> None:
    """Times the training step of a backbone in both, in turns.

    Args:
      pairs: in a batch.
      rounds: how often each step is timed.
      network: what is trained.
    """
    recipe = Recipe(
        model="siamfc",
        trains="backbone",
        network=network,
        frozen_convolutions=FROZEN[network],
        loss_weights=(0.0, 0.0, 1.0),
        batch_size=pairs,
    )
    rng = np.random.default_rng(0)
    shape = pairs, CROP_SIZE, CROP_SIZE, 3
    exemplars, searches = (rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(2))
    crops = Crops(exemplars, searches, np.arange(pairs, dtype=np.int32))
    held = Contents(siamfc=False, alexnet="torchvision")
    begun = random_params(held) if network == "alexnet" else Params({"params": {}}, held)
    start = backbone.alone(begun, *backbone.fresh(recipe, begun, {}), recipe)
    steps = {"PyTorch": torch_step(start, recipe, crops), "ours": jax_step(begun, recipe, crops)}
    losses = {name: [step(), step()] for name, step in steps.items()}
    for name, found in losses.items():
        print(f"{name:<10} losses of the first two steps: {found[0]:.6f}, {found[1]:.6f}")
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - begin)
    ratios = [ours / theirs for ours, theirs in zip(times["ours"], times["PyTorch"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    for name, seconds in times.items():
        print(f"{name:<10} {statistics.median(seconds) * 1e3:9.1f} ms")
    print(f"ours to PyTorch: {middle:.2f} (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    tyro.cli(main)
