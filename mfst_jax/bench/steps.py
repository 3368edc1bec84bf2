"""Tracking steps to time: of a preset in frames of noise, for one target or several."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from mfst_jax import checkpoints, tracker
from mfst_jax.bench.random_inputs import Size, noise, preset_params, random_boxes
from mfst_jax.cache import keep_compilations
from mfst_jax.config import Config
from mfst_jax.fast import prepare
from mfst_jax.multi import Start, Tracks, config_for
from mfst_jax.padding import pad
from mfst_jax.params import resolve_config
from mfst_jax.presets import PRESETS, Preset

Kind = Literal["prepared", "plain"]


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
