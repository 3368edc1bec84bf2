"""Time of one tracking step: this library against PyTorch and onnxruntime on the same CPU cores.

    python benchmarks/step_vs_torch.py [--preset paper] [--rounds 15] [--calls 3] [--compile] [--onnx] [--realtime]

needs the extra `parity`; `--onnx` also onnx and onnxruntime. Weights are random, frames are 640 x 480, and all do the
same work: crops at three scales, features, responses, fusion, localisation (`tests/torch_reference.py`). Each variant
has a process of its own, and each has to find the same box before it is timed. A round times each variant once. The
figure to read is the ratio within a round: below 1, the first of the two is faster.

The floor is what the operations of a step take where each convolution is computed directly: their number over the rate
of the fastest large matrix product that either library did in any round.

Other work on the same cores favours this library, since PyTorch's threads wait for the slowest at the end of every
operation: only a quiet machine compares both on all cores, and the first line says how quiet it was. On a busy one,
`taskset -c 0` gives each a single core.

`--realtime` times steps of REALTIME too, in the whole search region and in its middle, with the same networks; they
find boxes of their own.
"""

import dataclasses
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import floor
import jax
import jax.numpy as jnp
import numpy as np
import torch
import tyro
from torch._inductor import config as inductor_config

import mfst_jax
from mfst_jax.bench import random_inputs
from mfst_jax.bench.side_by_side import Contestant, alternate, machine, ratios, spread, table
from mfst_jax.bench.steps import Kind
from mfst_jax.cache import keep_compilations
from mfst_jax.params import resolve_config
from mfst_jax.presets import PRESETS, Preset

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import torch_reference
from scenes import video

Variant = Literal["eager", "channels last", "torch.compile", "onnxruntime"]
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
TOLERANCE = 0.05
"""Pixels by which the boxes of two variants may differ."""


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Two frames, and the target's box in the first."""
    frames, boxes = video(seed=0, frames=2, size=(480, 640), target=(80, 60), start=(300, 200))
    return frames, boxes[0]


def make_jax(
    preset: Preset, kind: Kind, expected: np.ndarray | None, in_centre: bool = False
) -> Callable[[], np.ndarray]:
    """Step to time in JAX, from the first frame's state to the second frame's box; `in_centre` for a slow target."""
    keep_compilations()
    params, (frames, box) = random_inputs.preset_params(preset), scene()
    config = resolve_config(params.contents, PRESETS[preset])
    weights = mfst_jax.prepare(params, config) if kind == "prepared" else params
    state = mfst_jax.init(weights, frames[0], box, config=config)
    state = dataclasses.replace(state, searches_centre=jnp.asarray(in_centre))
    frame = jnp.asarray(frames[1])
    return checked(lambda: np.asarray(mfst_jax.step(weights, state, frame)[1].box), expected)


def make_torch(preset: Preset, variant: Variant, expected: np.ndarray | None) -> Callable[[], np.ndarray]:
    """Step to time in PyTorch, as `make_jax` makes it."""
    torch.set_num_threads(CORES)
    params, (frames, box) = random_inputs.preset_params(preset), scene()
    network = torch_reference.MFST(params.contents, PRESETS[preset], params)
    if variant != "eager":
        for weight in network.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    if variant == "torch.compile":
        inductor_config.freezing = True
        for backbone in network.backbones.values():
            backbone.compile()
    first, second = (torch.from_numpy(frame.copy()) for frame in frames)
    with torch.inference_mode():
        track = network.init(first, torch.from_numpy(box.copy()))
    if variant == "onnxruntime":
        for model, backbone in network.backbones.items():
            network.backbones[model] = Onnx(backbone)

    def step() -> np.ndarray:
        with torch.inference_mode():
            return network.step(track, second)[1].numpy()

    return checked(step, expected)


