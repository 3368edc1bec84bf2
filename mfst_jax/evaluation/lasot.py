"""LaSOT's measures of one track: success, precision and normalised precision by the formulas of its own toolkit.

They differ from OTB's in this (Fan et al. 2019, "LaSOT", and `calc_seq_err_robust` and `eval_tracker` of its toolkit):

- A row of a result without a width and a height above 0 is taken to be the row before it.
- Frames in which labels say that the target is absent are not compared, but count as misses: all frames are divided by.
- Where a true box, counted from 1, has a number that is not above 0, the overlap is a miss and the centre a hit.
- Normalised precision is the share of frames with a normalised error of at most 0.2, not the mean of the curve.
"""

import numpy as np
from jaxtyping import Bool, Float64

from mfst_jax.evaluation.metrics import (
    NORMALISED_THRESHOLDS,
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    Measures,
    count_at_most,
    lengths,
    offsets_of,
    row_overlaps,
)

NORMALISED_AT = 0.2
"""Normalised error at which the normalised precision is taken."""


def measure(
    boxes: Float64[np.ndarray, "frames 4"], truth: Float64[np.ndarray, "frames 4"], absent: Bool[np.ndarray, " frames"]
) -> Measures:
    """Measures of one track.

    Args:
      boxes: (x, y, w, h) in pixels from 1, as `carried` returns them; the first one is not looked at.
      truth: true boxes, in the same way; NaN where the file has no width or height above 0.
      absent: where labels say that the target is absent.
    """
    frames, boxes = len(truth), np.concatenate([truth[:1], boxes[1:]])
    boxes, truth = boxes[~absent], truth[~absent]
    positive = (truth > 0).all(axis=1)
    offsets = offsets_of(boxes, truth)
    overlap = np.where(positive, row_overlaps(boxes, truth), -1.0)
    error = np.where(positive, lengths(offsets), -1.0)
    normalised = np.where(positive, lengths(offsets, truth[:, 2:]), -1.0)
    return Measures(
        (len(overlap) - count_at_most(overlap, SUCCESS_THRESHOLDS)) / frames,
        count_at_most(error, PRECISION_THRESHOLDS) / frames,
        count_at_most(normalised, NORMALISED_THRESHOLDS) / frames,
        float(np.sum(np.maximum(overlap, 0)) / frames),
        normalised_at=NORMALISED_AT,
    )


def carried(boxes: Float64[np.ndarray, "frames 4"]) -> Float64[np.ndarray, "frames 4"]:
    """Boxes in which a row without a width and a height above 0 repeats the row before it."""
    boxes = boxes.copy()
    for row in range(1, len(boxes)):
        if not np.isfinite(boxes[row]).all() or (boxes[row, 2:] <= 0).any():
            boxes[row] = boxes[row - 1]
    return boxes
