"""The tracker's pytrees: `State`, which it keeps from frame to frame, and `Output` and `Result`, which it returns."""

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from mfst_jax.config import Config, Layer, Model, from_dict, to_dict
from mfst_jax.model import Exemplar
from mfst_jax.params import Contents
from mfst_jax.pytrees import register_for_export, repr_shapes


@struct.dataclass
class State:
    """State of one track from frame to frame. A pytree: states batch, and tracks may be interleaved.

    Attributes:
      exemplar: Features of the target in the first frame.
      recent: Features of the target as it has looked lately, by model and layer; none where the scale is told by the
        exemplar alone (`scale_from_features.py`).
      templates: What the correlation filters have learned (`correlation_filter.py`), by layer; none where they are off.
      centre: Centre of the target, (x, y) in pixels.
      size: Size of the target in the first frame, (w, h) in pixels.
      scale: Scale of the target relative to the first frame.
      fill: Mean colour of the first frame, RGB in 0..255.
      searches_centre: Whether the next frame is searched in the centre of the search region alone, since the target was
        slow and its score high in the last one.
      background: Mean similarity over the search region when it was last searched as a whole.
      lost_frames: Frames with a second look in which the target was not found, since it was last seen with a score of
        at least 1/2 (`second_look.py`).
      frame_size: Real part of every frame, (height, width) in pixels.
      config: Configuration that the state was made with.
      contents: Contents of the weights that the state was made with, without the configuration that these recommend.
      frame_shape: Shape of every frame, padding included.
    """

    exemplar: Exemplar
    recent: dict[Model, dict[Layer, Float[Array, "*batch _ _ _"]]]
    templates: dict[str, Float[Array, "*batch _ _ _"]]
    centre: Float[Array, "*batch 2"]
    size: Float[Array, "*batch 2"]
    scale: Float[Array, "*batch"]
    fill: Float[Array, "*batch 3"]
    searches_centre: Bool[Array, "*batch"]
    background: Float[Array, "*batch"]
    lost_frames: Int[Array, "*batch"]
    frame_size: Int[Array, "*batch 2"]
    config: Config = struct.field(pytree_node=False)
    contents: Contents = struct.field(pytree_node=False)
    frame_shape: tuple[int, ...] = struct.field(pytree_node=False)

    __repr__ = repr_shapes


@struct.dataclass
class Output:
    """Result of one step: the target in one frame.

    Attributes:
      box: Box (x, y, w, h), float32, 0-indexed pixels.
      score: Score in [0, 1]; it falls when the target is lost.
      response: Fused response map of the chosen scale, before the window.
    """

    box: Float[Array, "*batch 4"]
    score: Float[Array, "*batch"]
    response: Float[Array, "*batch 272 272"]

    __repr__ = repr_shapes


@struct.dataclass
class Result:
    """Result of `track`: the target in every frame.

    Where the track began with a box, row 0 is that box, with a score of 1. Where it went on from a state, every row is
    a step's.

    Attributes:
      box: Boxes (x, y, w, h), float32, 0-indexed pixels.
      score: Scores in [0, 1]; they fall when the target is lost.
      state: State after the last frame: `track(params, frames, state=state)` goes on from it.
    """

    box: Float[Array, "*batch frames 4"]
    score: Float[Array, "*batch frames"]
    state: State

    __repr__ = repr_shapes

    @property
    def boxes(self) -> Float[Array, "*batch frames 4"]:
        """Boxes of all frames: another name of `box`."""
        return self.box

    @property
    def scores(self) -> Float[Array, "*batch frames"]:
        """Scores of all frames: another name of `score`."""
        return self.score


register_for_export(
    State,
    to_json=lambda static: [to_dict(static[0]), static[1].to_json(), static[2]],
    from_json=lambda values: (from_dict(values[0]), Contents.from_json(values[1]), tuple(values[2])),
)
register_for_export(Output)
register_for_export(Result)


def zero_like(value: Float[Array, ""]) -> Float[Array, ""]:
    """Zero that depends on a value as a step's results do, though no value of it makes a difference.

    Under `shard_map`, `lax.scan` wants what it starts from to vary over the devices as what it carries does later.
    """
    return jnp.where(value > 0, np.float32(0), np.float32(0))
