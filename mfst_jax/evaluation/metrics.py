"""OTB's measures of one track (Wu et al. 2015): overlap, centre error, success AUC, precision at 20 px. NumPy, float64.

Boxes are [T, 4] `(x, y, w, h)`. A row of the ground truth that is not finite says that the target is absent, and does
not count; rows that only one side has do not count either.
"""

import numpy as np
from jaxtyping import Float, Shaped

SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)
"""Overlaps at which the success curve is taken: 0, 0.05, ... 1."""

Boxes = Shaped[np.ndarray, "_ 4"]


def overlaps(boxes: Boxes, truth: Boxes) -> Float[np.ndarray, "counted"]:
    """Intersection over union of each counted row, in [0, 1]."""
    boxes, truth = _counted(boxes, truth)
    corner = np.maximum(boxes[:, :2], truth[:, :2])
    opposite = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
    intersection = np.prod(np.maximum(opposite - corner, 0), axis=1)
    union = np.prod(boxes[:, 2:], axis=1) + np.prod(truth[:, 2:], axis=1) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def centre_errors(boxes: Boxes, truth: Boxes) -> Float[np.ndarray, "counted"]:
    """Distance in pixels between the centres, for each counted row."""
    boxes, truth = _counted(boxes, truth)
    difference = (boxes[:, :2] + (boxes[:, 2:] - 1) / 2) - (truth[:, :2] + (truth[:, 2:] - 1) / 2)
    return np.linalg.norm(difference, axis=1)


def success_auc(boxes: Boxes, truth: Boxes) -> float:
    """Area under the success curve: mean over 21 thresholds of the share of rows that overlap by more; NaN if none."""
    counted = overlaps(boxes, truth)
    return float(np.mean(counted[:, None] > SUCCESS_THRESHOLDS)) if counted.size else float("nan")


def precision_20px(boxes: Boxes, truth: Boxes) -> float:
    """Share of rows whose centre is at most 20 pixels off; NaN if none counts."""
    counted = centre_errors(boxes, truth)
    return float(np.mean(counted <= 20)) if counted.size else float("nan")


def _counted(boxes: Boxes, truth: Boxes) -> tuple[np.ndarray, np.ndarray]:
    rows = min(len(boxes), len(truth))
    boxes, truth = np.asarray(boxes[:rows], np.float64), np.asarray(truth[:rows], np.float64)
    present = np.isfinite(truth).all(axis=1)
    return boxes[present], truth[present]
