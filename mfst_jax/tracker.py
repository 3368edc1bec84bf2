"""The tracker: `init`, `step` and `track`, pure functions over an explicit state (paper section IV-A d)."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from mfst_jax import boxes, localisation, validation
from mfst_jax.compilation import is_traced, jit
from mfst_jax.config import Config
from mfst_jax.crops import EXEMPLAR_SIZE, NEAR_SIZE, SEARCH_SIZE, central_exemplar, crop, mean_colour
from mfst_jax.fast import Compiled
from mfst_jax.fusion import fuse_hierarchy
from mfst_jax.growth import choose_growth
from mfst_jax.model import Exemplar, Features, Responses
from mfst_jax.network import bind
from mfst_jax.params import Contents, Params, resolve_config
from mfst_jax.score import mean_similarity, peak_contrast_score

SURE = 0.5
"""Score above which a slow target is searched near."""


@struct.dataclass
class State:
    """All that one track remembers from frame to frame. A pytree: states batch, and tracks interleave freely."""

    exemplar: Exemplar  # the target's features in the first frame
    centre: Float[Array, "*batch 2"]  # of the target, (x, y) in pixels
    size: Float[Array, "*batch 2"]  # of the target in the first frame, (w, h) in pixels
    scale: Float[Array, "*batch"]  # of the target, relative to the first frame
    fill: Float[Array, "*batch 3"]  # the first frame's mean colour
    steps: Int[Array, "*batch"]  # since the first frame
    near: Bool[Array, "*batch"]  # whether the target was slow, so that the middle of the search region is enough
    background: Float[Array, "*batch"]  # mean similarity when last the whole search region was searched
    frame_size: Int[Array, "*batch 2"]  # the real part of every frame, (height, width)
    config: Config = struct.field(pytree_node=False)
    contents: Contents = struct.field(pytree_node=False)  # of the weights that made it
    frame_shape: tuple[int, ...] = struct.field(pytree_node=False)  # of every frame, padding included


@struct.dataclass
class Output:
    """What one step says about its frame."""

    box: Float[Array, "*batch 4"]  # (x, y, w, h)
    score: Float[Array, "*batch"]  # in [0, 1]; falls when the target is lost
    response: Float[Array, "*batch 272 272"]  # the fused map of the chosen scale, before the window


@struct.dataclass
class Result:
    """A whole track. Row 0 is the given box, with a score of 1."""

    boxes: Float[Array, "*batch frames 4"]
    scores: Float[Array, "*batch frames"]


def init(
    params: Params | Compiled, frame: Any, box: Any, *, config: Config | None = None, frame_size: Any = None
) -> State:
    """Takes the object in `box` as the target.

    Args:
      params: the weights, from `mfst_jax.load`, or compiled by `mfst_jax.compile`.
      frame: [H, W, 3] uint8 RGB.
      box: [4] float32 (x, y, w, h), 0-indexed pixels.
      config: how to track; by default what the weights imply. Static under `jit`. The state keeps it for `step`.
      frame_size: [2] int32 (height, width) of the real part of a frame that is padded below and on the right.

    Returns:
      The state before the next frame.

    Raises:
      InputError: a frame or box of the wrong shape or type; a box that is not finite, has no area or does not overlap
        the frame (where no transformation hides its values); a configuration that asks for what the weights lack.
    """
    config = resolve_config(validation.check_params(params).contents, config)
    frame = validation.check_frame(frame)
    frame_size = validation.check_frame_size(frame_size, frame.shape)
    box = validation.check_box(box, frame_size)
    return _init(params, frame, box, frame_size, config=config)


def step(params: Params | Compiled, state: State, frame: Any, *, config: Config | None = None) -> tuple[State, Output]:
    """Finds the target in the next frame.

    Args:
      params: the weights that `state` was made with.
      state: from `init`, or from the step before.
      frame: [H, W, 3] uint8 RGB, of the first frame's shape.
      config: by default the one that `state` was made with. Another may use fewer layers or models, and fuse otherwise.

    Returns:
      The state before the next frame, and this frame's box, score and fused response map.

    Raises:
      InputError: a frame of another shape or type than the first; other weights than the state was made with, by their
        contents; a configuration that the state cannot serve.
    """
    contents = validation.check_params(params, expected=state.contents).contents
    config = validation.check_step_config(state.config, config, contents)
    frame = validation.check_frame(frame, expected=state.frame_shape)
    return _step(params, state, frame, config=config)


def track(
    params: Params | Compiled, frames: Any, box: Any, *, config: Config | None = None, frame_size: Any = None
) -> Result:
    """Follows the object in `box` through a video: `init` on the first frame, `step` on each other.

    Called plainly it takes frame after frame, so that all videos of one frame shape share a compilation whatever their
    length. Under a transformation (`jit`, `vmap`, ...) it is one `lax.scan`.

    Args:
      params: the weights, from `mfst_jax.load`, or compiled by `mfst_jax.compile`.
      frames: [T, H, W, 3] uint8 RGB.
      box: [4] float32 (x, y, w, h) in the first frame, 0-indexed pixels.
      config: how to track; by default what the weights imply. Static under `jit`.
      frame_size: [2] int32 (height, width) of the real part of padded frames; the result is what it is without padding.

    Returns:
      The boxes [T, 4] and scores [T].

    Raises:
      InputError: as `init` does, or frames that are not [T, H, W, 3] with T of at least 1.
    """
    frames = validation.check_frames(frames)
    traced = is_traced((params, frames, box, frame_size))
    if not traced:  # on the host, where neither slicing nor stacking compiles anything for this length
        frames = np.asarray(frames)
    state = init(params, frames[0], box, config=config, frame_size=frame_size)

    def advance(state: State, frame: Any) -> tuple[State, tuple[Array, Array]]:
        state, output = step(params, state, frame)
        return state, (output.box, output.score)

    first = jnp.asarray(box, jnp.float32), jnp.float32(1)
    if traced:
        _, rest = jax.lax.scan(advance, state, frames[1:])
        return Result(*(jnp.concatenate([start[None], column]) for start, column in zip(first, rest, strict=True)))
    rows = [first]
    for frame in frames[1:]:
        state, row = advance(state, frame)
        rows.append(row)
    return Result(*(jax.device_put(np.stack(column)) for column in zip(*jax.device_get(rows), strict=True)))


@partial(jit, static_argnames=("config",))
def _init(params: Params | Compiled, frame: Array, box: Array, frame_size: Array, *, config: Config) -> State:
    with jax.default_matmul_precision(config.precision):
        centre, size = boxes.to_centre(box)
        fill = mean_colour(frame, frame_size)
        sides = _search_side(size, config) * jnp.asarray(config.exemplar_factors(), jnp.float32)
        regions = jax.vmap(lambda side: crop(frame, centre, side, fill=fill, frame_size=frame_size))(sides)
        exemplar = bind(params, config).exemplar(central_exemplar(regions))
        # A step makes centre and scale depend on all that the exemplar does. Under `shard_map`, `lax.scan` wants the
        # first state to be of that kind already.
        zero = 0 * jax.tree.leaves(exemplar)[0].ravel()[0]
    return State(
        exemplar,
        centre + zero,
        size,
        scale=1 + zero,
        fill=fill,
        steps=zero.astype(jnp.int32),
        near=zero > 0,
        background=zero,
        frame_size=frame_size,
        config=config,
        contents=params.contents,
        frame_shape=frame.shape,
    )


class Sight(NamedTuple):
    """What a look at a frame comes to."""

    best: Int[Array, ""]  # which of the scales
    offset: Float[Array, "2"]  # from the last position, in samples of the search region
    response: Float[Array, "272 272"]
    score: Float[Array, ""]
    background: Float[Array, ""]  # mean similarity over the whole search region, as `State.background`


@partial(jit, static_argnames=("config",))
def _step(params: Params | Compiled, state: State, frame: Array, *, config: Config) -> tuple[State, Output]:
    with jax.default_matmul_precision(config.precision):
        # Where the target is, and how large: in the whole search region or its middle, at all scales or the last one.
        looks = [
            partial(_look, params, config=config, samples=samples, scales=scales)
            for scales in ((True, False) if config.scale_every > 1 else (True,))
            for samples in ((SEARCH_SIZE, NEAR_SIZE) if config.near_search else (SEARCH_SIZE,))
        ]
        which = (state.steps % config.scale_every != 0).astype(jnp.int32)
        if config.near_search:
            which = 2 * which + state.near.astype(jnp.int32)
        seen = jax.lax.switch(which, looks, state, frame) if len(looks) > 1 else looks[0](state, frame)

        # The box moves there and takes on part of the change in scale.
        side = search_sides(state, config)[seen.best]
        centre = state.centre + seen.offset * side / SEARCH_SIZE
        factor = jnp.asarray(config.scale_factors(), jnp.float32)[seen.best]
        growth = 1 - config.scale_damping + config.scale_damping * factor
        scale = jnp.clip(state.scale * growth, config.scale_min, config.scale_max)
        box = boxes.from_centre(centre, state.size * scale)
        slow = jnp.max(jnp.abs(seen.offset)) <= config.near_search
        near = slow & (seen.score > SURE) if config.near_search else state.near
    following = dataclasses.replace(
        state, centre=centre, scale=scale, steps=state.steps + 1, near=near, background=seen.background
    )
    return following, Output(box, seen.score, seen.response)


def _look(
    params: Params | Compiled, state: State, frame: Array, *, config: Config, samples: int, scales: bool
) -> Sight:
    """The best of the scales or the last one, and how far and how surely the target moved.

    `samples` says how much of the search region is looked at.
    """
    middle = 0
    if not scales:
        config, middle = dataclasses.replace(config, scale_count=1), config.scale_count // 2
    # One search region a scale, or one for all scales, around the last position.
    regions = search_regions(state, frame, config, samples)

    # A response map for each layer of each model and each scale.
    responses, search = bind(params, config).match(state.exemplar, regions)

    # All maps upsampled, then fused into one a scale.
    stacked = {model: jnp.stack(list(by_layer.values())) for model, by_layer in responses.items()}
    upsampled = {model: localisation.upsample(maps, config.upsampling) for model, maps in stacked.items()}
    fused = fuse_hierarchy(upsampled, config)

    # The best scale, and the peak of its map once large displacements are penalised; or, where there is one map for all
    # scales, its peak, and the scale by the features there.
    of_map = localisation.choose_scale(fused, config) if len(fused) > 1 else jnp.int32(0)
    response = fused[of_map]
    windowed = localisation.add_window(response, config.window_influence)
    offset = localisation.displacement(windowed, config.upsampling)
    by_features = config.scale_search == "features"
    best = choose_growth(state.exemplar, search, offset, config) if by_features else of_map

    # What the target looks like there, against how it looks around.
    responses, seen = at_scale(of_map, responses, search)
    similarity = mean_similarity(state.exemplar.features, responses, seen, config)
    whole = samples == SEARCH_SIZE
    background = jnp.mean(similarity) if whole else state.background
    score = peak_contrast_score(similarity, offset, background, config)
    if not whole:
        margin = (localisation.UPSAMPLED_SIZE - len(response)) // 2
        response = jnp.pad(response, margin, constant_values=jnp.min(response))
    return Sight(best + middle, offset, response, score, background)


def search_regions(
    state: State, frame: Array, config: Config, samples: int = SEARCH_SIZE
) -> Float[Array, "regions samples samples 3"]:
    """The crops that a step looks at, or their middle."""
    fill = mean_colour(frame, state.frame_size) if config.fill == "frame" else state.fill
    take = partial(crop, frame, state.centre, fill=fill, frame_size=state.frame_size, samples=samples)
    return jax.vmap(take)(search_sides(state, config)[: len(config.search_factors())])


def search_sides(state: State, config: Config) -> Float[Array, "scales"]:
    """The side in pixels of the search region of each scale factor, ascending; all the same where one is for all."""
    sides = _search_side(state.size, config) * state.scale * jnp.asarray(config.search_factors(), jnp.float32)
    return jnp.broadcast_to(sides, (config.scale_count,))


def at_scale(best: Int[Array, ""], responses: Responses, search: Features) -> tuple[Any, Any]:
    """The response maps [17, 17] of one scale, and the search features [height, width, c] that they come from."""

    def chosen(maps: Array) -> Array:
        return maps[best if len(maps) > 1 else 0]  # one may be for all

    return jax.tree.map(chosen, responses), jax.tree.map(chosen, search)


def _search_side(size: Float[Array, "2"], config: Config) -> Float[Array, ""]:
    """Side in pixels of the search region at scale 1: `s_x = s_z 255 / 127`."""
    return boxes.context_side(size, config.context) * (SEARCH_SIZE / EXEMPLAR_SIZE)
