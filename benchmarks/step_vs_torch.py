"""Time of one tracking step: this library, jitted, against PyTorch on the same CPU cores, in turns in one process.

    python benchmarks/step_vs_torch.py [--config paper|alexnet|siamfc] [--rounds 15] [--compile]

needs the extra `parity`. Weights are random, the frame is 640 x 480, and both sides do the same work: crops at three
scales, features, responses, fusion, localisation (`tests/torch_reference.py`; the two are first checked to agree on the
box). A round times each variant once, so that what slows the machine down slows all of them. The figure to read is the
ratio within a round, below 1 where this library is faster; the times themselves say more about the machine.

Other work on the same cores favours this library, since PyTorch's threads wait for the slowest at the end of every
operation: only a quiet machine compares both on all cores. On a busy one, `taskset -c 0` gives each a single core.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch

import mfst_jax
from mfst_jax.config import PRESETS, Config
from mfst_jax.model import MFST
from mfst_jax.params import Contents, Params

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import torch_reference
from scenes import video

CONTENTS = {
    "paper": Contents(True, "torchvision", siamfc_se=True, alexnet_se=True),
    "alexnet": Contents(False, "torchvision", alexnet_se=True),
    "siamfc": Contents(True, None),
}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def random_params(contents: Contents, config: Config) -> Params:
    network = MFST(contents, config)
    variables = jax.jit(network.init)(jax.random.key(0), jnp.zeros((127, 127, 3)), jnp.zeros((1, 255, 255, 3)))
    return Params(dict(variables), contents)


def jax_step(params: Params, config: Config, frames: np.ndarray, box: np.ndarray) -> Callable[[], np.ndarray]:
    """A step from the first frame's state to the second frame's box."""
    state = mfst_jax.init(params, jnp.asarray(frames[0]), jnp.asarray(box), config=config)
    frame = jnp.asarray(frames[1])
    return lambda: np.asarray(mfst_jax.step(params, state, frame)[1].box)


def torch_steps(
    params: Params, config: Config, frames: np.ndarray, box: np.ndarray, compiled: bool
) -> dict[str, Callable[[], np.ndarray]]:
    """The same step in PyTorch, by name of the variant."""
    torch.set_num_threads(CORES)
    first, second = (torch.from_numpy(frame.copy()) for frame in frames)

    def variant(network: torch_reference.MFST) -> Callable[[], np.ndarray]:
        with torch.inference_mode():
            track = network.init(first, torch.from_numpy(box))

        @torch.inference_mode()
        def step() -> np.ndarray:
            return network.step(track, second)[1].numpy()

        return step

    def network(memory_format: torch.memory_format) -> torch_reference.MFST:
        network = torch_reference.MFST(params.contents, config, params)
        for weight in network.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=memory_format)
        return network

    variants = {
        "torch eager": variant(network(torch.contiguous_format)),
        "torch channels_last": variant(network(torch.channels_last)),
    }
    if compiled:
        fast = network(torch.channels_last)
        for backbone in fast.backbones.values():
            backbone.compile()
        variants["torch channels_last, compiled"] = variant(fast)
    return variants


def measure(variants: dict[str, Callable[[], np.ndarray]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each variant in each round, after one round that counts for nothing."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for index in range(rounds + 1):
        for name, step in variants.items():
            start = time.perf_counter()
            step()
            if index > 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(values: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:7.2f}  ({low:.2f} .. {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--config", choices=CONTENTS, default="paper", help="the preset (default: paper)")
    parser.add_argument("--rounds", type=int, default=15, help="how often each variant is timed (default: 15)")
    parser.add_argument("--compile", action="store_true", help="also time torch.compile of the backbones")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error(f"--rounds: expected 2 or more, found {arguments.rounds}")

    config = PRESETS[arguments.config]
    params = random_params(CONTENTS[arguments.config], config)
    frames, boxes = video(seed=0, frames=2, size=(480, 640), target=(80, 60), start=(300, 200))

    variants = {"mfst_jax": jax_step(params, config, frames, boxes[0])}
    variants |= torch_steps(params, config, frames, boxes[0], arguments.compile)
    box = variants["mfst_jax"]()
    for name, step in variants.items():
        np.testing.assert_allclose(step(), box, atol=0.05, err_msg=name)

    seconds = measure(variants, arguments.rounds)
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{arguments.config}, 640 x 480, {CORES} cores{load}, {arguments.rounds} rounds; median (quartiles)")
    print(f"jax {jax.__version__} on {jax.default_backend()}, torch {torch.__version__}")
    for name, times in seconds.items():
        if name != "mfst_jax":
            ratios = [ours / theirs for ours, theirs in zip(seconds["mfst_jax"], times, strict=True)]
            print(f"  mfst_jax / {name:30} {spread(ratios)}")
    for name, times in seconds.items():
        print(f"  {name:30} ms      {spread([1000 * t for t in times])}")


if __name__ == "__main__":
    main()
