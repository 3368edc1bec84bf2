"""What the tracker keeps and gives: `State`, `Output` and `Result`, all of them pytrees."""

from flax import struct
from jaxtyping import Array, Bool, Float, Int

from mfst_jax.config import Config, from_dict, to_dict
from mfst_jax.model import Exemplar
from mfst_jax.params import Contents
from mfst_jax.pytrees import register_for_export, repr_shapes


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

    __repr__ = repr_shapes


@struct.dataclass
class Output:
    """What one step says about its frame."""

    box: Float[Array, "*batch 4"]  # (x, y, w, h)
    score: Float[Array, "*batch"]  # in [0, 1]; falls when the target is lost
    response: Float[Array, "*batch 272 272"]  # the fused map of the chosen scale, before the window

    __repr__ = repr_shapes


@struct.dataclass
class Result:
    """What `track` says about its frames, row by row, in the words of `Output`.

    Where the track began with a box, row 0 is that box, with a score of 1. Where it went on from a state, every row is
    a step's.
    """

    box: Float[Array, "*batch frames 4"]  # (x, y, w, h)
    score: Float[Array, "*batch frames"]  # in [0, 1]
    state: State  # after the last frame: `track(params, frames, state=state)` goes on from it

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
