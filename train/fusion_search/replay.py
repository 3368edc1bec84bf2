"""Replay of tracks and single steps from response volumes that are kept: hundreds of fusions at the cost of one.

A replayed track differs from a real one in that responses come from interpolation, between cells and between scales, on
a map of 4 samples a cell instead of 16; and that a track which is farther from the true target than these responses
reach stands still.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from mfst_jax import boxes, localisation
from mfst_jax.compilation import jit
from mfst_jax.config import LAYERS, MODELS
from mfst_jax.crops import SEARCH_SIZE, search_side
from mfst_jax.evaluation.metrics import SUCCESS_THRESHOLDS
from mfst_jax.fusion import by_maximum
from mfst_jax.localisation import CELL, RESPONSE_SIZE, UPSAMPLING_FACTOR
from mfst_jax.presets import PAPER
from mfst_jax.scale_from_features import damped
from mfst_jax.train.fusion_search.response_volumes import SCALES, SLACK, WIDE, ResponseVolumes

SAMPLES = 4
"""Samples per response cell, along each axis."""
PLACE_DEVIATION, SCALE_DEVIATION = 8.0, 0.03
"""Standard deviations of a single step's start from the truth: in samples of the search region on each axis, and
relative in scale."""
REACH = (RESPONSE_SIZE - 1) / 2
"""Cells from the centre of a response map to its edge."""

Side = Float[Array, ""]
Volume = Float[Array, "layers grid wide wide"]


@struct.dataclass
class Candidate:
    """Fusion and motion parameters to try, or a batch of them. `random_search.to_config` makes a `Config` of them.

    Attributes:
      layers: Weights of conv3, conv4, conv5 of S, then of A.
      models: Weights of S and A.
      soft: Whether soft weight (or hard weight) fuses the layers of S, those of A, and the models.
      window_influence: As `Config.window_influence`.
      scale_step: As `Config.scale_step`.
      scale_penalty: As `Config.scale_penalty`.
      scale_damping: As `Config.scale_damping`.
    """

    layers: Float[Any, "*batch 6"]
    models: Float[Any, "*batch 2"]
    soft: Bool[Any, "*batch 3"]
    window_influence: Float[Any, "*batch"]
    scale_step: Float[Any, "*batch"]
    scale_penalty: Float[Any, "*batch"]
    scale_damping: Float[Any, "*batch"]


@jit
def replay(candidates: Candidate, volumes: ResponseVolumes) -> Float[Array, "candidates sequences 2"]:
    """Success AUCs of each candidate on each sequence: of whole tracks, and of single steps.

    They are over frames with a true box. A track counts its first frame. A step starts near the true box
    (`step_from_truth`); all frames but the first have one.
    """

    def aucs(candidate: Candidate, volumes: Any) -> Float[Array, "2"]:
        whole = _success(boxes.iou(follow(candidate, volumes), jnp.asarray(volumes.truth)))
        single = _success(step_from_truth(candidate, volumes))
        later = jnp.asarray(volumes.counted).at[0].set(False)
        return jnp.stack([jnp.mean(whole, where=volumes.counted), jnp.mean(single, where=later)])

    return jax.vmap(jax.vmap(aucs, in_axes=(None, 0)), in_axes=(0, None))(candidates, volumes)


def _success(overlaps: Float[Array, " frames"]) -> Float[Array, " frames"]:
    """Share of the thresholds that each overlap exceeds."""
    return jnp.mean(overlaps[:, None] > jnp.asarray(SUCCESS_THRESHOLDS, jnp.float32)[None], axis=1)


def step_from_truth(candidate: Candidate, volumes: ResponseVolumes) -> Float[Array, " frames"]:
    """Overlap with the true box after one step from near it, in each frame: how well a fusion localises.

    A track that is lost says nothing more, and where frames are thinned most tracks are lost because the target moves
    so far. So each frame begins anew here, off by as much as between two frames of a video at full rate, drawn once and
    for all.
    """
    truth = jnp.asarray(volumes.truth)
    draws = np.random.Generator(np.random.Philox(0)).standard_normal((len(volumes.truth), 3)).astype(np.float32)

    def step(_: None, frame: Any) -> tuple[None, Array]:
        responses, truth, draw = frame
        true_centre, true_size = boxes.to_centre(truth)
        true_side = search_side(true_size, PAPER.context)
        side = true_side * jnp.exp(SCALE_DEVIATION * draw[2])
        offset = PLACE_DEVIATION * draw[:2] * true_side / SEARCH_SIZE
        factors = candidate.scale_step ** jnp.array([-1.0, 0.0, 1.0])
        cells, best = localise(
            responses_at(responses, offset * SEARCH_SIZE / CELL, side, true_side, factors), candidate
        )
        centre = true_centre + offset + cells * CELL * side / SEARCH_SIZE
        growth = damped(factors[best], candidate.scale_damping)
        box = boxes.from_centre(centre, true_size * growth * side / true_side)
        return None, boxes.iou(box, truth)

    _, overlaps = lax.scan(step, None, (jnp.asarray(volumes.responses), truth, draws))
    return overlaps


def follow(candidate: Candidate, volumes: ResponseVolumes) -> Float[Array, "frames 4"]:
    """Boxes of one candidate on one sequence, whose first frame has a true box."""
    truth = jnp.asarray(volumes.truth)
    centre, size = boxes.to_centre(truth[0])
    limits = PAPER.scale_min, PAPER.scale_max

    def step(state: tuple[Array, Array], frame: Any) -> tuple[Any, Array]:
        centre, scale = state
        responses, truth, counted = frame
        true_centre, true_size = boxes.to_centre(truth)
        side, true_side = search_side(size, PAPER.context) * scale, search_side(true_size, PAPER.context)
        factors = candidate.scale_step ** jnp.array([-1.0, 0.0, 1.0])
        maps = responses_at(responses, (centre - true_centre) * SEARCH_SIZE / CELL, side, true_side, factors)
        cells, best = localise(maps, candidate)
        moved = centre + cells * CELL * side / SEARCH_SIZE
        growth = damped(factors[best], candidate.scale_damping)
        # Responses are kept around the true target alone.
        within_reach = jnp.max(jnp.abs(centre - true_centre)) * SEARCH_SIZE / CELL <= REACH * side
        moves = counted & within_reach
        centre = jnp.where(moves, moved, centre)
        scale = jnp.where(moves, jnp.clip(scale * growth, *limits), scale)
        return (centre, scale), boxes.from_centre(centre, size * scale)

    start = centre, jnp.ones(())
    _, rest = lax.scan(step, start, (volumes.responses[1:], truth[1:], jnp.asarray(volumes.counted)[1:]))
    return jnp.concatenate([truth[:1], rest])


def responses_at(
    responses: Volume, offset: Float[Array, "2"], side: Side, true_side: Side, factors: Float[Array, " scales"]
) -> Float[Array, "layers scales 17 17"]:
    """Responses that search regions of `side` times each factor have, at the cells of the one in the middle.

    Args:
      responses: of one frame.
      offset: from the true centre to theirs (x, y), in pixels times 255 / 8: divided by a side, it is in cells.
      side: in pixels.
      true_side: of the true target's search region, in pixels.
      factors: on `side`.
    """
    sides = true_side * jnp.asarray(SCALES, jnp.float32)
    cells = np.arange(RESPONSE_SIZE, dtype=np.float32) - REACH

    def weights(offset: Float[Array, ""]) -> Float[Array, "grid 17 wide"]:
        position = offset / sides[:, None] + cells[None] * (side / sides)[:, None] + (WIDE - 1) / 2
        distance = jnp.clip(position, 1, WIDE - 2)[..., None] - np.arange(WIDE, dtype=np.float32)[None, None]
        return localisation.cubic_kernel(distance, a=-0.5)

    maps = jnp.einsum("kiv,lkuv->lkui", weights(offset[0]), responses)
    maps = jnp.einsum("kju,lkui->lkji", weights(offset[1]), maps)
    return jnp.einsum("sk,lkji->lsji", _between_scales(side * factors / true_side), maps)


def localise(
    maps: Float[Array, "layers scales 17 17"], candidate: Candidate
) -> tuple[Float[Array, "2"], Int[Array, ""]]:
    """Place (x, y) of the peak in cells from the centre, and the index of its scale."""
    matrix = jnp.asarray(_upsampling_matrix())
    maps = jnp.einsum("yj,lsji,xi->lsyx", matrix, maps, matrix)
    maps = _weigh(maps, candidate.layers, jnp.repeat(candidate.soft[:2], len(LAYERS)))
    of_models = jnp.sum(maps.reshape(len(MODELS), len(LAYERS), *maps.shape[1:]), axis=1)
    fused = jnp.sum(_weigh(of_models, candidate.models, candidate.soft[2]), axis=0)
    priors = jnp.stack([candidate.scale_penalty, jnp.ones(()), candidate.scale_penalty])
    best = localisation.highest_peak(fused, priors)
    windowed = localisation.add_window(fused[best], candidate.window_influence, _window())
    return localisation.displacement(windowed, "half_pixel", samples_per_cell=SAMPLES) / CELL, best


def _weigh(maps: Float[Array, "maps scales h w"], weights: Array, soft: Array) -> Float[Array, "maps scales h w"]:
    """Terms of the sums in `mfst_jax.fusion.fuse`, soft or hard."""
    return weights[:, None, None, None] * jnp.where(soft.reshape(-1, 1, 1, 1), by_maximum(maps), maps)


def _between_scales(ratios: Float[Array, " scales"]) -> Float[Array, "scales grid"]:
    """Lagrange's polynomials on the logarithms of `SCALES`, at those of `ratios`; beyond the grid, its ends."""
    nodes = (np.log(np.array(SCALES)) / np.log(SCALES[1] / SCALES[0])).astype(np.float32)
    place = jnp.clip(jnp.log(ratios) / np.log(SCALES[1] / SCALES[0]), nodes[0], nodes[-1])
    terms = []
    for node in nodes:
        others = nodes[nodes != node]
        terms.append(jnp.prod((place[:, None] - others[None]) / (node - others)[None], axis=1))
    return jnp.stack(terms, axis=1)


@cache
def _upsampling_matrix() -> np.ndarray:
    """Upsampling matrix [68, 17]: every fourth sample of the tracker's own, taken between its middle two."""
    full = localisation.upsampling_matrix("half_pixel")
    step = UPSAMPLING_FACTOR // SAMPLES
    return ((full[step // 2 - 1 :: step] + full[step // 2 :: step]) / 2).astype(np.float32)


@cache
def _window() -> np.ndarray:
    side = SAMPLES * RESPONSE_SIZE
    positions = (np.arange(side) + 0.5) / side
    window = np.square(np.sin(np.pi * positions))
    window = np.outer(window, window)
    return (window / window.sum()).astype(np.float32)


def typical_peaks(volumes: ResponseVolumes, by: Bool[np.ndarray, " sequences"]) -> Float[np.ndarray, "6"]:
    """Median of each layer's highest response on true targets, which makes weights of different layers comparable.

    Args:
      volumes: of all sequences.
      by: the sequences that count.
    """
    middle = volumes.responses[:, :, :, len(SCALES) // 2, SLACK:-SLACK, SLACK:-SLACK]
    return np.median(middle.max(axis=(-2, -1))[by][volumes.counted[by]], axis=0)
