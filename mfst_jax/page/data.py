"""Data of a page beside its pictures, as JSON: boxes, scores, lost stretches, ground truth and search regions."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Num

from mfst_jax import boxes as box_algebra
from mfst_jax.crops import SEARCH_SIZE, search_side
from mfst_jax.evaluation.metrics import overlaps
from mfst_jax.localisation import CELL, RESPONSE_SIZE
from mfst_jax.media.palette import colour
from mfst_jax.tracks.lost_frames import stretches

BOX_DIGITS, SCORE_DIGITS = 2, 4


def describe_target(
    name: str,
    place: int,
    boxes: Num[np.ndarray, "frames 4"],
    scores: Num[np.ndarray, " frames"],
    lost: Bool[np.ndarray, " frames"],
    truth: Num[np.ndarray, "rows 4"] | None,
    context: float | None,
) -> dict[str, Any]:
    """Data of one target as the page reads it; None stands for whatever is not finite.

    Args:
      name: of the target.
      place: its place among the targets, which decides on its colour.
      boxes: (x, y, w, h) of each frame, 0-indexed pixels.
      scores: of each frame.
      lost: of each frame.
      truth: true boxes from the first frame on, as far as there are some.
      context: `Config.context`, from which the search regions follow; None where they are not known.
    """
    true = np.full(boxes.shape, np.nan)
    if truth is not None:
        true[: len(truth)] = truth[: len(true)]
    return {
        "name": name,
        "colour": colour(place),
        "boxes": _rows(boxes, BOX_DIGITS),
        "scores": _numbers(scores, SCORE_DIGITS),
        "lost": stretches(lost),
        "truth": None if truth is None else _rows(true, BOX_DIGITS),
        "overlaps": None if truth is None else _numbers(_overlaps(boxes, true), SCORE_DIGITS),
        "regions": None if context is None else _rows(region_outlines(boxes, context), BOX_DIGITS),
    }


def region_outlines(boxes: Num[np.ndarray, "frames 4"], context: float) -> Float[np.ndarray, "frames 3"]:
    """Search region of each frame as centre (x, y) and side in pixels, around the box of the frame before.

    It is that of the middle scale. The first frame has none, and gets NaN.
    """
    centre, size = box_algebra.to_centre(jnp.asarray(boxes[:-1], jnp.float32))
    side = search_side(size, context)
    regions = np.full((len(boxes), 3), np.nan)
    regions[1:] = np.concatenate([np.asarray(centre), np.asarray(side)[:, None]], axis=1)
    return regions


def map_share(upsampling: str) -> float:
    """Share of a search region's side that its response map covers, in the middle of the region.

    A map says where the target's centre may be: with samples at the middle of each part of a cell (`half_pixel`) it is
    17 cells wide, and else 16, from the first cell to the last.
    """
    cells = RESPONSE_SIZE if upsampling == "half_pixel" else RESPONSE_SIZE - 1
    return cells * CELL / (SEARCH_SIZE - 1)


def script_json(value: Any) -> str:
    """JSON text that may stand within a script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def plain(values: Mapping[str, Any]) -> dict[str, str]:
    """Facts for a list, with their values in words."""
    return {name: value if isinstance(value, str) else json.dumps(value, default=str) for name, value in values.items()}


def _overlaps(boxes: Num[np.ndarray, "frames 4"], truth: Num[np.ndarray, "frames 4"]) -> Float[np.ndarray, " frames"]:
    """Intersection over union of each frame, NaN where the target is absent."""
    overlap = np.full(len(boxes), np.nan)
    overlap[np.isfinite(truth).all(axis=1)] = overlaps(boxes, truth)
    return overlap


def _rows(rows: Num[np.ndarray, "frames n"], digits: int) -> list[list[float] | None]:
    return [[round(float(value), digits) for value in row] if np.isfinite(row).all() else None for row in rows]


def _numbers(values: Num[np.ndarray, " frames"] | Sequence[float], digits: int) -> list[float | None]:
    return [round(float(value), digits) if np.isfinite(value) else None for value in values]
