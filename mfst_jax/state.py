"""What the tracker keeps and gives: `State`, `Output` and `Result`, all of them pytrees."""

from flax import struct
from jaxtyping import Array, Bool, Float, Int

from mfst_jax.config import Config, from_dict, to_dict
from mfst_jax.model import Exemplar
from mfst_jax.params import Contents
from mfst_jax.pytrees import register_for_export, repr_shapes


@struct.dataclass
class State:
    """All that one track remembers from frame to frame. A pytree: states batch, and tracks interleave freely.

    Attributes:
      exemplar: the target's features in the first frame
      centre: of the target, (x, y) in pixels
      size: of the target in the first frame, (w, h) in pixels
      scale: of the target, relative to the first frame
      fill: the first frame's mean colour
      steps: since the first frame
      near: whether the target was slow, so that the middle of the search region is enough
      background: mean similarity when last the whole search region was searched
      frame_size: the real part of every frame, (height, width)
      contents: of the weights that made it
      frame_shape: of every frame, padding included
    """

    exemplar: Exemplar
    centre: Float[Array, "*batch 2"]
    size: Float[Array, "*batch 2"]
    scale: Float[Array, "*batch"]
    fill: Float[Array, "*batch 3"]
    steps: Int[Array, "*batch"]
    near: Bool[Array, "*batch"]
    background: Float[Array, "*batch"]
    frame_size: Int[Array, "*batch 2"]
    config: Config = struct.field(pytree_node=False)
    contents: Contents = struct.field(pytree_node=False)
    frame_shape: tuple[int, ...] = struct.field(pytree_node=False)

    __repr__ = repr_shapes


@struct.dataclass
class Output:
    """What one step says about its frame.

    Attributes:
      box: (x, y, w, h)
      score: in [0, 1]; falls when the target is lost
      response: the fused map of the chosen scale, before the window
    """

    box: Float[Array, "*batch 4"]
    score: Float[Array, "*batch"]
    response: Float[Array, "*batch 272 272"]

    __repr__ = repr_shapes


@struct.dataclass
class Result:
    """What `track` says about its frames, row by row, in the words of `Output`.

    Where the track began with a box, row 0 is that box, with a score of 1. Where it went on from a state, every row is
    a step's.

    Attributes:
      box: (x, y, w, h)
      score: in [0, 1]
      state: after the last frame: `track(params, frames, state=state)` goes on from it
    """

    box: Float[Array, "*batch frames 4"]
    score: Float[Array, "*batch frames"]
    state: State

    __repr__ = repr_shapes

    @property
    def boxes(self) -> Float[Array, "*batch frames 4"]:
        """All rows of `box`."""
        return self.box

    @property
    def scores(self) -> Float[Array, "*batch frames"]:
        """All rows of `score`."""
        return self.score


register_for_export(
    State,
    to_json=lambda static: [to_dict(static[0]), static[1].to_json(), static[2]],
    from_json=lambda values: (from_dict(values[0]), Contents.from_json(values[1]), tuple(values[2])),
)
register_for_export(Output)
register_for_export(Result)
