"""The tracker as an ONNX model: one graph for frames of any size, which begins a track or goes on with one.

It is a second writing of `mfst_jax.stages` in ONNX's operators, stage by stage; tests compare each stage with the
first. Both a track's first frame and every other go through the same crops and the same backbones, and a second look
takes the same constants, so that the weights are in the model once.
"""

import json
from typing import Any

import numpy as np
import onnx
import spox.opset.ai.onnx.v17 as op
from spox import Tensor, Var, argument, build

from mfst_jax.config import Config, Layer, Model
from mfst_jax.crops import EXEMPLAR_SIZE, SEARCH_SIZE
from mfst_jax.export import onnx_crops
from mfst_jax.export import onnx_localisation as localisation
from mfst_jax.export.onnx_localisation import Extent
from mfst_jax.export.onnx_network import Exemplar, Maps, Network
from mfst_jax.export.onnx_second_look import look_again_if_lost
from mfst_jax.export.signature import Array, state_arrays
from mfst_jax.export.values import choose, floats, highest, ints, mean_over
from mfst_jax.localisation import UPSAMPLED_SIZE
from mfst_jax.params import Params
from mfst_jax.stages import CENTRE_SEARCH_MIN_SCORE

STATE, NEXT = "state.", "next."
"""What the names of a state's arrays begin with among the inputs, and among the outputs."""
Values = dict[str, Var]


def make(params: Params, config: Config, metadata: dict[str, Any]) -> onnx.ModelProto:
    """ONNX model of the tracker.

    Inputs are `frame` [height, width, 3] uint8, `first` [] bool, `first_box` [4] and the arrays of a state, each with
    `state.` before its name. Where `first` is true, the object in `first_box` becomes the target, and the state does
    not count; else the target is looked for in the frame, and `first_box` does not count. Outputs are `box` [4],
    `score` [], `response` [272, 272] and the arrays of the state before the next frame, each with `next.` before its
    name.

    Args:
      params: the weights.
      config: a resolved configuration.
      metadata: JSON values to put into the model's metadata.
    """
    arrays = state_arrays(params, config)
    frame = argument(Tensor(np.uint8, ("height", "width", 3)))
    first, box = argument(Tensor(np.bool_, ())), argument(Tensor(np.float32, (4,)))
    state = {name: argument(Tensor(np.dtype(each.dtype), each.shape)) for name, each in arrays.items()}
    outputs = _track(params, config, frame, box, first, state, arrays)
    inputs = {"frame": frame, "first": first, "first_box": box, **{STATE + name: each for name, each in state.items()}}
    model = build(inputs, outputs)
    model.graph.name = "mfst"
    model.producer_name, model.producer_version = "mfst_jax", str(metadata["mfst_jax"])
    model.metadata_props.add(key="mfst_jax", value=json.dumps(metadata))
    onnx.checker.check_model(model)
    return model


def _track(
    params: Params, config: Config, frame: Var, box: Var, first: Var, state: Values, arrays: dict[str, Array]
) -> Values:
    """Outputs by name."""
    # The target's place and size: as given in the first frame, as the state has them in any other.
    corner, given = op.slice(box, ints([0]), ints([2])), op.slice(box, ints([2]), ints([4]))
    given_centre = op.add(corner, op.div(op.sub(given, floats(1)), floats(2)))
    centre, size = op.where(first, given_centre, state["centre"]), op.where(first, given, state["size"])
    scale = op.where(first, floats(1), state["scale"])

    # Crops: the exemplar at scale 1, or a search region for each scale or for all scales, or its centre.
    asks = op.or_(first, op.const(config.fill == "frame"))
    (fill,) = op.if_(asks, then_branch=lambda: [onnx_crops.mean_colour(frame)], else_branch=lambda: [state["fill"]])
    factors = choose(first, np.ones(1, np.float32), np.array(config.region_factors(), np.float32))
    sides = op.mul(op.mul(onnx_crops.search_side(size, config.context), scale), factors)
    extent = Extent(is_centre=state["searches_centre"] if config.centre_search else None)
    crops = onnx_crops.crop(frame, centre, sides, fill, op.where(first, ints(EXEMPLAR_SIZE), extent.samples))

    # Features, to be multiplied by the channel weights that the state brings or that they set themselves.
    network = Network(params, config)
    features = network.features(crops.images)

    def begin() -> list[Var]:
        found = _begin(network, features, crops)
        found |= {"centre": centre, "size": size, "scale": scale, "fill": fill}
        blank = floats(np.zeros((UPSAMPLED_SIZE, UPSAMPLED_SIZE)))
        return [box, floats(1), blank, *(_typed(found[name], each) for name, each in arrays.items())]

    def go_on() -> list[Var]:
        exemplar = _exemplar(state, config)
        found = _search(network, config, exemplar, features, crops, sides, extent, state)
        if config.second_look:
            found |= look_again_if_lost(network, config, frame, fill, exemplar, state, found)
        following = {**state, **{name: found[name] for name in found if name in state}}
        return [
            op.reshape(found["box"], ints([4])),
            op.reshape(found["score"], ints(np.zeros(0))),
            found["response"],
            *(_typed(following[name], each) for name, each in arrays.items()),
        ]

    results = op.if_(first, then_branch=begin, else_branch=go_on)
    return dict(zip(["box", "score", "response", *(NEXT + name for name in arrays)], results, strict=True))


