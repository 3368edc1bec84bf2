"""Third stage of the ONNX graph: from response maps to the target's displacement, its growth and its score."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import spox.opset.ai.onnx.v17 as op
from spox import Var

from mfst_jax.config import MODELS, Config, Strategy
from mfst_jax.crops import CENTRE_SIZE, SEARCH_SIZE
from mfst_jax.export.onnx_network import Maps
from mfst_jax.export.signature import SIDES
from mfst_jax.export.values import (
    as_vector,
    cast,
    divide_or_keep,
    floats,
    highest,
    ints,
    length,
    lowest,
    sum_over,
    total,
)
from mfst_jax.localisation import (
    CELL,
    RESPONSE_SIZE,
    UPSAMPLED_SIZE,
    UPSAMPLING_FACTOR,
    hann_window,
    scale_priors,
    upsampling_matrix,
)
from mfst_jax.scale_from_features import RECENT_RATE
from mfst_jax.score import LEAST_CONTRAST

CENTRE_CELLS = RESPONSE_SIZE + (CENTRE_SIZE - SEARCH_SIZE) // CELL
"""Cells on a side of the response maps of a centre search."""


@dataclass(frozen=True)
class Extent:
    """Extent of a search: the whole region, or its centre where a value says so.

    Attributes:
      is_centre: Whether it is a centre search, bool []; None where it never is.
      constants: Constants of the whole region by name, which are in the graph once; those of one configuration.
    """

    is_centre: Var | None = None
    constants: dict[str, Var] = field(default_factory=dict)

    @property
    def whole(self) -> "Extent":
        """Extent of the whole region, with the same constants."""
        return replace(self, is_centre=None)

    def constant(self, name: str, of_cells: Callable[[int], Any]) -> Var:
        """Constant that depends on the extent, by a function of the cells on a side of a response map.

        Each name stands for one function.
        """
        if name not in self.constants:
            self.constants[name] = op.const(np.asarray(of_cells(RESPONSE_SIZE)))
        whole = self.constants[name]
        if self.is_centre is None:
            return whole
        of_centre = np.asarray(of_cells(CENTRE_CELLS))
        (chosen,) = op.if_(
            self.is_centre, then_branch=lambda: [op.const(of_centre)], else_branch=lambda: [op.identity(whole)]
        )
        return chosen

    @property
    def samples(self) -> Var:
        """Samples on a side of a region's crop, int64 []."""
        return self.constant("samples", lambda cells: np.int64(SEARCH_SIZE + (cells - RESPONSE_SIZE) * CELL))


def fused_maps(responses: Maps, extent: Extent, config: Config) -> Var:
    """Final map of each region, [regions, n, n]: upsampled maps fused over layers, then over models."""
    matrix = extent.constant("upsampling", lambda cells: upsampling_matrix(config.upsampling, cells).astype(np.float32))
    by_model = []
    for model in (model for model in MODELS if model in config.models):
        stacked = [op.unsqueeze(responses[model][layer], ints([0])) for layer in config.layers(model)]
        upsampled = op.matmul(op.matmul(matrix, op.concat(stacked, axis=0)), op.transpose(matrix, perm=[1, 0]))
        by_model.append(fuse(upsampled, config.fusion(model), config.weights(model)))
    if len(by_model) == 1:
        return by_model[0]
    maps = op.concat([op.unsqueeze(each, ints([0])) for each in by_model], axis=0)
    return fuse(maps, config.model_fusion, config.model_weights)


def fuse(maps: Var, strategy: Strategy, weights: tuple[float, ...]) -> Var:
    """Fused maps [regions, n, n] of [maps, regions, n, n], by one of the paper's three strategies."""
    if strategy != "hard":  # soft mean and soft weight
        maps = divide_or_keep(maps, op.abs(highest(maps, [1, 2, 3], keepdims=True)))
    if strategy != "soft_mean":  # hard and soft weight
        maps = op.mul(maps, floats(np.reshape(weights, (-1, 1, 1, 1))))
    return sum_over(maps, [0])


def best_region(fused: Var, config: Config) -> Var:
    """Number of the region whose map has the highest peak, int64 []."""
    if len(config.region_factors()) == 1:
        return ints(0)
    return op.arg_max(op.mul(highest(fused, [1, 2]), floats(scale_priors(config))), axis=0, keepdims=0)


def take_region(index: Var, maps: Maps) -> Maps:
    """Maps of one region, from maps whose first axis is that of the regions."""
    return {m: {layer: op.gather(x, index) for layer, x in by_layer.items()} for m, by_layer in maps.items()}


