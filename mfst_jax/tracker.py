"""Tracker: `init`, `step` and `track`, pure functions over an explicit state (paper section IV-A d)."""

import dataclasses
from contextlib import ExitStack
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mfst_jax import boxes, validation
from mfst_jax.arrays import AnyArray, AnyNumbers, each_frame, to_device
from mfst_jax.compilation import is_mapped, is_traced, jit
from mfst_jax.config import Config
from mfst_jax.crops import (
    CENTRE_SIZE,
    EXEMPLAR_SIZE,
    SEARCH_SIZE,
    VISIBLE_RANGE,
    crop_with_range,
    mean_colour,
    search_side,
)
from mfst_jax.errors import InputError
from mfst_jax.fast import AnyParams
from mfst_jax.fusion import fuse_hierarchy
from mfst_jax.localisation import choose_region, pad_response, peak_displacement, upsample_layers
from mfst_jax.model import Exemplar
from mfst_jax.network import bind
from mfst_jax.params import resolve_config
from mfst_jax.scale_from_features import damped, growth_factor
from mfst_jax.score import has_contrast, mean_similarity, peak_contrast_score
from mfst_jax.search import search_regions, take_region
from mfst_jax.second_look import look_again_if_lost
from mfst_jax.state import Output, Result, State

CENTRE_SEARCH_MIN_SCORE = 0.5
"""Score above which a slow target is next searched for in the centre of its search region alone."""


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
    _step.compile(params, state, frame, config=state.config)


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
    return _step_for(state, config)(params, state, to_device(frame), config=config)


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
    step = _step_for(first, config)

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
        state, output = _step(params, state, frame, config=config)
        rows.append((output.box, output.score))
    # Stacked on the host, where that compiles nothing for this length.
    where = state.centre.sharding if state.centre.committed else None
    box, score = (np.stack(column) for column in zip(*jax.device_get(rows), strict=True))
    return Result(jax.device_put(box, where), jax.device_put(score, where), state)


def _begin(
    params: AnyParams, frame: Any, box: Any, config: Config | None, frame_size: Any, *, before_step: bool = False
) -> tuple[State, np.ndarray | Array]:
    """State after a first frame that was checked, and the box as an array.

    With `before_step`, `_step` is compiled too where nothing is traced, beside `_init`.
    """
    config = resolve_config(validation.check_params(params).contents, config)
    frame_size = validation.check_frame_size(frame_size, frame.shape)
    box = validation.check_box(box, frame_size)
    on_device = [to_device(given) for given in (frame, box, frame_size)]
    with ExitStack() as stack:
        # Lowered here, since threads do not know of the caller's contexts, such as `jax.default_device`.
        if before_step and not is_traced((params, on_device)) and _init.is_new(params, *on_device, config=config):
            stack.enter_context(_init.compiled_beside(params, *on_device, config=config))
            compile_step(params, _init.zeros(params, *on_device, config=config), on_device[0])
        return _init(params, *on_device, config=config), box


def _check_going_on(params: Any, state: Any, config: Config | None) -> tuple[State, Config]:
    """State that these weights can go on from, checked, and the configuration of its next step."""
    state = validation.check_state(state)
    contents = validation.check_params(params, expected=state.contents).contents
    return state, validation.check_step_config(state.config, config, contents)


@jit
def _init(params: AnyParams, frame: Array, box: Array, frame_size: Array, *, config: Config) -> State:
    """State after the first frame."""
    with jax.default_matmul_precision(config.precision):
        # Sec. IV-A d): crop the exemplar around the target; what lies outside the frame has the frame's mean colour.
        centre, size = boxes.to_centre(box)
        fill, side = mean_colour(frame, frame_size), search_side(size, config.context)
        image, colours = crop_with_range(frame, centre, side, fill=fill, frame_size=frame_size, samples=EXEMPLAR_SIZE)

        # Features of the exemplar; zero where nothing is visible in it, so that nothing ever resembles it.
        exemplar = bind(params, config).exemplar(image)
        visible = colours >= VISIBLE_RANGE
        features = jax.tree.map(lambda z: jnp.where(visible, z, jnp.zeros_like(z)), exemplar.features)
        exemplar = dataclasses.replace(exemplar, features=features)

        # First state: at the given place, at scale 1, and to be searched for in a whole search region.
        zero = _zero_like(exemplar)
        return State(
            exemplar,
            centre + zero,
            size,
            scale=1 + zero,
            fill=fill,
            searches_centre=zero > 0,
            background=zero,
            frame_size=frame_size,
            config=config,
            contents=params.contents,
            frame_shape=frame.shape,
        )


