"""Last stage of the ONNX graph: the second look, which a step takes where its score is low (`mfst_jax.second_look`).

One loop searches the regions around that are due, and none where the target is not lost. Its body is in the graph once.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
import spox.opset.ai.onnx.v17 as op
from spox import Var

from mfst_jax.config import Config
from mfst_jax.crops import SEARCH_SIZE
from mfst_jax.export import onnx_crops
from mfst_jax.export.values import as_vector, cast, floats, ints, length, lowest
from mfst_jax.second_look import LEAST_SCORE, MARGIN, NEIGHBOURS

Values = dict[str, Var]
Search = Callable[[Var, Var], Values]
"""Search of the region around a centre, for which neither the window nor correlation filters count. The second argument
is the mean similarity over the region of the first search, from which the place has to stand out too."""


def look_again_if_lost(search: Search, config: Config, frame: Var, state: Values, first: Values) -> Values:
    """Values of a step after a first search, or after a second look that follows where their score is low.

    Args:
      search: searches the frame, and gives all values that the first search gave.
      config: the configuration.
      frame: uint8 RGB [height, width, 3].
      state: before the step.
      first: box, score, response and arrays of the state after the first search.
    """
    side = op.mul(onnx_crops.search_side(state["size"], config.context), state["scale"])
    centres = op.add(state["centre"], op.mul(floats(NEIGHBOURS / SEARCH_SIZE), side))
    # A score of 0 says that nothing was visible.
    is_lost = op.and_(op.greater(first["score"], floats(0)), op.less(first["score"], floats(config.second_look)))
    turns = _due_turns(centres, frame, state["lost_frames"])

    def body(number: Var, condition: Var, *best: Var) -> Sequence[Var]:
        before = dict(zip(first, best, strict=True))
        turn = op.gather(turns, op.reshape(number, ints(np.zeros(0))))
        found = search(op.gather(centres, turn), first["background"])
        # From another centre it says nothing that the target has hardly moved.
        found["searches_centre"] = op.const(False)
        conditions = (
            op.greater_or_equal(found["score"], floats(LEAST_SCORE)),
            op.greater(found["score"], op.add(first["score"], floats(MARGIN))),
            op.greater(found["score"], before["score"]),
            op.squeeze(_are_in_frame(op.unsqueeze(found["centre"], ints([0])), frame)),
        )
        # What is not needed to tell whether it is better is computed where it is.
        taken = op.if_(
            reduce(op.and_, conditions),
            then_branch=lambda: [found[name] for name in first],
            else_branch=lambda: [before[name] for name in first],
        )
        return [condition, *taken]

    count, condition = op.shape(turns), as_vector(is_lost)
    found = dict(zip(first, op.loop(count, condition, list(first.values()), body=body), strict=True))
    remains_lost = op.and_(is_lost, op.equal(found["score"], first["score"]))
    one_more = op.add(state["lost_frames"], op.const(np.int32(1)))
    since_sure = op.where(remains_lost, one_more, state["lost_frames"])
    is_sure = op.greater_or_equal(found["score"], floats(LEAST_SCORE))
    return {**found, "lost_frames": op.where(is_sure, op.const(np.int32(0)), since_sure)}


def _due_turns(centres: Var, frame: Var, lost_frames: Var) -> Var:
    """Numbers of the regions around that are searched in this frame, int64 [regions].

    These are all in the first lost frame since the target was surely seen, and then one in each lost frame, as far as
    their centres are in the frame.
    """
    turns = np.arange(len(NEIGHBOURS))
    lost = cast(lost_frames, np.int64)
    is_turn = op.equal(op.mod(lost, ints(len(turns))), ints(turns))
    are_due = op.and_(op.or_(op.equal(lost, ints(0)), is_turn), _are_in_frame(centres, frame))
    return op.compress(ints(turns), are_due)


def _are_in_frame(places: Var, frame: Var) -> Var:
    """Whether places [places, 2], (x, y) in pixels, are in the frame."""
    width_and_height = op.concat([as_vector(length(frame, axis)) for axis in (1, 0)], axis=0)
    last = cast(op.sub(width_and_height, ints(1)), np.float32)
    return op.greater_or_equal(lowest(op.min([places, op.sub(last, places)]), [1]), floats(0))