def _begin(network: Network, features: Maps, crops: onnx_crops.Crops) -> Values:
    """Arrays of the state after the first frame that depend on what is seen in it."""
    features, weights = network.recalibrated(features, {})
    visible = onnx_crops.are_visible(crops.ranges)
    found: Values = {"searches_centre": op.const(False), "background": floats(0)}
    for model, by_layer in features.items():
        for layer, maps in by_layer.items():
            of_target = op.transpose(op.squeeze(maps, ints([0])), perm=[1, 2, 0])
            found[f"exemplar.{model}.{layer}"] = op.where(visible, of_target, floats(0))
    for model, by_layer in weights.items():
        found |= {f"channel_weights.{model}.{layer}": op.squeeze(w, ints([0])) for layer, w in by_layer.items()}
    return found


def _search(
    network: Network,
    config: Config,
    exemplar: Exemplar,
    features: Maps,
    crops: onnx_crops.Crops,
    sides: Var,
    extent: Extent,
    state: Values,
) -> Values:
    """Box, score, response and the arrays of the state that a step changes (paper section IV-A d)."""
    # Responses, their fusion, and the region with the highest peak.
    responses, features = network.match(exemplar, features)
    fused = localisation.fused_maps(responses, extent, config)
    best = localisation.best_region(fused, config)
    response, side = op.gather(fused, best), op.gather(sides, best)
    responses, features = (localisation.take_region(best, maps) for maps in (responses, features))

    # Displacement, growth, score.
    offset = localisation.displacement(localisation.add_window(response, extent, config), extent, config)
    if config.scale_search == "features":
        factor = localisation.growth_factor(exemplar.features, features, offset, config)
    else:
        factor = op.gather(floats(config.scale_factors()), best)
    scale = localisation.grown(state["scale"], factor, config)
    similarity = localisation.mean_similarity(exemplar.features, responses, features, config)
    background = mean_over(similarity)
    if extent.is_centre is not None:
        background = op.where(extent.is_centre, state["background"], background)
    score = localisation.score(similarity, offset, background, config)

    # In a blank region the target stays as it was.
    seen = op.and_(onnx_crops.are_visible(highest(crops.ranges)), localisation.contrast(similarity))
    offset, score = op.where(seen, offset, floats(0)), op.where(seen, score, floats(0))
    scale = op.where(seen, scale, state["scale"])
    background = op.where(seen, background, state["background"])

    # The target moves.
    centre = op.add(state["centre"], op.div(op.mul(offset, side), floats(SEARCH_SIZE)))
    slow = op.less_or_equal(highest(op.abs(offset)), floats(config.centre_search))
    return {
        "box": localisation.box(centre, op.mul(state["size"], scale)),
        "score": score,
        "response": localisation.whole_response(response),
        "centre": centre,
        "scale": scale,
        "background": background,
        "searches_centre": op.and_(slow, op.greater(score, floats(CENTRE_SEARCH_MIN_SCORE))),
    }


def _exemplar(state: Values, config: Config) -> Exemplar:
    """Exemplar of a state."""

    def part(prefix: str, model: Model) -> dict[Layer, Var]:
        names = {layer: f"{prefix}.{model}.{layer}" for layer in config.layers(model)}
        return {layer: state[name] for layer, name in names.items() if name in state}

    weights: Maps = {}
    for model in config.models:
        if by_layer := part("channel_weights", model):
            weights[model] = {layer: op.unsqueeze(w, ints([0])) for layer, w in by_layer.items()}
    return Exemplar({model: part("exemplar", model) for model in config.models}, weights)


def _typed(value: Var, array: Array) -> Var:
    """Value in the shape that the state's array has, which inference cannot always tell."""
    return op.reshape(value, ints(np.array(array.shape, np.int64)))
