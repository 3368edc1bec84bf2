"""The second look: a target that is probably lost is looked for once more in the same frame, farther around.

A step searches as far as 64 samples around the last place. Whatever moves farther from one frame to the next, or comes
out behind something farther away, is lost for good, while the score tells that it is. So where the score is low, all
layers are correlated once more over a region of 479 samples, as finely as before, and the target is taken to be at the
peak there if that looks enough like it. docs/choices.md has the measurements.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Float

from mfst_jax import boxes
from mfst_jax.config import Config
from mfst_jax.crops import SEARCH_SIZE, WIDE_SIZE
from mfst_jax.fast import AnyParams
from mfst_jax.fusion import fuse_hierarchy
from mfst_jax.localisation import displacement, upsample_layers
from mfst_jax.network import bind
from mfst_jax.scale_from_features import damped, growth_factor
from mfst_jax.score import has_contrast, mean_similarity, peak_contrast_score
from mfst_jax.search import search_regions, take_region
from mfst_jax.state import Output, State

LEAST_SCORE = 0.5
"""Least score at which the target is taken to be at another place: that below which a target counts as lost."""
MARGIN = 0.4
"""By how much the score of another place has to be higher than that of the first one."""


class TargetPlace(NamedTuple):
    """Place of the target in a frame: what a second look may change.

    Attributes:
      centre: Centre, (x, y) in pixels.
      scale: Scale relative to the first frame.
      score: Score in [0, 1].
      searches_centre: Whether the next frame is searched in the centre of the search region alone.
    """

    centre: Float[Array, "2"]
    scale: Float[Array, ""]
    score: Float[Array, ""]
    searches_centre: Bool[Array, ""]


def look_again_if_lost(
    params: AnyParams, state: State, frame: Array, config: Config, first: tuple[State, Output]
) -> tuple[State, Output]:
    """State and output of a step, after a second look where the score so far is below `Config.second_look`.

    A step that saw nothing around the target stays as it is. The response map is that of the first look. Under `vmap`
    all tracks of a batch are looked for again where one needs it, and none where none does.

    Args:
      params: the weights.
      state: before the step.
      frame: [H, W, 3].
      config: the configuration of this step.
      first: state and output of the step so far.
    """
    if not config.second_look:
        return first
    following, output = first
    # Where nothing is visible the score is 0, and the target stays where it was (docs/conventions.md, "Bounds").
    is_lost = (output.score > 0) & (output.score < config.second_look)
    place = TargetPlace(following.centre, following.scale, output.score, following.searches_centre)

    def again(first: TargetPlace) -> TargetPlace:
        second, is_better = _look_again(params, state, frame, config, first, following.background)
        return jax.tree.map(lambda new, old: jnp.where(is_lost & is_better, new, old), second, first)

    place = jax.lax.cond(any_in_batch(is_lost), again, lambda first: first, place)
    following = dataclasses.replace(
        following, centre=place.centre, scale=place.scale, searches_centre=place.searches_centre
    )
    box = boxes.from_centre(place.centre, state.size * place.scale)
    return following, dataclasses.replace(output, box=box, score=place.score)


@custom_vmap
def any_in_batch(value: Bool[Array, ""]) -> Bool[Array, ""]:
    """Whether a value is true in any track of a batch, which `vmap` does not map over; the value itself elsewhere.

    A condition that differs among the tracks of a batch would have `vmap` compute both of its branches.
    """
    return value


@any_in_batch.def_vmap
def _any_in_batch(size: int, is_mapped: list[bool], value: Bool[Array, " tracks"]) -> tuple[Bool[Array, ""], bool]:
    del size, is_mapped
    return any_in_batch(jnp.any(value, axis=0)), False


def _look_again(
    params: AnyParams, state: State, frame: Array, config: Config, first: TargetPlace, background: Float[Array, ""]
) -> tuple[TargetPlace, Bool[Array, ""]]:
    """Place of the target by a second look, and whether it is better than the first one.

    A place is better whose score is at least `LEAST_SCORE` and `MARGIN` higher than the first one's, and that
    is in the frame. Both scores are taken against `background`, the mean similarity of the same search region.
    """
    # One region, at the running scale and without a window: the target may be anywhere in it.
    regions = search_regions(state, frame, dataclasses.replace(config, scale_count=1), WIDE_SIZE)
    responses, features = bind(params, config).match(state.exemplar, regions.images, seldom=True)
    fused = fuse_hierarchy(upsample_layers(responses, config), config)
    response, side, responses, features = take_region(jnp.int32(0), (fused, regions.sides, responses, features))
    offset = displacement(response, config.upsampling, config.peak_temperature)
    centre = state.centre + offset * side / SEARCH_SIZE

    # The target grows at most by a step, as in any other frame.
    scale = state.scale
    if config.scale_search == "features":
        factor = damped(growth_factor(state.exemplar, features, offset, config), config.scale_damping)
        scale = jnp.clip(scale * factor, config.scale_min, config.scale_max)

    # Whether that is the target.
    similarity = mean_similarity(state.exemplar.features, responses, features, config)
    score = peak_contrast_score(similarity, offset, background, config)
    last = state.frame_size[::-1].astype(jnp.float32) - 1
    is_better = (score >= LEAST_SCORE) & (score > first.score + MARGIN)
    is_better &= has_contrast(similarity) & ~regions.are_blank & jnp.all((centre >= 0) & (centre <= last))

    return TargetPlace(centre, scale, score, jnp.zeros_like(is_better)), is_better
