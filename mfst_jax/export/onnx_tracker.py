"""The tracker as an ONNX model: one graph for frames of any size, which begins a track or goes on with one.

It is a second writing of `mfst_jax.stages` in ONNX's operators, stage by stage; tests compare each stage with the
first. Both a track's first frame and every other go through the same crops and the same backbones, and a second look
takes the same constants, so that the weights are in the model once.
"""

import json
from typing import Any, NamedTuple

import numpy as np
import onnx
import spox.opset.ai.onnx.v17 as op
from spox import Tensor, Var, argument, build

from mfst_jax.config import Config, Layer, LowerLayer, Model
from mfst_jax.crops import EXEMPLAR_SIZE, SEARCH_SIZE
from mfst_jax.export import onnx_correlation_filter as correlation_filter
from mfst_jax.export import onnx_crops
from mfst_jax.export import onnx_localisation as localisation
from mfst_jax.export.onnx_localisation import Extent
from mfst_jax.export.onnx_network import Exemplar, Maps, Network
from mfst_jax.export.onnx_second_look import look_again_if_lost
from mfst_jax.export.signature import SIDES, Array, as_recent, state_arrays
from mfst_jax.export.values import choose, floats, highest, ints, mean_over
from mfst_jax.localisation import UPSAMPLED_SIZE
from mfst_jax.params import Params
from mfst_jax.stages import CENTRE_SEARCH_MIN_SCORE

STATE, NEXT = "state.", "next."
"""What the names of a state's arrays begin with among the inputs, and among the outputs."""
TEMPLATES = "templates."
"""What the names of the arrays that correlation filters have learned begin with, in a state."""
OUTPUTS = {"box": Array((4,)), "score": Array(()), "response": Array((UPSAMPLED_SIZE, UPSAMPLED_SIZE))}
"""What comes out of a step beside the arrays of the state."""
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

    def regions(centre: Var, scale: Var, factors: Any) -> Regions:
        """Whole search regions around a centre."""
        sides = op.mul(op.mul(onnx_crops.search_side(size, config.context), scale), floats(factors))
        return Regions(onnx_crops.crop(frame, centre, sides, fill, extent.whole.samples), sides)

    def begin() -> list[Var]:
        found = _begin(network, config, features, crops)
        if config.recent_share:
            found |= as_recent(found)
        if config.filter_share:
            found |= _learn_first(network, config, found, regions(centre, floats(1), np.ones(1)))
        found |= {"centre": centre, "size": size, "scale": scale, "fill": fill}
        blank = floats(np.zeros((UPSAMPLED_SIZE, UPSAMPLED_SIZE)))
        return [box, floats(1), blank, *(_typed(found[name], each) for name, each in arrays.items())]

    def go_on() -> list[Var]:
        search = Search(network, config, _exemplar(state, config), state)

        def search_again(around: Var, background: Var) -> Values:
            there = regions(around, state["scale"], config.region_factors())
            found = search(around, network.features(there.crops.images), there, extent.whole, background)
            return _all_typed(found, arrays)

        found = _all_typed(search(state["centre"], features, Regions(crops, sides), extent), arrays)
        if config.second_look:
            found |= look_again_if_lost(search_again, config, frame, state, found)
        following = {**state, **{name: found[name] for name in found if name in state}}
        return [*(found[name] for name in OUTPUTS), *(_typed(following[name], each) for name, each in arrays.items())]

    results = op.if_(first, then_branch=begin, else_branch=go_on)
    return dict(zip([*OUTPUTS, *(NEXT + name for name in arrays)], results, strict=True))


class Regions(NamedTuple):
    """Search regions of a frame, one for each scale or one for all scales.

    Attributes:
      crops: Their crops.
      sides: Sides of the whole regions in pixels, float32 [regions].
    """

    crops: onnx_crops.Crops
    sides: Var


