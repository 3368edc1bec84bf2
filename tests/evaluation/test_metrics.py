"""Measures by hand: overlap, centre error, the strict and the inclusive thresholds, and which rows count."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mfst_jax.evaluation.metrics import (
    NORMALISED_THRESHOLDS,
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    average,
    centre_errors,
    clip,
    lengths,
    measure,
    offsets_of,
    overlaps,
    precision_20px,
    success_auc,
)

NAN = float("nan")


def rows(*boxes):
    return np.array(boxes, np.float64)


def with_overlap(share):
    """A box in a 100 x 1 one that covers this share of it."""
    return rows((0, 0, 100 * share, 1)), rows((0, 0, 100, 1))


def test_overlaps_by_hand():
    boxes = rows((0, 0, 10, 10), (0, 0, 10, 10), (0, 0, 10, 10), (0, 0, 0, 0))
    truth = rows((0, 0, 10, 10), (5, 0, 10, 10), (50, 50, 9, 9), (0, 0, 0, 0))
    np.testing.assert_allclose(overlaps(boxes, truth), [1, 1 / 3, 0, 0])


def test_centre_errors_by_hand():
    boxes = rows((0, 0, 10, 10), (0, 0, 3, 5))
    truth = rows((3, 4, 10, 10), (0, 0, 9, 13))  # 3-4-5; centres (1, 2) and (4, 6)
    np.testing.assert_allclose(centre_errors(boxes, truth), [5, 5])


def test_thresholds_are_the_21_of_otb():
    np.testing.assert_allclose(SUCCESS_THRESHOLDS, [step / 20 for step in range(21)])


@pytest.mark.parametrize(
    ("share", "above"),
    [
        (0.0, 0),  # not above the threshold 0
        (0.01, 1),
        (0.5, 10),  # above 0, .05 ... .45, and exactly on .5
        (0.501, 11),
        (1.0, 20),  # a perfect track scores 20 / 21
    ],
)
def test_an_overlap_on_a_threshold_does_not_count(share, above):
    assert success_auc(*with_overlap(share)) == pytest.approx(above / 21)


def test_success_is_the_mean_over_rows():
    boxes = np.concatenate([with_overlap(share)[0] for share in (1.0, 0.5, 0.0)])
    truth = np.repeat(with_overlap(1)[1], 3, axis=0)
    assert success_auc(boxes, truth) == pytest.approx((20 + 10 + 0) / 21 / 3)


def test_an_error_of_exactly_20_pixels_counts():
    truth = rows(*[(0, 0, 10, 10)] * 4)
    boxes = rows((0, 0, 10, 10), (12, 16, 10, 10), (0, 20.01, 10, 10), (300, 0, 10, 10))
    assert precision_20px(boxes, truth) == 0.5


@pytest.mark.parametrize("absent", [(NAN, NAN, NAN, NAN), (0, 0, NAN, 10), (0, 0, float("inf"), 1)])
def test_rows_without_a_target_do_not_count(absent):
    boxes = rows((0, 0, 10, 10), (500, 500, 10, 10), (0, 0, 10, 10))
    truth = rows((0, 0, 10, 10), absent, (40, 0, 10, 10))
    np.testing.assert_allclose(overlaps(boxes, truth), [1, 0])
    np.testing.assert_allclose(centre_errors(boxes, truth), [0, 40])
    assert success_auc(boxes, truth) == pytest.approx(10 / 21)
    assert precision_20px(boxes, truth) == 0.5


@pytest.mark.parametrize("longer", ["boxes", "truth"])
def test_rows_that_only_one_side_has_do_not_count(longer):
    one, two = rows((0, 0, 10, 10)), rows((0, 0, 10, 10), (90, 90, 10, 10))
    boxes, truth = (two, one) if longer == "boxes" else (one, two)
    assert success_auc(boxes, truth) == pytest.approx(20 / 21)
    assert precision_20px(boxes, truth) == 1


def test_a_lost_box_counts_as_a_miss():
    """NaN from a tracker is no licence to leave the row out."""
    boxes, truth = rows((NAN, NAN, NAN, NAN), (0, 0, 10, 10)), rows(*[(0, 0, 10, 10)] * 2)
    assert success_auc(boxes, truth) == pytest.approx(10 / 21)
    assert precision_20px(boxes, truth) == 0.5


def test_no_row_that_counts_is_nan():
    nothing = rows((NAN, NAN, NAN, NAN))
    assert math.isnan(success_auc(nothing, nothing))
    assert math.isnan(precision_20px(nothing, nothing))


def test_float32_and_integer_boxes_measure_alike():
    boxes, truth = rows((1, 2, 30, 40), (7, 8, 20, 20)), rows((3, 4, 30, 40), (5, 5, 25, 21))
    for kind in (np.float32, np.int64):
        np.testing.assert_allclose(overlaps(boxes.astype(kind), truth), overlaps(boxes, truth))


def test_curves_by_hand():
    truth = rows(*[(0, 0, 10, 20)] * 4)
    boxes = rows((0, 0, 10, 20), (1, 2, 10, 20), (3, 4, 10, 20), (60, 0, 10, 20))
    measures = measure(boxes, truth)
    errors = [0, math.sqrt(5), 5, 60]
    np.testing.assert_array_equal(
        measures.precision_curve, [sum(error <= pixels for error in errors) / 4 for pixels in range(51)]
    )
    errors = [0, math.hypot(0.1, 0.1), math.hypot(0.3, 0.2), 6]
    np.testing.assert_array_equal(
        measures.normalised_curve, [sum(error <= step / 100 for error in errors) / 4 for step in range(51)]
    )
    np.testing.assert_allclose(lengths(offsets_of(boxes, truth), truth[:, 2:]), errors)
    ious = [1, 9 * 18 / (400 - 9 * 18), 7 * 16 / (400 - 7 * 16), 0]
    np.testing.assert_array_equal(
        measures.success_curve, [sum(iou > step / 20 for iou in ious) / 4 for step in range(21)]
    )
    assert measures.average_overlap == pytest.approx(sum(ious) / 4)
    assert measures.success_auc == np.mean(measures.success_curve)
    assert measures.normalised_precision == np.mean(measures.normalised_curve)
    assert measures.precision_20px == 0.75


@pytest.mark.parametrize(("share", "rates"), [(0.5, (0, 0)), (0.51, (1, 0)), (0.75, (1, 0)), (0.76, (1, 1))])
def test_success_rates_are_strict(share, rates):
    measures = measure(*with_overlap(share))
    assert (measures.success_rate_50, measures.success_rate_75) == rates


def test_a_true_box_without_area_is_missed():
    measures = measure(rows((0, 0, 0, 0)), rows((0, 0, 0, 0)))
    assert measures.success_auc == 0
    assert measures.normalised_precision == 0
    assert measures.precision_20px == 1


def test_average_weighs_curves_and_numbers_alike():
    good, bad = measure(*with_overlap(1)), measure(*with_overlap(0))
    for weights, share in ((None, 0.5), (np.array([3.0, 1.0]), 0.75)):
        mean = average([good, bad], weights)
        assert mean.average_overlap == pytest.approx(share)
        assert mean.success_auc == pytest.approx(share * 20 / 21)
        np.testing.assert_allclose(mean.success_curve, share * good.success_curve)


def test_clip_moves_a_box_into_the_frame_at_its_full_width():
    """GOT-10k's toolkit does so on the left and at the top; on the right and below it cuts."""
    boxes = rows((-10, -5, 20, 30), (90, 40, 20, 30), (200, 10, 5, 5), (1, 2, 3, 4), (NAN, 0, 1, 1))
    clipped = clip(boxes, (50, 100))
    np.testing.assert_array_equal(
        clipped, rows((0, 0, 20, 30), (90, 40, 10, 10), (100, 10, 0, 5), (1, 2, 3, 4), (NAN, 0, NAN, 1))
    )
    assert boxes[0, 0] == -10


