"""Tracker: `init`, `step` and `track`, pure functions over an explicit state (paper section IV-A d)."""

from contextlib import ExitStack
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mfst_jax import validation
from mfst_jax.arrays import AnyArray, AnyNumbers, each_frame, to_device
from mfst_jax.compilation import is_traced
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.fast import AnyParams
from mfst_jax.params import resolve_config
from mfst_jax.stages import first_state, next_state, next_state_for
from mfst_jax.state import Output, Result, State


def init(
    params: AnyParams,
    frame: AnyArray,
    box: AnyNumbers,
    *,
    config: Config | None = None,
    frame_size: AnyNumbers | None = None,
) -> State:
    """Takes the object in `box` as the target.

    The box may be as small as a thousandth of a pixel, as large as a million pixels, and anywhere as long as it
    overlaps the frame. The frame may have any size from one pixel on.

    Args:
      params: the weights, from `mfst_jax.load`, or prepared by `mfst_jax.prepare`.
      frame: [H, W, 3] RGB, uint8, or float32 in 0..255: an array of NumPy, JAX or any library that speaks DLPack or has
        `__array__`, or a Pillow image.
      box: [4] float32 (x, y, w, h), 0-indexed pixels.
      config: how to track; by default what the weights imply. The state keeps it for `step`.
      frame_size: [2] int32 (height, width) of the real part of a frame that is padded below and on the right.

    Returns:
      The state before the next frame.

    Raises:
      InputError: a frame or box of the wrong shape or type; a frame with values outside 0..255; a box that is not
        finite, has no area or does not overlap the frame (where no transformation hides these values); a configuration
        that asks for what the weights lack.
    """
    state, _ = _begin(params, validation.check_frame(frame), box, config, frame_size)
    return state


def init_before_step(
    params: AnyParams,
    frame: AnyArray,
    box: AnyNumbers,
    *,
    config: Config | None = None,
    frame_size: AnyNumbers | None = None,
) -> State:
    """State as by `init`, with `step` compiled too for frames like this one, side by side, which takes less time."""
    state, _ = _begin(params, validation.check_frame(frame), box, config, frame_size, before_step=True)
    return state


def compile_step(params: AnyParams, state: State, frame: Array) -> None:
    """Compiles what a step on such a frame needs, so that the step does not have to wait.

    Args:
      params: the weights.
      state: from `init`.
      frame: on the device.
    """
    next_state.compile(params, state, frame, config=state.config)


def step(params: AnyParams, state: State, frame: AnyArray, *, config: Config | None = None) -> tuple[State, Output]:
    """Finds the target in the next frame.

    Where there is nothing to be seen, in a frame that is blank around the target, it stays where it was, with a score
    of 0. Whatever is to be seen, the box is finite, its size is that of the first box times a scale in
    `[scale_min, scale_max]`, and its centre is at most a pixel and 0.751 of the largest search region's side beyond the
    frame (docs/conventions.md, "Bounds").

    Args:
      params: the weights that `state` was made with.
      state: from `init`, or from the step before.
      frame: [H, W, 3] RGB as `init` takes it, of the first frame's shape.
      config: by default the one that `state` was made with. Another may use fewer layers or models, and fuse otherwise.

    Returns:
      The state before the next frame, and this frame's box, score and fused response map.

    Raises:
      InputError: a frame of another shape than the first, or one that `init` would refuse (but values on an accelerator
        are not looked at); something that is no State; other weights than the state was made with, by their contents; a
        configuration that the state cannot serve.
    """
    state, config = _check_going_on(params, state, config)
    frame = validation.check_frame(frame, expected=state.frame_shape)
    return next_state_for(state, config)(params, state, to_device(frame), config=config)


