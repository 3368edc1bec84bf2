"""Stages of the tracker: the state after a first frame, and that after each other one (paper section IV-A d).

`mfst_jax.tracker` checks what it is given and runs them.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfst_jax import boxes
from mfst_jax.compilation import is_mapped, jit
from mfst_jax.config import Config
from mfst_jax.correlation_filter import Templates, filter_maps, first_templates, learn, mix_in
from mfst_jax.crops import (
    CENTRE_SIZE,
    EXEMPLAR_SIZE,
    SEARCH_SIZE,
    VISIBLE_RANGE,
    crop_with_range,
    mean_colour,
    search_side,
)
from mfst_jax.fast import AnyParams
from mfst_jax.fusion import fuse_hierarchy
from mfst_jax.localisation import add_window, choose_region, displacement, pad_response, upsample_layers
from mfst_jax.network import bind
from mfst_jax.scale_from_features import damped, growth_factor, learn_recent
from mfst_jax.score import has_contrast, mean_similarity, peak_contrast_score
from mfst_jax.search import search_regions, take_region
from mfst_jax.second_look import Again, search_until_found
from mfst_jax.state import Output, State, zero_like

CENTRE_SEARCH_MIN_SCORE = 0.5
"""Score above which a slow target is next searched for in the centre of its search region alone."""


@jit
def first_state(params: AnyParams, frame: Array, box: Array, frame_size: Array, *, config: Config) -> State:
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
        exemplar = replace(exemplar, features=features)

        # First state: at the given place, at scale 1, and to be searched for in a whole search region.
        zero = zero_like(jax.tree.leaves(exemplar)[0].ravel()[0])
        state = State(
            exemplar,
            exemplar.features if config.recent_share else {},
            {},
            centre + zero,
            size,
            scale=1 + zero,
            fill=fill,
            searches_centre=zero > 0,
            background=zero,
            lost_frames=zero.astype(jnp.int32),
            frame_size=frame_size,
            config=config,
            contents=replace(params.contents, config=None),
            frame_shape=frame.shape,
        )
        return replace(state, templates=_learn_first(params, state, frame, config)) if config.filter_share else state


def _learn_first(params: AnyParams, state: State, frame: Array, config: Config) -> Templates:
    """Templates of the correlation filters, from the search region of the first frame; zero where it is blank."""
    regions = search_regions(state, frame, replace(config, scale_count=1))
    _, features = bind(params, config).match(state.exemplar, regions.images, seldom=True)
    templates = first_templates(filter_maps({layer: maps[0] for layer, maps in features["alexnet"].items()}))
    return jax.tree.map(lambda each: jnp.where(regions.are_blank, np.float32(0), each), templates)


@jit
def next_state(params: AnyParams, state: State, frame: Array, *, config: Config) -> tuple[State, Output]:
    """State and output of a step, which searches the whole search region or, where that is enough, its centre alone."""
    return _next_state(params, state, frame, config, jax.lax.cond)


@jit
def next_state_of_batch(params: AnyParams, state: State, frame: Array, *, config: Config) -> tuple[State, Output]:
    """State and output of a step as by `next_state`, for tracks that `vmap` takes together.

    Of centre and whole search, each track takes what its state asks for. `vmap` makes that of `next_state` too, but
    with a copy of all weights for every track, and so with convolutions of which each track is a group.
    """

    def choose(takes_first: Array, *ways: Callable[[], tuple[State, Output]]) -> tuple[State, Output]:
        return jax.tree.map(partial(jnp.where, takes_first), *(way() for way in ways))

    return _next_state(params, state, frame, config, choose)


def _next_state(
    params: AnyParams, state: State, frame: Array, config: Config, choose: Callable[..., tuple[State, Output]]
) -> tuple[State, Output]:
    """State and output of a step, where `choose` takes centre or whole search by what the state asks for."""
    with jax.default_matmul_precision(config.precision):

        def search(state: State, again: Again | None = None) -> tuple[State, Output]:
            of_samples = partial(search_frame, params, state, frame=frame, config=config, again=again)
            if not config.centre_search:
                return of_samples(samples=SEARCH_SIZE)
            ways = (partial(of_samples, samples=samples) for samples in (CENTRE_SIZE, SEARCH_SIZE))
            return choose(state.searches_centre, *ways)

        return search_until_found(search, state, config) if config.second_look else search(state)


def next_state_for(state: State, config: Config) -> Any:
    """The step for a state: that of a batch where `vmap` is seen to map over the choice of the search."""
    return next_state_of_batch if config.centre_search and is_mapped(state.searches_centre) else next_state


def search_frame(
    params: AnyParams,
    state: State,
    *,
    frame: Array,
    config: Config,
    samples: int = SEARCH_SIZE,
    again: Again | None = None,
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

    # Displacement: from the last position to the peak of the map under a Hann window. Filters have a share in that map.
    windowed = add_window(response, _in_first(again, config.window_influence))
    filters = bool(config.filter_share) and samples == SEARCH_SIZE
    maps = filter_maps(features["alexnet"]) if filters else {}
    if filters:
        target = state.size * (SEARCH_SIZE / search_side(state.size, config.context))
        windowed = mix_in(windowed, state.templates, maps, target, _in_first(again, config.filter_share))
    offset = displacement(windowed, config.upsampling, config.peak_temperature)

    # Scale update: the factor by which the target grew, that of the region or told from the features, damped.
    if config.scale_search == "features":
        recent = state.recent if config.recent_share else None
        recent_share = _in_first(again, config.recent_share)
        factor = growth_factor(state.exemplar, features, offset, config, recent, recent_share)
    else:
        factor = jnp.asarray(config.scale_factors(), jnp.float32)[best]
    scale = jnp.clip(state.scale * damped(factor, config.scale_damping), config.scale_min, config.scale_max)

    # Score: by how much the new place resembles the exemplar more than the search region does on average.
    similarity = mean_similarity(state.exemplar.features, responses, features, config)
    background = jnp.mean(similarity) if samples == SEARCH_SIZE else state.background
    standard = background if again is None else jnp.maximum(background, again.background)
    score = peak_contrast_score(similarity, offset, standard, config)

    # In a blank region the peak is where rounding or the frame's edge has put it: the target stays as it was.
    blank = regions.are_blank | ~has_contrast(similarity)
    offset, score = (jnp.where(blank, np.float32(0), value) for value in (offset, score))
    scale, background = jnp.where(blank, state.scale, scale), jnp.where(blank, state.background, background)

    # New state: the target moves. If it is slow, and surely there, the centre of the next region is enough.
    centre = state.centre + offset * side / SEARCH_SIZE
    slow = jnp.max(jnp.abs(offset)) <= config.centre_search
    searches_centre = slow & (score > CENTRE_SEARCH_MIN_SCORE)
    following = replace(state, centre=centre, scale=scale, searches_centre=searches_centre, background=background)
    # What the target looks like by now.
    recent, templates = state.recent, state.templates
    if config.recent_share:
        recent = learn_recent(recent, features, offset, scale / state.scale, config)
    if filters:
        templates = learn(templates, maps, offset)
    keep = partial(jax.tree.map, partial(jnp.where, blank))
    following = replace(following, recent=keep(state.recent, recent), templates=keep(state.templates, templates))
    return following, Output(boxes.from_centre(centre, state.size * scale), score, pad_response(response))


def _in_first(again: Again | None, value: float) -> float | Float[Array, ""]:
    """Value in the first search of a frame, 0 in others."""
    return value if again is None else jnp.where(again.is_second, np.float32(0), np.float32(value))
