"""Measures of one track against its ground truth, as OTB, TrackingNet and GOT-10k define them. NumPy, float64.

Boxes are [T, 4] `(x, y, w, h)`. A row of the ground truth that is not finite says that the target is absent, and does
not count; rows that only one side has do not count either. A box that is not finite is a miss.

Boxes are often whole numbers, so overlaps and errors often lie exactly on a threshold, where rounding decides. Hence
the arithmetic is that of the got10k toolkit, operation by operation: its curves come out to the last digit.

References: OTB: Wu et al. 2015, "Object Tracking Benchmark". Normalised precision: Müller et al. 2018, "TrackingNet",
section 4.2. AO and SR: Huang et al. 2019, "GOT-10k", and its toolkit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Shaped

SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)
"""Overlaps at which the success curve is taken: 0, 0.05, ... 1."""
PRECISION_THRESHOLDS = np.arange(51)
"""Centre errors, in pixels, at which the precision curve is taken."""
NORMALISED_THRESHOLDS = np.arange(51) / 100
"""Centre errors, in sizes of the true box, at which the normalised precision curve is taken."""

_huge_numbers = np.errstate(over="ignore", invalid="ignore")
"""Boxes of a tracker that went astray may overflow; they are misses."""

Boxes = Shaped[np.ndarray, "_ 4"]
Counted = Float[np.ndarray, "counted"]


def overlaps(boxes: Boxes, truth: Boxes) -> Counted:
    """Intersection over union of each counted row, in [0, 1].

    Args:
      boxes: [T, 4] (x, y, w, h) of a tracker.
      truth: [T, 4] true boxes; rows that are not finite do not count.
    """
    return row_overlaps(*_counted(boxes, truth))


def centre_errors(boxes: Boxes, truth: Boxes) -> Counted:
    """Distance in pixels between the centres, for each counted row.

    Args:
      boxes: [T, 4] (x, y, w, h) of a tracker.
      truth: [T, 4] true boxes; rows that are not finite do not count.
    """
    return lengths(offsets_of(*_counted(boxes, truth)))


def success_auc(boxes: Boxes, truth: Boxes) -> float:
    """Area under the success curve: mean over 21 thresholds of the share of rows that overlap by more.

    It is NaN if no row counts.

    Args:
      boxes: [T, 4] (x, y, w, h) of a tracker.
      truth: [T, 4] true boxes; rows that are not finite do not count.
    """
    return measure(boxes, truth).success_auc


def precision_20px(boxes: Boxes, truth: Boxes) -> float:
    """Share of rows whose centre is at most 20 pixels off; NaN if none counts.

    Args:
      boxes: [T, 4] (x, y, w, h) of a tracker.
      truth: [T, 4] true boxes; rows that are not finite do not count.
    """
    return measure(boxes, truth).precision_20px


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures of a track, or the means of those of several.

    Attributes:
      success_curve: Share of rows that overlap by more than each of `SUCCESS_THRESHOLDS`.
      precision_curve: Share of rows whose centre is off by at most each of `PRECISION_THRESHOLDS`.
      normalised_curve: Share of rows whose normalised error is at most each of `NORMALISED_THRESHOLDS`.
      average_overlap: Mean intersection over union: GOT-10k's AO.
      normalised_at: Normalised error at which the normalised precision is taken, among `NORMALISED_THRESHOLDS`; None
        for the mean of the curve.
    """

    success_curve: Float64[np.ndarray, "21"]
    precision_curve: Float64[np.ndarray, "51"]
    normalised_curve: Float64[np.ndarray, "51"]
    average_overlap: float
    normalised_at: float | None = None

    @property
    def success_auc(self) -> float:
        """Mean of the success curve."""
        return float(np.mean(self.success_curve))

    @property
    def precision_20px(self) -> float:
        """Share of rows whose centre is at most 20 pixels off."""
        return float(self.precision_curve[20])

    @property
    def normalised_precision(self) -> float:
        """Mean of the normalised precision curve, as in TrackingNet; or its value at `normalised_at`, as in LaSOT."""
        if self.normalised_at is None:
            return float(np.mean(self.normalised_curve))
        return float(self.normalised_curve[np.searchsorted(NORMALISED_THRESHOLDS, self.normalised_at)])

    @property
    def success_rate_50(self) -> float:
        """Share of rows that overlap by more than 0.5: GOT-10k's SR.50."""
        return float(self.success_curve[10])

    @property
    def success_rate_75(self) -> float:
        """Share of rows that overlap by more than 0.75: GOT-10k's SR.75."""
        return float(self.success_curve[15])