def track(
    params: AnyParams,
    frames: AnyArray,
    box: AnyNumbers | None = None,
    *,
    state: State | None = None,
    config: Config | None = None,
    frame_size: AnyNumbers | None = None,
) -> Result:
    """Follows an object through a video: `init` on the first frame, `step` on each other.

    A long video may come in chunks: `track(params, chunk, state=result.state)` goes on where `result` ended.

    Called plainly it takes frame after frame, so that all videos of one frame shape share a compilation whatever their
    length, and frames on a device stay on it. Under a transformation (`jit`, `vmap`, ...) it is one `lax.scan`.

    Every box is finite and within the bounds that `step` states.

    Args:
      params: the weights, from `mfst_jax.load`, or prepared by `mfst_jax.prepare`.
      frames: [T, H, W, 3] RGB as `init` takes it.
      box: [4] float32 (x, y, w, h) of the object in the first frame, 0-indexed pixels.
      state: in the place of a box, where to go on: `step` is then taken on every frame.
      config: how to track; by default what the weights imply, or what `state` was made with.
      frame_size: [2] int32 (height, width) of the real part of padded frames; the result is what it is without padding.
        A state knows it.

    Returns:
      The boxes [T, 4] and scores [T], and the state after the last frame. Where `box` is given, row 0 is that box, with
      a score of 1.

    Raises:
      InputError: as `init` and `step` do; frames that are not [T, H, W, 3] with T of at least 1; not one of box and
        state.
    """
    if state is not None and (box is not None or frame_size is not None):
        raise InputError("track: expected a box or a state, which knows its own frame_size, found both")
    if state is None and box is None:
        raise InputError("track: expected a box, or a state to go on from, found neither")
    going_on = None if state is None else _check_going_on(params, state, config)
    frames = validation.check_frames(frames, None if going_on is None else going_on[0].frame_shape)
    begin = partial(_begin, params, box=box, config=config, frame_size=frame_size)
    in_one_scan = is_traced((params, frames, box, state, frame_size))
    return (_scan_frames if in_one_scan else _take_frame_by_frame)(params, frames, going_on, begin)


def _scan_frames(params: AnyParams, frames: Any, going_on: tuple[State, Config] | None, begin: Any) -> Result:
    """Goes on from a state, or begins with a first frame, in one `lax.scan`."""
    rows: list[tuple[Any, Any]] = []
    if going_on is None:
        state, box = begin(frames[0])
        rows.append((jnp.asarray(box)[None], jnp.ones(1, jnp.float32)))
        frames, going_on = frames[1:], (state, state.config)
    first, config = going_on
    step = next_state_for(first, config)

    def advance(state: State, frame: Array) -> tuple[State, tuple[Array, Array]]:
        state, output = step(params, state, frame, config=config)
        return state, (output.box, output.score)

    state, rest = jax.lax.scan(advance, first, frames)
    box, score = (jnp.concatenate(column) for column in zip(*rows, rest, strict=True))
    return Result(box, score, state)


def _take_frame_by_frame(params: AnyParams, frames: Any, going_on: tuple[State, Config] | None, begin: Any) -> Result:
    """Goes on from a state, or begins with a first frame, in a Python loop."""
    rows: list[tuple[Any, Any]] = []
    coming = each_frame(frames)
    if going_on is None:
        state, box = begin(next(coming), before_step=len(frames) > 1)
        rows.append((box, np.float32(1)))
        going_on = state, state.config
    state, config = going_on
    for frame in coming:
        state, output = next_state(params, state, frame, config=config)
        rows.append((output.box, output.score))
    # Stacked on the host, where that compiles nothing for this length.
    where = state.centre.sharding if state.centre.committed else None
    box, score = (np.stack(column) for column in zip(*jax.device_get(rows), strict=True))
    return Result(jax.device_put(box, where), jax.device_put(score, where), state)


def _begin(
    params: AnyParams, frame: Any, box: Any, config: Config | None, frame_size: Any, *, before_step: bool = False
) -> tuple[State, np.ndarray | Array]:
    """State after a first frame that was checked, and the box as an array.

    With `before_step`, `next_state` is compiled too where nothing is traced, beside `first_state`.
    """
    config = resolve_config(validation.check_params(params).contents, config)
    frame_size = validation.check_frame_size(frame_size, frame.shape)
    box = validation.check_box(box, frame_size)
    on_device = [to_device(given) for given in (frame, box, frame_size)]
    with ExitStack() as stack:
        # Lowered here, since threads do not know of the caller's contexts, such as `jax.default_device`.
        if before_step and not is_traced((params, on_device)) and first_state.is_new(params, *on_device, config=config):
            stack.enter_context(first_state.compiled_beside(params, *on_device, config=config))
            compile_step(params, first_state.zeros(params, *on_device, config=config), on_device[0])
        return first_state(params, *on_device, config=config), box


def _check_going_on(params: Any, state: Any, config: Config | None) -> tuple[State, Config]:
    """State that these weights can go on from, checked, and the configuration of its next step."""
    state = validation.check_state(state)
    contents = validation.check_params(params, expected=state.contents).contents
    return state, validation.check_step_config(state.config, config, contents)