class Onnx(torch.nn.Module):
    """Backbone run by onnxruntime on three search regions."""

    def __init__(self, backbone: torch.nn.Module):
        super().__init__()
        import onnxruntime  # pyrefly: ignore[missing-import]

        self._names = [*torch_reference.LAYERS]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = CORES
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "backbone.onnx"))
            torch.onnx.export(
                backbone,
                (torch.zeros(3, 3, 255, 255),),
                path,
                input_names=["images"],
                output_names=self._names,
                dynamo=False,
            )
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features of the backbone by layer."""
        found = self._session.run(self._names, {"images": images.numpy()})
        return {name: torch.from_numpy(maps) for name, maps in zip(self._names, found, strict=True)}


def make_torch_matmul() -> Callable[[], Any]:
    """Function that multiplies large float32 matrices by PyTorch."""
    torch.set_num_threads(CORES)
    matrix = torch.randn(floor.SIDE, floor.SIDE)
    return lambda: matrix @ matrix


def checked(step: Callable[[], np.ndarray], expected: np.ndarray | None) -> Callable[[], np.ndarray]:
    """Step to time, once it has found the box that it should."""
    found = step()
    if expected is not None:
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    return step


def main(
    preset: Preset = "paper",
    rounds: int = 15,
    calls: int = 3,
    compile: bool = False,
    onnx: bool = False,
    realtime: bool = False,
) -> None:
    """Prints the table.

    Args:
        preset: The configuration.
        rounds: How often each variant takes its turn.
        calls: How many steps make a turn.
        compile: Also time torch.compile of the backbones, with frozen weights.
        onnx: Also time the backbones in onnxruntime.
        realtime: Also time REALTIME.
    """
    expected = make_jax(preset, "plain", None)()
    variants: list[Variant] = ["eager", "channels last"]
    if compile:
        variants.append("torch.compile")
    if onnx:
        variants.append("onnxruntime")
    contestants = {f"mfst_jax, {kind}": Contestant(make_jax, preset, kind, expected) for kind in ("prepared", "plain")}
    contestants |= {variant: Contestant(make_torch, preset, variant, expected) for variant in variants}
    realtimes = {"REALTIME, whole search region": False, "REALTIME, its centre": True} if realtime else {}
    contestants |= {
        name: Contestant(make_jax, "realtime", "prepared", None, in_centre) for name, in_centre in realtimes.items()
    }
    products = {"product by XLA": Contestant(floor.make_matmul), "product by PyTorch": Contestant(make_torch_matmul)}
    print(f"{preset}, 640 x 480; {machine()}; {rounds} rounds of {calls} steps")
    print(f"jax {jax.__version__} on {jax.default_backend()}, torch {torch.__version__}; median (quartiles)\n")
    times = alternate({**contestants, **products}, rounds=rounds, calls=calls)

    ours = times["mfst_jax, prepared"]
    rows = [
        [
            name,
            spread([1000 * second for second in times[name].wall], 1),
            f"{1000 * statistics.median(times[name].cpu):.1f}",
            f"{times[name].peak:.0f}",
            spread(ratios(ours.wall, times[name].wall)),
            spread(ratios(ours.cpu, times[name].cpu)),
        ]
        for name in contestants
    ]
    print(table(("variant", "ms a step", "CPU ms", "MiB", "prepared to it, wall", "prepared to it, CPU"), rows))

    best = min(variants, key=lambda name: statistics.median(times[name].wall))
    params = random_inputs.preset_params(preset)
    operations = floor.step_flops(params, resolve_config(params.contents, PRESETS[preset]))
    rate = floor.MATMUL_FLOPS / min(second for name in products for second in times[name].wall)
    least = operations / rate
    print(f"\ncompiled to the best of the others, {best}: {spread(ratios(ours.wall, times[best].wall))}")
    for name in realtimes:
        print(f"{name}, to {best}: {spread(ratios(times[name].wall, times[best].wall))}")
    print(f"floor: {operations / 1e9:.1f} GFLOP at {rate / 1e9:.0f} GFLOP/s, {1000 * least:.0f} ms; ", end="")
    print(f"prepared to it: {spread([second / least for second in ours.wall])}")


if __name__ == "__main__":
    tyro.cli(main)