def add_window(response: Var, extent: Extent, share: float) -> Var:
    """Response map with the Hann window mixed in by its share, [n, n]."""
    shifted = op.sub(response, lowest(response))
    normalised = divide_or_keep(shifted, sum_over(shifted, [0, 1]))
    if not share:
        return normalised
    window = extent.constant("window", lambda cells: hann_window(cells * UPSAMPLING_FACTOR).astype(np.float32))
    return op.add(op.mul(floats(1 - share), normalised), op.mul(floats(share), window))


def displacement(response: Var, extent: Extent, config: Config) -> Var:
    """Displacement (x, y) from the region's centre to the map's peak, float32 [2], in samples of the region."""

    def spacing(cells: int) -> np.float32:
        corners = config.upsampling == "corners"
        return np.float32((cells * UPSAMPLING_FACTOR - 1) / (cells - 1) if corners else UPSAMPLING_FACTOR)

    size = length(response, 0)
    peak = _soft_argmax(response, config.peak_temperature) if config.peak_temperature else _argmax(response, size)
    last = cast(op.sub(size, ints(1)), np.float32)
    reach = extent.constant("reach", lambda cells: np.float32((cells - 1) / 2))
    offset = op.div(op.sub(peak, op.div(last, floats(2))), extent.constant("spacing", spacing))
    return op.mul(op.max([op.min([offset, reach]), op.neg(reach)]), floats(CELL))


def _argmax(response: Var, size: Var) -> Var:
    place = op.arg_max(op.reshape(response, ints([-1])), axis=0, keepdims=0)
    row = op.div(place, size)
    column = op.sub(place, op.mul(row, size))
    return cast(op.concat([as_vector(column), as_vector(row)], axis=0), np.float32)


def _soft_argmax(response: Var, temperature: float) -> Var:
    peak = highest(response)
    scale = op.mul(floats(temperature), op.where(op.greater(peak, floats(0)), peak, floats(1)))
    flat = op.softmax(op.reshape(op.div(response, scale), ints([-1])), axis=0)
    share = op.reshape(flat, op.shape(response))
    sample = cast(op.range(ints(0), length(response, 0), ints(1)), np.float32)
    means = [sum_over(op.mul(sum_over(share, [axis]), sample), [0], keepdims=True) for axis in (0, 1)]
    return op.concat(means, axis=0)


def cosine(exemplar: Var, product: Var, energy: Var) -> Var:
    """Cosine of the exemplar and windows, from their products and the windows' energies; 0 where either is all zero."""
    squared = op.mul(energy, sum_over(op.mul(exemplar, exemplar), [0, 1, 2]))
    return op.div(product, op.sqrt(op.where(op.greater(squared, floats(0)), squared, floats(1))))


def mean_similarity(exemplar: Maps, responses: Maps, maps: Maps, config: Config) -> Var:
    """Cosines [cells, cells] of one region's windows and the exemplar, averaged over all layers of all models.

    Args:
      exemplar: features of the target, [height, width, channels].
      responses: `factor <z, x>` of each window, [cells, cells].
      maps: features of the region, [channels, n, n].
      config: the layers in use, and their response factors.
    """
    found = []
    for model in config.models:
        for layer, factor in zip(config.layers(model), config.factors(model), strict=True):
            side = SIDES[layer]
            x = maps[model][layer]
            squares = op.unsqueeze(sum_over(op.mul(x, x), [0]), ints([0, 1]))
            energy = op.squeeze(op.conv(squares, floats(np.ones((1, 1, side, side)))), ints([0, 1]))
            found.append(cosine(exemplar[model][layer], op.div(responses[model][layer], floats(factor)), energy))
    return op.div(total(found), floats(len(found)))


def contrast(similarity: Var) -> Var:
    """Whether a map of similarities tells one place from another, bool []."""
    return op.greater(op.sub(highest(similarity), lowest(similarity)), floats(LEAST_CONTRAST))


def score(similarity: Var, offset: Var, background: Var, config: Config) -> Var:
    """Score in (0, 1), float32 []: by how much the new place resembles the exemplar more than the region does."""
    middle = op.div(length(similarity, 0), ints(2))
    cell = op.add(cast(op.round(op.div(offset, floats(CELL))), np.int64), middle)
    row = op.gather(similarity, op.gather(cell, ints(1)), axis=0)
    found = op.sub(op.gather(row, op.gather(cell, ints(0)), axis=0), background)
    return op.sigmoid(op.mul(floats(config.score_slope), op.sub(found, floats(config.score_midpoint))))


