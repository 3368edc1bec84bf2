"""OTB's measures by hand: overlap, centre error, the strict and the inclusive thresholds, and which rows count."""

import math

import numpy as np
import pytest

from mfst_jax.evaluation.metrics import SUCCESS_THRESHOLDS, centre_errors, overlaps, precision_20px, success_auc

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
