"""The command `mfst bench`: the time of a tracking step on this machine, by preset, weights, frame size and targets."""

import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from mfst_jax import checkpoints, tracker
from mfst_jax.alternation import Contestant, alternate, machine, ratios, spread, table
from mfst_jax.arguments import Weights
from mfst_jax.cache import keep_compilations
from mfst_jax.config import PRESETS, Config, Preset
from mfst_jax.errors import InputError
from mfst_jax.fast import prepare
from mfst_jax.multi import Start, Tracks, config_for
from mfst_jax.padding import pad
from mfst_jax.params import Params, contents_for, resolve_config
from mfst_jax.random_weights import random_params

Kind = Literal["prepared", "plain"]
Size = tuple[int, int]
"""Height and width of a frame, in pixels."""


def bench(
    *,
    presets: tuple[Preset, ...] = tuple(PRESETS),
    weights: Weights = None,
    kinds: tuple[Kind, ...] = ("prepared", "plain"),
    sizes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WIDTHxHEIGHT ...")] = ("640x480",),
    targets: tuple[int, ...] = (1,),
    rounds: int = 9,
    calls: int = 3,
) -> int:
    """Time the tracking step on this machine: every combination in a process of its own, all in turns.

    Without --weights they are random, with SE-blocks: the numbers make no difference to the time.

    Args:
        presets: The configurations to time.
        weights: A name (see mfst weights), an Orbax directory or a .safetensors file, with what the presets need.
        kinds: Weights as `mfst track` uses them, prepared, or the plain modules.
        sizes: Frames, such as 640x480 1920x1080.
        targets: How many to follow at once in one video: one after the other on CPUs, else as a batch.
        rounds: How often each takes its turn.
        calls: How many steps make a turn.
    """
    shapes = [parse_size(size) for size in sizes]
    if any(count < 1 for count in targets):
        raise InputError(f"--targets: expected 1 or more, found {targets}")
    if weights is not None:
        contents = checkpoints.load(weights).contents
        for preset in presets:
            resolve_config(contents, PRESETS[preset])
    cases = list(product(presets, kinds, zip(sizes, shapes, strict=True), targets))
    contestants = {
        f"{preset}, {kind}, {size}, {count}": Contestant(make_step, weights, preset, kind, shape, count)
        for preset, kind, (size, shape), count in cases
    }
    print(f"{machine()}; jax {jax.__version__} on {jax.default_backend()}; {rounds} rounds of {calls} steps")
    if jax.default_backend() != "cpu" and len(contestants) > 1:
        print("several processes share the accelerator: each keeps memory of its own", file=sys.stderr)
    times = alternate(contestants, rounds=rounds, calls=calls)
    first = next(iter(times.values()))
    rows = []
    for (preset, kind, (size, _), count), its in zip(cases, times.values(), strict=True):
        wall, cpu = ([1000 * second for second in seconds] for seconds in (its.wall, its.cpu))
        rate = 1000 * count / float(np.median(wall))
        ratio = spread(ratios(its.wall, first.wall))
        cells = (spread(wall, 1), f"{np.median(cpu):.1f}", f"{rate:.1f}", f"{its.peak:.0f}", ratio)
        rows.append((preset, kind, size, str(count), *cells))
    header = ("preset", "weights", "frame", "targets", "ms a frame (quartiles)", "CPU ms", "boxes/s", "MiB", "to first")
    print(table(header, rows))
    return 0


def parse_size(text: str) -> Size:
    """Size of a frame from text: `640x480` -> (480, 640). Raises `InputError` for anything else."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise InputError(f"size: expected WIDTHxHEIGHT such as 640x480, found {text!r}")
    return int(height), int(width)


def make_step(
    weights: str | Path | None, preset: Preset, kind: Kind, size: Size, targets: int = 1, batch: bool | None = None
) -> Callable[[], np.ndarray]:
    """Step to time in a frame of noise: from the state after the first frame to the boxes in another frame.

    Args:
      weights: as for `mfst track`; None for random ones.
      preset: how to track.
      kind: prepared or plain weights.
      size: of the frames.
      targets: how many to follow.
      batch: as for `step_of`.
    """
    keep_compilations()
    config = PRESETS[preset]
    params = preset_params(preset) if weights is None else checkpoints.load(weights)
    config = resolve_config(params.contents, config)
    return step_of(prepare(params, config) if kind == "prepared" else params, config, size, targets, batch)


def step_of(
    weights: Any, config: Config, size: Size, targets: int, batch: bool | None = None
) -> Callable[[], np.ndarray]:
    """Step to time with given weights, as `make_step` makes it.

    Args:
      weights: plain or prepared.
      config: how to track.
      size: of the frames.
      targets: how many to follow.
      batch: whether several targets are a batch, or take their steps one after the other; by default as in
        `multi.Tracks`.
    """
    first, second = (jnp.asarray(pad(frame)) for frame in noise(size, 2))
    boxes, frame_size = random_boxes(size, targets), np.array(size, np.int32)
    if targets == 1:
        state = tracker.init(weights, first, boxes[0], config=config, frame_size=frame_size)
        return lambda: np.asarray(tracker.step(weights, state, second)[1].box)
    start = Start(first, boxes, frame_size, config_for(targets, config, batch=batch))
    tracks = Tracks(weights, start, batch=batch)
    return lambda: tracks.fetch(tracks.step(second))[0]


def noise(size: Size, count: int) -> np.ndarray:
    """Frames of noise, [count, height, width, 3] uint8."""
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def random_boxes(size: Size, count: int) -> np.ndarray:
    """Random boxes [count, 4] float32 within a frame, a sixth of it wide and high."""
    height, width = size
    corners = np.random.default_rng(1).uniform(0.1, 0.7, (count, 2)) * (width, height)
    return np.hstack([corners, np.tile([width / 6, height / 6], (count, 1))]).astype(np.float32)


def preset_params(preset: Preset) -> Params:
    """Random weights for a preset, with SE-blocks unless it has none, and with the AlexNet that it is meant for."""
    return random_params(contents_for(PRESETS[preset], "caffe" if preset == "authors" else "torchvision"))