def _begin(network: Network, config: Config, features: Maps, crops: onnx_crops.Crops) -> Values:
    """Arrays of the state after the first frame that depend on what is seen in it."""
    features, weights = network.recalibrated(features, {})
    visible = onnx_crops.are_visible(crops.ranges)
    found: Values = {
        "searches_centre": op.const(False),
        "background": floats(0),
        "lost_frames": op.const(np.int32(0)),
    }
    for model in config.models:
        for layer in config.layers(model):
            of_target = op.transpose(op.squeeze(features[model][layer], ints([0])), perm=[1, 2, 0])
            found[f"exemplar.{model}.{layer}"] = op.where(visible, of_target, floats(0))
    for model, by_layer in weights.items():
        found |= {f"channel_weights.{model}.{layer}": op.squeeze(w, ints([0])) for layer, w in by_layer.items()}
    return found


def _learn_first(network: Network, config: Config, found: Values, regions: Regions) -> Values:
    """Templates of the correlation filters, from the search region of the first frame; zero where it is blank."""
    shared = _exemplar(found, config).channel_weights
    features, _ = network.recalibrated(network.features(regions.crops.images), shared)
    maps = correlation_filter.filter_maps(localisation.take_region(ints(0), features)["alexnet"])
    visible = onnx_crops.are_visible(highest(regions.crops.ranges))
    return {
        TEMPLATES + layer: op.where(visible, each, floats(0))
        for layer, each in correlation_filter.first_templates(maps).items()
    }