def growth_factor(exemplar: Maps, maps: Maps, offset: Var, config: Config, recent: Maps, recent_share: float) -> Var:
    """Factor by which the target grew, told from the features around its new place, float32 [].

    Args:
      exemplar: features of the target, [height, width, channels].
      maps: features of the search region, [channels, n, n].
      offset: from the region's centre to the target's new place, (x, y) in samples of the region.
      config: the scale factors and their priors.
      recent: features of the target as it has looked lately.
      recent_share: share of these in the similarity.
    """
    mean = _similarity_by_factor(exemplar, maps, offset, config)
    if recent_share:
        lately = _similarity_by_factor(recent, maps, offset, config)
        mean = op.add(mean, op.mul(floats(recent_share), op.sub(lately, mean)))
    similarities = op.mul(op.max([mean, floats(0)]), floats(scale_priors(config)))
    best, middle = op.arg_max(similarities, axis=0, keepdims=0), ints(config.scale_count // 2)
    is_better = op.greater(op.gather(similarities, best), op.gather(similarities, middle))
    return op.gather(floats(config.scale_factors()), op.where(is_better, best, middle))


def learn_recent(recent: Var, maps: Var, offset: Var, side: int, growth: Var, widest: float) -> Var:
    """Features of the target as it has looked lately, [side, side, channels], after a further frame.

    Args:
      recent: those so far.
      maps: features of a layer of the search region, [channels, n, n].
      offset: from the region's centre to the target's new place, (x, y) in samples of the region.
      side: cells on a side of the exemplar's features.
      growth: the factor by which the target grew.
      widest: the greatest of the scale factors.
    """
    factors = op.reshape(op.min([growth, floats(widest)]), ints([1]))
    now = op.squeeze(_resample(maps, op.div(offset, floats(CELL)), side, factors), ints([0]))
    return op.add(recent, op.mul(floats(RECENT_RATE), op.sub(now, recent)))


def _similarity_by_factor(target_features: Maps, maps: Maps, offset: Var, config: Config) -> Var:
    """Cosine similarity of the target and the features at its new place, for each scale factor."""
    by_layer = []
    for model in config.models:
        for layer in config.layers(model):
            target, side = target_features[model][layer], SIDES[layer]
            factors = floats(config.scale_factors())
            windows = _resample(maps[model][layer], op.div(offset, floats(CELL)), side, factors)
            products = sum_over(op.mul(windows, target), [1, 2, 3])
            by_layer.append(cosine(target, products, sum_over(op.mul(windows, windows), [1, 2, 3])))
    return op.div(total(by_layer), floats(len(by_layer)))


def grown(scale: Var, factor: Var, config: Config) -> Var:
    """Running scale after the target grew by a factor, which is damped, float32 []."""
    damping = config.scale_damping
    scale = op.mul(scale, op.add(floats(1 - damping), op.mul(floats(damping), factor)))
    return op.max([op.min([scale, floats(config.scale_max)]), floats(config.scale_min)])


def _resample(maps: Var, offset: Var, side: int, factors: Var) -> Var:
    """Grids [factors, side, side, channels] of points around a place, interpolated bilinearly between cells."""
    size = length(maps, 1)
    last = cast(op.sub(size, ints(1)), np.float32)
    steps = op.mul(op.unsqueeze(factors, ints([1])), floats(np.arange(side) - (side - 1) / 2))
    cells = cast(op.range(ints(0), size, ints(1)), np.float32)

    def weights(axis: int) -> Var:  # [factors, side, n]
        middle = op.add(op.gather(offset, ints(axis)), op.div(last, floats(2)))
        places = op.max([op.min([op.add(middle, steps), last]), floats(0)])
        return op.relu(op.sub(floats(1), op.abs(op.sub(op.unsqueeze(places, ints([2])), cells))))

    by_row = op.transpose(maps, perm=[1, 2, 0])  # [n, n, channels]
    row_weights = op.reshape(weights(1), op.concat([ints([-1]), as_vector(size)], axis=0))
    rows = op.matmul(row_weights, op.reshape(by_row, op.concat([as_vector(size), ints([-1])], axis=0)))
    shape = op.concat([op.shape(factors), ints([side]), op.shape(by_row, start=1)], axis=0)
    return op.matmul(op.unsqueeze(weights(0), ints([1])), op.reshape(rows, shape))


def box(centre: Var, size: Var) -> Var:
    """Box (x, y, w, h), float32 [4], of a centre (x, y) and a size (w, h) in pixels."""
    corner = op.sub(centre, op.div(op.sub(size, floats(1)), floats(2)))
    return op.concat([corner, size], axis=0)


def whole_response(response: Var) -> Var:
    """Response map [272, 272] of the whole region: that of its centre is padded with its lowest value."""
    margin = as_vector(op.div(op.sub(ints(UPSAMPLED_SIZE), length(response, 0)), ints(2)))
    padded = op.pad(response, op.concat([margin] * 4, axis=0), lowest(response))
    return op.reshape(padded, ints([UPSAMPLED_SIZE, UPSAMPLED_SIZE]))
