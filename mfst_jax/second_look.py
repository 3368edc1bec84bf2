"""The second look: a target that is probably lost is looked for once more in the same frame, in the regions around.

A step searches as far as 64 samples around the last place. Whatever moves farther from one frame to the next, or comes
out behind something farther away, is lost for good, while the score tells that it is. So where the score is low, the
eight regions around the search region are searched in the same way, and the target is taken to be where one of them
looks enough like it. Until its score is high again, each further frame with a low one searches one of the eight, in
turns. docs/choices.md has the measurements.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Float

from mfst_jax.config import Config
from mfst_jax.crops import SEARCH_SIZE, search_side
from mfst_jax.localisation import UPSAMPLED_SIZE
from mfst_jax.state import Output, State, zero_like

LEAST_SCORE = 0.5
"""Least score at which the target is taken to be at another place, or to be surely seen: that below which a target
counts as lost (`tracks.LOST_BELOW`)."""
MARGIN = 0.4
"""By how much the score of another place has to be higher than that of the first one."""
DISTANCE = 112
"""Distance of two neighbouring regions' centres, in samples: 14 cells of a response map, which has 17."""
NEIGHBOURS = DISTANCE * np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (1, -1), (-1, 1)], np.float32)
"""Centres (x, y) of the regions around, in samples from that of the search region, in the order of their turns."""


class First(NamedTuple):
    """First search of a frame, as the others see it.

    Attributes:
      score: Score of the place that it found.
      background: Mean similarity over its region (`State.background`).
    """

    score: Float[Array, ""]
    background: Float[Array, ""]


class Again(NamedTuple):
    """Whether a search is a second one, and after which first one.

    Attributes:
      is_second: Whether it is. The window and correlation filters then do not count, as the target may be anywhere.
      background: Mean similarity over the region of the first search, from which the place has to stand out too; -1
        where this is the first.
    """

    is_second: Bool[Array, ""]
    background: Float[Array, ""]


Search = Callable[[State, Again], tuple[State, Output]]
"""Search of a frame around the place that a state has."""
CHANGED = ("recent", "templates", "centre", "scale", "searches_centre", "background")
"""What a search changes of a state. The rest is not carried through the loop: under `shard_map` it may be the same on
all devices, which what is carried is not."""
_Searched = tuple[dict[str, Any], Output, First]
"""What the best search so far changed, what it found, and the first search."""
_Region = tuple[Bool[Array, ""], Float[Array, "2"], Bool[Array, ""]]
"""Whether it is the search region itself, its centre (x, y) in pixels, and whether it is searched in this frame."""


def search_until_found(search: Search, state: State, config: Config) -> tuple[State, Output]:
    """State and output of a step that searches the regions around too, where a first score is below `second_look`.

    All searches are one program, run by a loop. Under `vmap` a region is searched for all tracks of a batch where one
    of them needs it, and for none where none does. A step that saw nothing around the target stays as it is.

    Args:
      search: searches the frame.
      state: before the step.
      config: the configuration of this step.
    """
    side = search_side(state.size, config.context) * state.scale
    centres = state.centre[None] + jnp.asarray(NEIGHBOURS) * side / SEARCH_SIZE
    turns = np.arange(len(NEIGHBOURS), dtype=np.int32)
    are_due = (state.lost_frames == 0) | (state.lost_frames % len(turns) == turns)
    are_due &= jax.vmap(is_in_frame, (0, None))(centres, state)

    def search_next(carry: _Searched, region: _Region) -> tuple[_Searched, None]:
        (_, best, first), (is_first, centre, is_due) = carry, region
        is_wanted = is_first | (is_due & _is_lost(first.score, config))
        start = replace(state, centre=centre, searches_centre=state.searches_centre & is_first)

        def go() -> _Searched:
            following, output = search(start, Again(~is_first, first.background))
            # From another centre it says nothing that the target has hardly moved.
            following = replace(following, searches_centre=following.searches_centre & is_first)
            is_better = (output.score >= LEAST_SCORE) & (output.score > first.score + MARGIN)
            is_better &= (output.score > best.score) & is_in_frame(following.centre, state)
            is_taken = is_wanted & (is_first | is_better)
            found = _changed(following), output, First(output.score, following.background)
            return tuple(map(_choose, (is_taken, is_taken, is_first), found, carry))

        return jax.lax.cond(any_in_batch(is_wanted), go, lambda: carry), None

    zero = zero_like(state.scale)
    nothing = Output(zero + jnp.zeros(4), zero, zero + jnp.zeros((UPSAMPLED_SIZE, UPSAMPLED_SIZE)))
    regions = (
        jnp.arange(len(turns) + 1) == 0,
        jnp.concatenate([state.centre[None], centres]),
        jnp.concatenate([zero[None] > 0, are_due]),
    )
    start = _changed(state), nothing, First(zero, zero - 1)
    (changed, output, first), _ = jax.lax.scan(search_next, start, regions)
    remains_lost = _is_lost(first.score, config) & (output.score == first.score)
    since_sure = jnp.where(remains_lost, state.lost_frames + 1, state.lost_frames)
    since_sure = jnp.where(output.score >= LEAST_SCORE, 0, since_sure)
    return replace(state, **changed, lost_frames=since_sure), output


def _changed(state: State) -> dict[str, Any]:
    return {name: getattr(state, name) for name in CHANGED}


def _choose(is_taken: Bool[Array, ""], new: Any, old: Any) -> Any:
    return jax.tree.map(lambda new, old: jnp.where(is_taken, new, old), new, old)


def _is_lost(score: Float[Array, ""], config: Config) -> Bool[Array, ""]:
    """Whether a target is looked for once more. Where nothing is visible the score is 0, and the target stays there."""
    return (score > 0) & (score < config.second_look)


def is_in_frame(place: Float[Array, "2"], state: State) -> Bool[Array, ""]:
    """Whether a place, (x, y) in pixels, is in the frame."""
    last = state.frame_size[::-1].astype(jnp.float32) - 1
    return jnp.all((place >= 0) & (place <= last))


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
