"""Search regions: the crops of a frame around the target's last position, which a step compares with the exemplar."""

from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mfst_jax.config import Config
from mfst_jax.crops import SEARCH_SIZE, VISIBLE_RANGE, crop_with_range, mean_colour, search_side
from mfst_jax.state import State

Tree = TypeVar("Tree")


class SearchRegions(NamedTuple):
    """Search regions of one frame: one for each scale, ascending, or one for all scales.

    Attributes:
      images: Crops, RGB in 0..255.
      sides: Sides of the whole search regions, in pixels, of which the crops may show the centre alone.
      ranges: Range of colours in each crop (`crops.crop_with_range`).
    """

    images: Float[Array, "regions samples samples 3"]
    sides: Float[Array, " regions"]
    ranges: Float[Array, " regions"]

    @property
    def are_blank(self) -> Bool[Array, ""]:
        """Whether nothing is visible in any of the crops."""
        return ~(jnp.max(self.ranges) >= VISIBLE_RANGE)  # so that a NaN counts as blank


def search_regions(state: State, frame: Array, config: Config, samples: int = SEARCH_SIZE) -> SearchRegions:
    """Search regions of a frame around the target's last position.

    Args:
      state: the track so far.
      frame: [H, W, 3].
      config: the configuration of this step.
      samples: samples on a side that the crops have: 255 for whole regions, fewer for the centre of each.
    """
    fill = mean_colour(frame, state.frame_size) if config.fill == "frame" else state.fill
    sides = search_side(state.size, config.context) * state.scale * jnp.asarray(config.region_factors(), jnp.float32)
    take = partial(crop_with_range, frame, state.centre, fill=fill, frame_size=state.frame_size, samples=samples)
    images, ranges = jax.vmap(take)(sides)
    return SearchRegions(images, sides, ranges)


def take_region(index: Int[Array, ""], arrays: Tree) -> Tree:
    """Arrays of one search region, from arrays whose first axis is that of the regions.

    Args:
      index: number of the region.
      arrays: any tree of arrays [regions, ...].
    """
    return jax.tree.map(lambda array: array[index] if len(array) > 1 else array[0], arrays)