class Search:
    """Search of a frame for the target of a state (paper section IV-A d)."""

    def __init__(self, network: Network, config: Config, exemplar: Exemplar, state: Values):
        self._network, self._config, self._exemplar, self._state = network, config, exemplar, state

    def __call__(
        self, centre: Var, features: Maps, regions: Regions, extent: Extent, least_background: Var | None = None
    ) -> Values:
        """Box, score, response and the arrays of the state that a step changes.

        Args:
          centre: of the regions, (x, y) in pixels.
          features: of the regions, before any SE-block.
          regions: the search regions.
          extent: how much of them the crops show.
          least_background: of a second look, the mean similarity over the region of the first search. The window and
            correlation filters then do not count, as the target may be anywhere.
        """
        config, exemplar, state = self._config, self._exemplar, self._state
        # Responses, their fusion, and the region with the highest peak.
        responses, features = self._network.match(exemplar, features)
        fused = localisation.fused_maps(responses, extent, config)
        best = localisation.best_region(fused, config)
        response, side = op.gather(fused, best), op.gather(regions.sides, best)
        responses, features = (localisation.take_region(best, maps) for maps in (responses, features))

        # Displacement, growth, score.
        is_first = least_background is None
        offset, templates = self._displacement(response, features, extent, is_first=is_first)
        if config.scale_search == "features":
            recent, share = _of_models("recent", state, config), config.recent_share if is_first else 0.0
            factor = localisation.growth_factor(exemplar.features, features, offset, config, recent, share)
        else:
            factor = op.gather(floats(config.scale_factors()), best)
        scale = localisation.grown(state["scale"], factor, config)
        similarity = localisation.mean_similarity(exemplar.features, responses, features, config)
        background = mean_over(similarity)
        if extent.is_centre is not None:
            background = op.where(extent.is_centre, state["background"], background)
        standard = background if least_background is None else op.max([background, least_background])
        score = localisation.score(similarity, offset, standard, config)

        # In a blank region the target stays as it was.
        seen = op.and_(onnx_crops.are_visible(highest(regions.crops.ranges)), localisation.contrast(similarity))
        offset, score = op.where(seen, offset, floats(0)), op.where(seen, score, floats(0))
        scale = op.where(seen, scale, state["scale"])
        learned = templates | self._learn_recent(features, offset, scale)
        background = op.where(seen, background, state["background"])

        # The target moves.
        centre = op.add(centre, op.div(op.mul(offset, side), floats(SEARCH_SIZE)))
        slow = op.less_or_equal(highest(op.abs(offset)), floats(config.centre_search))
        return {
            "box": localisation.box(centre, op.mul(state["size"], scale)),
            "score": score,
            "response": localisation.whole_response(response),
            "centre": centre,
            "scale": scale,
            "background": background,
            "searches_centre": op.and_(slow, op.greater(score, floats(CENTRE_SEARCH_MIN_SCORE))),
            **{name: op.where(seen, new, state[name]) for name, new in learned.items()},
        }

    def _learn_recent(self, features: Maps, offset: Var, scale: Var) -> Values:
        """Features of the target as it has looked lately, where the scale is told by them too."""
        config, state, learned = self._config, self._state, {}
        if config.recent_share:
            growth, widest = op.div(scale, state["scale"]), config.scale_factors()[-1]
            for model in config.models:
                for layer in config.layers(model):
                    name = f"recent.{model}.{layer}"
                    maps = features[model][layer]
                    learned[name] = localisation.learn_recent(state[name], maps, offset, SIDES[layer], growth, widest)
        return learned

    def _displacement(self, response: Var, features: Maps, extent: Extent, *, is_first: bool) -> tuple[Var, Values]:
        """Displacement to the target's new place, and what filters that look at the whole region learn there."""
        config, state = self._config, self._state
        windowed = localisation.add_window(response, extent, config.window_influence if is_first else 0.0)
        names = [TEMPLATES + layer for layer in correlation_filter.GEOMETRIES] if config.filter_share else []

        def by_filters() -> list[Var]:
            templates = {name.removeprefix(TEMPLATES): state[name] for name in names}
            maps, mixed = correlation_filter.filter_maps(features["alexnet"]), windowed
            if is_first:
                samples = op.div(floats(SEARCH_SIZE), onnx_crops.search_side(state["size"], config.context))
                target = op.mul(state["size"], samples)
                mixed = correlation_filter.mix_in(windowed, templates, maps, target, config.filter_share)
            offset = localisation.displacement(mixed, extent.whole, config)
            learned = correlation_filter.learn(templates, maps, offset)
            return [offset, *(learned[name.removeprefix(TEMPLATES)] for name in names)]

        def by_exemplar() -> list[Var]:
            return [localisation.displacement(windowed, extent, config), *(op.identity(state[name]) for name in names)]

        if not names:
            (offset,) = by_exemplar()
            return offset, {}
        if extent.is_centre is None:
            offset, *learned = by_filters()
        else:
            offset, *learned = op.if_(extent.is_centre, then_branch=by_exemplar, else_branch=by_filters)
        return offset, dict(zip(names, learned, strict=True))


def _exemplar(state: Values, config: Config) -> Exemplar:
    """Exemplar of a state."""
    weights: Maps = {}
    for model, by_layer in _of_models("channel_weights", state, config).items():
        if by_layer:
            weights[model] = {layer: op.unsqueeze(w, ints([0])) for layer, w in by_layer.items()}
    return Exemplar(_of_models("exemplar", state, config), weights)


def _of_models(part: str, state: Values, config: Config) -> dict[Model, dict[Layer | LowerLayer, Var]]:
    """Arrays of a part of a state, such as `exemplar`, by model and layer."""

    def of_model(model: Model) -> dict[Layer | LowerLayer, Var]:
        names = {layer: f"{part}.{model}.{layer}" for layer in config.layers(model)}
        return {layer: state[name] for layer, name in names.items() if name in state}

    return {model: of_model(model) for model in config.models}


def _all_typed(found: Values, arrays: dict[str, Array]) -> Values:
    """What a search found, in the shapes that outputs and the state's arrays have."""
    shapes = {**OUTPUTS, **arrays}
    return {name: _typed(value, shapes[name]) for name, value in found.items()}


def _typed(value: Var, array: Array) -> Var:
    """Value in the shape that the state's array has, which inference cannot always tell."""
    return op.reshape(value, ints(np.array(array.shape, np.int64)))
