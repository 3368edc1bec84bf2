"""The golden case: a scene and weights that NumPy makes alike everywhere, and what is recorded of a track in it.

Everything is drawn from `RandomState`, whose numbers never change, by whole numbers and by uniform floats.
"""

from pathlib import Path

import numpy as np

import mfst_jax
from mfst_jax.checkpoints import weight_names
from mfst_jax.config import Config
from mfst_jax.params import Contents, Params
from mfst_jax.presets import ALEXNET, AUTHORS, PAPER

RECORDED = Path(__file__).with_name("golden_case.npz")
"""Boxes and responses by `torch_reference`; `python tools/record_golden_case.py` writes them."""
SIZE = 96, 128
GROWTH = (24, 25, 26, 27, 28)
"""Side of the square target in each frame, in pixels."""
CASES: dict[str, tuple[Contents | None, Config]] = {
    "alexnet": (None, ALEXNET),
    "several regions": (None, Config(models=("alexnet",), scale_penalty=0.99)),
    "paper": (Contents(True, "torchvision", siamfc_se=True, alexnet_se=True), PAPER),
    "authors": (Contents(True, "caffe", siamfc_se=True, alexnet_se=True), AUTHORS),
}
"""What the weights hold, None for the built-in ones, and how to track."""


def texture(random: np.random.RandomState, height: int, width: int, grain: int) -> np.ndarray:
    """[height, width, 3] uint8 of smooth random colour: `grain` pixels from one random colour to the next."""
    corners = random.randint(0, 256, (height // grain + 2, width // grain + 2, 3))

    def between(colours: np.ndarray, count: int) -> np.ndarray:
        """`count` rows along the first axis, bilinear and rounded down."""
        cell, rest = np.divmod(np.arange(count), grain)
        rest = rest[:, None, None]
        return (colours[cell] * (grain - rest) + colours[cell + 1] * rest) // grain

    rows = between(corners, height)
    return between(rows.transpose(1, 0, 2), width).transpose(1, 0, 2).astype(np.uint8)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Frames [5, 96, 128, 3] uint8 in which a patch moves to the right and grows, and its true boxes [5, 4] float32."""
    random = np.random.RandomState(0)
    background, patch = texture(random, *SIZE, grain=12), texture(random, 24, 24, grain=5)
    frames, boxes = np.repeat(background[None], len(GROWTH), axis=0), np.empty((len(GROWTH), 4), np.float32)
    for number, (frame, side) in enumerate(zip(frames, GROWTH, strict=True)):
        x, y = 40 + 3 * number, 36 - number
        nearest = np.arange(side) * 24 // side
        frame[y : y + side, x : x + side] = patch[nearest][:, nearest]
        boxes[number] = x, y, side, side
    return frames, boxes


def make_params(contents: Contents | None) -> Params:
    """Random weights, with biases and statistics of BN that are not zeros and ones; by None the built-in ones."""
    if contents is None:
        return mfst_jax.load()
    random, arrays = np.random.RandomState(1), {}
    for name, shape in sorted(weight_names.expected(contents).items()):
        low, high = {"scale": (0.5, 1.5), "var": (0.5, 1.5), "mean": (-10, 10), "bias": (-0.5, 0.5)}.get(
            name.rsplit("/", 1)[1], (-(reach := np.sqrt(6 / np.prod(shape[:-1]))), reach)
        )
        arrays[name] = random.uniform(low, high, shape).astype(np.float32)
    return Params(weight_names.nest(arrays), contents)


def sampled(response: np.ndarray) -> np.ndarray:
    """Every eighth sample of a fused map: [34, 34] of [272, 272]."""
    return np.asarray(response, np.float32)[4::8, 4::8]
