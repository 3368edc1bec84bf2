"""The search of one frame: search regions, responses, fused map, and from them the target's place, scale and score."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mfst_jax import boxes, localisation
from mfst_jax.config import Config
from mfst_jax.crops import EXEMPLAR_SIZE, SEARCH_SIZE, VISIBLE_RANGE, crop_with_range, mean_colour
from mfst_jax.fast import AnyParams
from mfst_jax.fusion import fuse_hierarchy
from mfst_jax.model import Features, Responses
from mfst_jax.network import bind
from mfst_jax.scale_from_features import choose_growth
from mfst_jax.score import has_contrast, mean_similarity, peak_contrast_score
from mfst_jax.state import State


class Sight(NamedTuple):
    """Outcome of searching one frame.

    Attributes:
      best: Index of the scale.
      offset: Displacement from the last position, (x, y) in samples of the search region.
      response: Fused response map of that scale, before the window.
      score: Score in [0, 1].
      background: Mean similarity over the whole search region, as `State.background`.
      blank: Whether nothing in the region tells one place from another: the target then stays where and as it was.
    """

    best: Int[Array, ""]
    offset: Float[Array, "2"]
    response: Float[Array, "272 272"]
    score: Float[Array, ""]
    background: Float[Array, ""]
    blank: Bool[Array, ""]


def look(params: AnyParams, state: State, frame: Array, *, config: Config, samples: int, scales: bool) -> Sight:
    """Outcome of searching a frame around the target's last position.

    Args:
      params: the weights.
      state: the track so far.
      frame: [H, W, 3].
      config: the configuration of this step.
      samples: how much of the search region is seen, in samples on a side.
      scales: whether all scales are compared, or the scale is kept.
    """
    middle = 0
    if not scales:
        config, middle = dataclasses.replace(config, scale_count=1), config.scale_count // 2
    # One search region a scale, or one for all scales, around the last position.
    regions, ranges = search_crops(state, frame, config, samples)

    # A response map for each layer of each model and each scale.
    responses, search = bind(params, config).match(state.exemplar, regions)

    # All maps upsampled, then fused into one a scale.
    stacked = {model: jnp.stack(list(by_layer.values())) for model, by_layer in responses.items()}
    upsampled = {model: localisation.upsample(maps, config.upsampling) for model, maps in stacked.items()}
    fused = fuse_hierarchy(upsampled, config)

    # The best scale, and the peak of its map with the Hann window; where there is one map for all scales, its peak, and
    # the scale by the features there.
    of_map = localisation.choose_scale(fused, config) if len(fused) > 1 else jnp.int32(0)
    response = fused[of_map]
    windowed = localisation.add_window(response, config.window_influence)
    offset = localisation.displacement(windowed, config.upsampling, config.peak_temperature)
    by_features = config.scale_search == "features"
    best = choose_growth(state.exemplar, search, offset, config) if by_features else of_map

    # The score: the similarity there against the similarity everywhere else.
    responses, seen = at_scale(of_map, responses, search)
    similarity = mean_similarity(state.exemplar.features, responses, seen, config)
    whole = samples == SEARCH_SIZE
    background = jnp.mean(similarity) if whole else state.background
    score = peak_contrast_score(similarity, offset, background, config)
    if not whole:
        margin = (localisation.UPSAMPLED_SIZE - len(response)) // 2
        response = jnp.pad(response, margin, constant_values=jnp.min(response))

    # In a blank region the peak is where rounding, or the frame's edge, has put it.
    blank = ~((jnp.max(ranges) >= VISIBLE_RANGE) & has_contrast(similarity))
    offset, score = (jnp.where(blank, np.float32(0), value) for value in (offset, score))
    background = jnp.where(blank, state.background, background)
    return Sight(best + middle, offset, response, score, background, blank)


def search_regions(
    state: State, frame: Array, config: Config, samples: int = SEARCH_SIZE
) -> Float[Array, "regions samples samples 3"]:
    """Crops that a step searches, or their middle parts of `samples` x `samples` points."""
    return search_crops(state, frame, config, samples)[0]


def search_crops(
    state: State, frame: Array, config: Config, samples: int = SEARCH_SIZE
) -> tuple[Float[Array, "regions samples samples 3"], Float[Array, "regions"]]:
    """Crops that a step searches, or their middle parts, and the range of colours in each (`crops.crop_with_range`)."""
    fill = mean_colour(frame, state.frame_size) if config.fill == "frame" else state.fill
    sides = search_sides(state, config)[: len(config.search_factors())]
    return crops_around(frame, state.centre, sides, fill, state.frame_size, samples)


def crops_around(
    frame: Array, centre: Array, sides: Float[Array, "sides"], fill: Array, frame_size: Array, samples: int
) -> tuple[Float[Array, "sides samples samples 3"], Float[Array, "sides"]]:
    """Crops around one centre, one for each side, and the range of colours in each (`crops.crop_with_range`)."""
    take = partial(crop_with_range, frame, centre, fill=fill, frame_size=frame_size, samples=samples)
    return jax.vmap(take)(sides)


def search_sides(state: State, config: Config) -> Float[Array, "scales"]:
    """Sides in pixels of the search regions, one for each scale factor, ascending.

    All are equal where one region serves all scales.
    """
    sides = search_side(state.size, config) * state.scale * jnp.asarray(config.search_factors(), jnp.float32)
    return jnp.broadcast_to(sides, (config.scale_count,))


def at_scale(best: Int[Array, ""], responses: Responses, search: Features) -> tuple[Any, Any]:
    """Response maps [17, 17] of one scale, and the search features [height, width, c] that they come from."""

    def chosen(maps: Array) -> Array:
        return maps[best if len(maps) > 1 else 0]  # one may be for all

    return jax.tree.map(chosen, responses), jax.tree.map(chosen, search)


def search_side(size: Float[Array, "2"], config: Config) -> Float[Array, ""]:
    """Side in pixels of the search region at scale 1, for a target of `size` (w, h): `s_x = s_z 255 / 127`.

    The equation is SiamFC's (Bertinetto et al. 2016), with s_z of `boxes.context_side`.
    """
    return boxes.context_side(size, config.context) * (SEARCH_SIZE / EXEMPLAR_SIZE)