SCORES = (
    "success_auc",
    "precision_20px",
    "normalised_precision",
    "success_rate_50",
    "success_rate_75",
    "average_overlap",
)
"""Names of the numbers among `Measures`."""


def measure(boxes: Boxes, truth: Boxes) -> Measures:
    """Measures of one track; NaN if no row counts."""
    boxes, truth = _counted(boxes, truth)
    if not (rows := len(truth)):
        return Measures(np.full(21, np.nan), np.full(51, np.nan), np.full(51, np.nan), float("nan"))
    overlap, offsets = row_overlaps(boxes, truth), offsets_of(boxes, truth)
    return Measures(
        (rows - count_at_most(overlap, SUCCESS_THRESHOLDS)) / rows,
        count_at_most(lengths(offsets), PRECISION_THRESHOLDS) / rows,
        count_at_most(lengths(offsets, truth[:, 2:]), NORMALISED_THRESHOLDS) / rows,
        float(np.mean(overlap)),
    )


def average(measures: Sequence[Measures], weights: Float64[np.ndarray, " measures"] | None = None) -> Measures:
    """Means of one or more measures: of the curves, threshold by threshold, and so of every number.

    Args:
      measures: what to average.
      weights: the weight of each; by default all the same.
    """

    def mean(name: str) -> np.ndarray:
        return np.asarray(np.average([getattr(each, name) for each in measures], axis=0, weights=weights))

    return Measures(
        mean("success_curve"),
        mean("precision_curve"),
        mean("normalised_curve"),
        float(mean("average_overlap")),
        measures[0].normalised_at,
    )


def clip(boxes: Boxes, size: tuple[int, int]) -> Float64[np.ndarray, "_ 4"]:
    """Boxes cut to a frame of `size` (height, width) as GOT-10k's toolkit does: the corner first, then what is left.

    A box that begins left of the frame is moved into it at its full width.
    """
    bound = np.array(size[::-1], np.float64)
    corner = np.clip(boxes[:, :2], 0, bound)
    return np.concatenate([corner, np.clip(boxes[:, 2:], 0, bound - corner)], axis=1)


@_huge_numbers
def row_overlaps(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of each row, in [0, 1]; 0 where a box is not finite."""
    corner = np.maximum(boxes[:, :2], truth[:, :2])
    opposite = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
    intersection = _areas(np.maximum(opposite - corner, 0))
    union = _areas(boxes[:, 2:]) + _areas(truth[:, 2:]) - intersection
    return np.clip(np.nan_to_num(intersection / (union + np.finfo(float).eps)), 0, 1)


def _areas(sizes: np.ndarray) -> np.ndarray:
    return sizes[:, 0] * sizes[:, 1]


@_huge_numbers
def offsets_of(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Vectors in pixels from the centres of the true boxes to those of the others."""
    return (boxes[:, :2] + (boxes[:, 2:] - 1) / 2) - (truth[:, :2] + (truth[:, 2:] - 1) / 2)


@_huge_numbers
def lengths(offsets: np.ndarray, units: np.ndarray | None = None) -> np.ndarray:
    """Lengths in pixels or other positive units; NaN where a unit is 0."""
    offsets = offsets if units is None else offsets / np.where(units > 0, units, np.nan)
    return np.sqrt(offsets[:, 0] ** 2 + offsets[:, 1] ** 2)


def count_at_most(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Number of values that are at most each threshold; NaN is above all."""
    return np.searchsorted(np.sort(values), thresholds, side="right")


def _counted(boxes: Boxes, truth: Boxes) -> tuple[np.ndarray, np.ndarray]:
    rows = min(len(boxes), len(truth))
    boxes, truth = np.asarray(boxes[:rows], np.float64), np.asarray(truth[:rows], np.float64)
    present = np.isfinite(truth).all(axis=1)
    return np.where(np.isfinite(boxes).all(axis=1, keepdims=True), boxes, np.nan)[present], truth[present]