def _zero_like(exemplar: Exemplar) -> Array:
    """Zero that depends on the exemplar as a step's results do, though no value of it makes a difference.

    Under `shard_map`, `lax.scan` wants the first state to vary over the devices as all later ones do.
    """
    first = jax.tree.leaves(exemplar)[0].ravel()[0]
    return jnp.where(first > 0, np.float32(0), np.float32(0))


@jit
def _step(params: AnyParams, state: State, frame: Array, *, config: Config) -> tuple[State, Output]:
    """State and output of a step, which searches the whole search region or, where that is enough, its centre alone."""
    with jax.default_matmul_precision(config.precision):
        search = partial(_search_region, params, frame=frame, config=config)
        if config.centre_search:
            of_centre, of_whole = (partial(search, samples=samples) for samples in (CENTRE_SIZE, SEARCH_SIZE))
            found = jax.lax.cond(state.searches_centre, of_centre, of_whole, state)
        else:
            found = search(state, samples=SEARCH_SIZE)
        return look_again_if_lost(params, state, frame, config, found)


@jit
def _mapped_step(params: AnyParams, state: State, frame: Array, *, config: Config) -> tuple[State, Output]:
    """State and output of a step as by `_step`, for tracks that `vmap` takes together.

    Of centre and whole search, each track takes what its state asks for. `vmap` makes that of `_step` too, but with a
    copy of all weights for every track, and so with convolutions of which each track is a group.
    """
    with jax.default_matmul_precision(config.precision):
        search = partial(_search_region, params, state, frame=frame, config=config)
        of_centre, of_whole = (search(samples=samples) for samples in (CENTRE_SIZE, SEARCH_SIZE))
        found = jax.tree.map(partial(jnp.where, state.searches_centre), of_centre, of_whole)
        return look_again_if_lost(params, state, frame, config, found)


def _step_for(state: State, config: Config) -> Any:
    """The step for a state: `_mapped_step` where `vmap` is seen to map over the choice of the search, else `_step`."""
    return _mapped_step if config.centre_search and is_mapped(state.searches_centre) else _step


def _search_region(
    params: AnyParams, state: State, *, frame: Array, config: Config, samples: int
) -> tuple[State, Output]:
    """State and output of a step that searches the middle `samples` x `samples` points of the search region.

    This is the paper's section IV-A d), line by line.
    """
    # Sec. IV-A d): crop the search regions around the last position, one for each scale or one for all scales.
    regions = search_regions(state, frame, config, samples)

    # Features of the regions, and their correlation with the exemplar's: a response map for each layer of each model.
    responses, features = bind(params, config).match(state.exemplar, regions.images)

    # Fuse the upsampled response maps, of layers and then of models, into one map for each region.
    fused = fuse_hierarchy(upsample_layers(responses, config), config)

    # Pick the region whose map has the highest peak, and with it the scale where each scale has its region.
    best = choose_region(fused, config)
    response, side, responses, features = take_region(best, (fused, regions.sides, responses, features))

    # Displacement: from the last position to the peak of the map under a Hann window.
    offset = peak_displacement(response, config)

    # Scale update: the factor by which the target grew, that of the region or told from the features, damped.
    by_features = config.scale_search == "features"
    factors = jnp.asarray(config.scale_factors(), jnp.float32)
    factor = growth_factor(state.exemplar, features, offset, config) if by_features else factors[best]
    scale = jnp.clip(state.scale * damped(factor, config.scale_damping), config.scale_min, config.scale_max)

    # Score: by how much the new place resembles the exemplar more than the search region does on average.
    similarity = mean_similarity(state.exemplar.features, responses, features, config)
    background = jnp.mean(similarity) if samples == SEARCH_SIZE else state.background
    score = peak_contrast_score(similarity, offset, background, config)

    # In a blank region the peak is where rounding or the frame's edge has put it: the target stays as it was.
    blank = regions.are_blank | ~has_contrast(similarity)
    offset, score = (jnp.where(blank, np.float32(0), value) for value in (offset, score))
    scale, background = jnp.where(blank, state.scale, scale), jnp.where(blank, state.background, background)

    # New state: the target moves. If it is slow, and surely there, the centre of the next region is enough.
    centre = state.centre + offset * side / SEARCH_SIZE
    slow = jnp.max(jnp.abs(offset)) <= config.centre_search
    searches_centre = slow & (score > CENTRE_SEARCH_MIN_SCORE)
    following = dataclasses.replace(
        state, centre=centre, scale=scale, searches_centre=searches_centre, background=background
    )
    return following, Output(boxes.from_centre(centre, state.size * scale), score, pad_response(response))
