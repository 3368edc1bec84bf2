"""Last stage of the ONNX graph: the second look, which a step takes where its score is low (`mfst_jax.second_look`)."""

from functools import reduce

import numpy as np
import spox.opset.ai.onnx.v17 as op
from spox import Var

from mfst_jax.config import Config
from mfst_jax.crops import SEARCH_SIZE
from mfst_jax.export import onnx_crops
from mfst_jax.export import onnx_localisation as localisation
from mfst_jax.export.onnx_localisation import WIDE
from mfst_jax.export.onnx_network import Exemplar, Network
from mfst_jax.export.values import as_vector, cast, floats, highest, ints, length
from mfst_jax.second_look import LEAST_SCORE, MARGIN

Values = dict[str, Var]
CHANGED = ("box", "score", "centre", "scale")
"""What a second look changes of a step's values, beside `searches_centre`, which becomes false."""


def look_again_if_lost(
    network: Network, config: Config, frame: Var, fill: Var, exemplar: Exemplar, state: Values, first: Values
) -> Values:
    """Values of a step that may change after a first search: a second look follows where their score is low.

    Args:
      network: the backbones.
      config: the configuration.
      frame: uint8 RGB [height, width, 3].
      fill: colour of points outside the frame, float32 [3].
      exemplar: the target.
      state: before the step.
      first: box, score and arrays of the state after the first search.
    """

    def again() -> list[Var]:
        found, is_better = _look_again(network, config, frame, fill, exemplar, state, first)
        searches_centre = op.and_(first["searches_centre"], op.not_(is_better))
        return [*(op.where(is_better, found[name], first[name]) for name in CHANGED), searches_centre]

    names = (*CHANGED, "searches_centre")
    # A score of 0 says that nothing was visible.
    wanted = op.and_(op.greater(first["score"], floats(0)), op.less(first["score"], floats(config.second_look)))
    results = op.if_(wanted, then_branch=again, else_branch=lambda: [first[name] for name in names])
    return dict(zip(names, results, strict=True))


def _look_again(
    network: Network, config: Config, frame: Var, fill: Var, exemplar: Exemplar, state: Values, first: Values
) -> tuple[Values, Var]:
    """Values of the step at the best place of the wide region, and whether that is better than the first one."""
    # One region, at the running scale and without a window: the target may be anywhere in it.
    side = op.mul(onnx_crops.search_side(state["size"], config.context), state["scale"])
    crops = onnx_crops.crop(frame, state["centre"], as_vector(side), fill, WIDE.samples)
    responses, features = network.match(exemplar, network.features(crops.images))
    response = op.gather(localisation.fused_maps(responses, WIDE, config), ints(0))
    responses, features = (localisation.take_region(ints(0), maps) for maps in (responses, features))
    offset = localisation.displacement(response, WIDE, config)
    centre = op.add(state["centre"], op.div(op.mul(offset, side), floats(SEARCH_SIZE)))

    # The target grows at most by a step, as in any other frame.
    scale = state["scale"]
    if config.scale_search == "features":
        factor = localisation.growth_factor(exemplar.features, features, offset, config)
        scale = localisation.grown(scale, factor, config)

    # Whether that is the target.
    similarity = localisation.mean_similarity(exemplar.features, responses, features, config)
    score = localisation.score(similarity, offset, first["background"], config)
    last = cast(op.sub(op.concat([as_vector(length(frame, axis)) for axis in (1, 0)], axis=0), ints(1)), np.float32)
    beyond = op.max([op.neg(centre), op.sub(centre, last)])
    conditions = (
        op.greater_or_equal(score, floats(LEAST_SCORE)),
        op.greater(score, op.add(first["score"], floats(MARGIN))),
        localisation.contrast(similarity),
        onnx_crops.are_visible(highest(crops.ranges)),
        op.less_or_equal(highest(beyond), floats(0)),
    )
    box = localisation.box(centre, op.mul(state["size"], scale))
    return {"box": box, "score": score, "centre": centre, "scale": scale}, reduce(op.and_, conditions)