whole = st.integers(-30, 60)
boxes_of_whole_numbers = arrays(np.float64, (12, 4), elements=whole.map(float))


@given(boxes_of_whole_numbers, boxes_of_whole_numbers.map(np.abs))
def test_curves_are_the_shares_that_they_claim_to_be(boxes, truth):
    measures = measure(boxes, truth)
    np.testing.assert_array_equal(
        measures.success_curve, np.mean(overlaps(boxes, truth)[:, None] > SUCCESS_THRESHOLDS, axis=0)
    )
    np.testing.assert_array_equal(
        measures.precision_curve, np.mean(centre_errors(boxes, truth)[:, None] <= PRECISION_THRESHOLDS, axis=0)
    )
    errors = lengths(offsets_of(boxes, truth), truth[:, 2:])
    np.testing.assert_array_equal(measures.normalised_curve, np.mean(errors[:, None] <= NORMALISED_THRESHOLDS, axis=0))


@given(arrays(np.float64, (5, 4)), arrays(np.float64, (5, 4)))
def test_no_box_breaks_the_measures(boxes, truth):
    """Infinite, huge, negative or no number: each score is a share, or NaN where no row counts."""
    measures = measure(boxes, truth)
    counted = np.isfinite(truth).all(axis=1).any()
    for curve in (measures.success_curve, measures.precision_curve, measures.normalised_curve):
        assert np.all((curve >= 0) & (curve <= 1)) if counted else np.isnan(curve).all()
    assert 0 <= measures.average_overlap <= 1 or not counted
