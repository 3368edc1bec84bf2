"""Time of one training step of SE-blocks on a frozen SiamFC: this project against PyTorch, in turns in one process.

    python benchmarks/train_step_vs_torch.py [--pairs 8] [--rounds 5]

needs the extras `train` and `parity`. Weights and crops are random. Three steps on the same pairs: PyTorch's and ours
with features computed in the step, and ours on channel-wise correlations kept since before. Their losses are first
checked to agree. A round times each once; the figures to read are the ratios within a round. PyTorch is in
channels-last layout, as in the other comparisons.
"""

import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import tyro
from torch.nn import functional as F

from mfst_jax.config import LAYERS, Config
from mfst_jax.params import Contents, Params
from mfst_jax.random_weights import random_params
from mfst_jax.train import correlation_pools
from mfst_jax.train.data.curation import CROP_SIZE, MARGIN, Video
from mfst_jax.train.data.pairs import load, sample
from mfst_jax.train.losses import labels
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import freeze
from mfst_jax.train.steps import TrainState, compiled, init, reset_losses

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import torch_reference


def random_video(frames: int) -> Video:
    """Video of random crops."""
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (frames, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
    return Video("random", np.arange(frames), np.full((frames, 2), 64, np.float32), "random", lambda row: crops[row])


def torch_step(params: Params, recipe: Recipe, trainable: Any, crops: Any) -> Callable[[], float]:
    """Training step in PyTorch, in channels-last layout, which is faster there.

    The backbone is in inference mode without gradients, SE-blocks are the exemplar's, correlations are grouped
    convolutions.
    """
    contents = dataclasses.replace(params.contents, siamfc_se=True)
    tree = {**params.variables["params"], "siamfc_se": trainable.blocks}
    with_se = Params({**params.variables, "params": tree}, contents)
    network: Any = torch_reference.MFST(contents, Config(models=("siamfc",)), with_se)
    network.to(memory_format=torch.channels_last)
    positive = torch.from_numpy(np.array(labels()))
    biases = torch.zeros(3, requires_grad=True)
    blocks: Any = network.se["siamfc"]
    optimiser = torch.optim.SGD([*blocks.parameters(), biases], lr=recipe.learning_rate, momentum=recipe.momentum)
    middle = slice(MARGIN, -MARGIN)
    exemplars, searches = (
        torch.from_numpy(each[:, middle, middle].astype(np.float32)).permute(0, 3, 1, 2)  # channels last, as they are
        for each in (crops.exemplar, crops.search)
    )
    exemplars = exemplars[:, :, 64:191, 64:191].contiguous(memory_format=torch.channels_last)

    def step() -> float:
        with torch.no_grad():
            z, x = network.features(exemplars)["siamfc"], network.features(searches)["siamfc"]
        loss = torch.zeros(())
        for number, layer in enumerate(LAYERS):
            weight = blocks[layer](z[layer])
            exemplar, search = z[layer] * weight, x[layer] * weight
            n, c, h, w = search.shape
            response = F.conv2d(search.reshape(1, n * c, h, w), exemplar, groups=n)[0]
            response = recipe.factors[number] * response + biases[number]
            loss = loss + torch_reference.balanced_logistic(response, positive).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step


def jax_step(frozen: Any, recipe: Recipe, state: TrainState, batch: Any) -> Callable[[], float]:
    """Training step of `mfst_jax.train.loop` on a batch that is on the host."""
    advance = compiled(recipe)
    held, key = [state], jax.random.key(0)

    def step() -> float:
        held[0] = advance(reset_losses(held[0]), frozen, jax.tree.map(lambda each: each[None], batch), key)
        return float(sum(held[0].losses.values(), jnp.zeros(())))

    return step


def main(pairs: int = 8, rounds: int = 5) -> None:
    """Times the step of SE-blocks in three ways, in turns.

    Args:
      pairs: in a batch.
      rounds: how often each step is timed.
    """
    params = random_params(Contents(siamfc=True, alexnet=None))
    recipe = Recipe(model="siamfc", batch_size=pairs, factors=(1e-8, 1e-8, 1e-8))
    state, videos = init(recipe, params), [random_video(2 * pairs)]
    chosen = sample(videos, pairs, seed=0, step=0, max_frame_gap=100)
    crops = load(videos, chosen)
    with tempfile.TemporaryDirectory() as folder:
        kept = correlation_pools.make(folder, params, recipe, videos, chosen).batch(np.arange(pairs))
    steps = {
        "PyTorch, features in the step": torch_step(params, recipe, state.trainable, crops),
        "ours, features in the step": jax_step(freeze(params, recipe), recipe, state, crops),
        "ours, correlations kept": jax_step(None, recipe, state, kept),
    }
    first = {name: step() for name, step in steps.items()}
    spread = max(first.values()) - min(first.values())
    print(f"losses of the first step agree to {spread:.1e}: {', '.join(f'{loss:.6f}' for loss in first.values())}")
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    reference = times["PyTorch, features in the step"]
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(reference, seconds, strict=True))
        print(f"{name:<32} {statistics.median(seconds) * 1e3:9.1f} ms   {ratio:7.1f} times as fast as PyTorch")


if __name__ == "__main__":
    tyro.cli(main)
