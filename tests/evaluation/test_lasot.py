"""LaSOT's measures against its toolkit's formulas, by hand and row by row."""

import math

import numpy as np
import pytest
from data_sets import whole_lasot
from hypothesis import given
from hypothesis import strategies as st
from layouts import boxes_of, from_one, write_rows

from mfst_jax.evaluation import Results, lasot, load, score

NAN = float("nan")


def toolkit(results, truth, absent, normalised=False):
    """The formulas of LaSOT's toolkit, one row after the other: shares of success and of precision by threshold."""
    results = [list(row) for row in results]
    for row in range(1, len(results)):
        if any(math.isnan(number) for number in results[row]) or results[row][2] <= 0 or results[row][3] <= 0:
            results[row] = list(results[row - 1])
    results[0] = list(truth[0])
    overlaps, errors = [], []
    for one, two, missing in zip(results, truth, absent, strict=True):
        if missing:
            continue
        scale = two[2:] if normalised else (1, 1)
        centres = [
            [(box[axis] + (box[axis + 2] - 1) / 2) / scale[axis] if scale[axis] else NAN for axis in (0, 1)]
            for box in (one, two)
        ]
        sides = [
            max(0, min(one[a] + one[a + 2] - 1, two[a] + two[a + 2] - 1) - max(one[a], two[a]) + 1) for a in (0, 1)
        ]
        shared = sides[0] * sides[1]
        positive = all(number > 0 for number in two)
        overlaps.append(shared / (one[2] * one[3] + two[2] * two[3] - shared) if positive else -1)
        errors.append(math.dist(*centres) if positive else -1)
    success = [sum(each > step / 20 for each in overlaps) / len(truth) for step in range(21)]
    unit = 100 if normalised else 1
    return success, [sum(each <= step / unit for each in errors) / len(truth) for step in range(51)]


def test_a_track_by_hand():
    truth = np.array([(11, 11, 10, 20)] * 5, np.float64)
    absent = np.array([False, False, False, False, True])
    boxes = np.array(
        [(500, 500, 1, 1), (11, 11, 10, 20), (16, 11, 10, 20), (11, 11, 0, 20), (11, 11, 10, 20)], np.float64
    )
    found = lasot.measure(lasot.carried(boxes), truth, absent)
    # Overlaps: 1 (given), 1, 1/3, 1/3 (the row before again) and one frame without the target; 5 frames in all.
    expected = [4 / 5] * 7 + [2 / 5] * 13 + [0]
    np.testing.assert_allclose(found.success_curve, expected)
    assert found.success_auc == pytest.approx((7 * 4 + 13 * 2) / 5 / 21)
    assert found.average_overlap == pytest.approx((1 + 1 + 1 / 3 + 1 / 3) / 5)
    # Errors: 0, 0, 5 px and 5 px; normalised 0, 0, 0.5 and 0.5 widths.
    np.testing.assert_allclose(found.precision_curve, [2 / 5] * 5 + [4 / 5] * 46)
    assert found.precision_20px == 4 / 5
    np.testing.assert_allclose(found.normalised_curve, [2 / 5] * 50 + [4 / 5])
    assert found.normalised_precision == 2 / 5  # at 0.2


@pytest.mark.parametrize("row", [(5, 5, NAN, 3), (NAN, 5, 3, 3), (5, 5, 3, 0), (5, 5, -1, 3), (5, np.inf, 3, 3)])
def test_a_row_without_a_box_repeats_the_row_before_it(row):
    boxes = np.array([(1, 2, 3, 4), row, row, (6, 7, 8, 9)], np.float64)
    np.testing.assert_array_equal(lasot.carried(boxes), boxes[[0, 0, 0, 3]])


def test_a_true_box_that_begins_outside_is_a_miss_of_the_overlap_and_a_hit_of_the_centre():
    truth = np.array([(11, 11, 10, 20), (0, 11, 10, 20), (NAN,) * 4], np.float64)
    found = lasot.measure(np.add(truth, (0, 300, 0, 0)), truth, np.zeros(3, bool))
    assert found.success_curve[0] == found.average_overlap == 1 / 3
    assert found.precision_curve[0] == found.normalised_curve[0] == 1


places = st.integers(-2, 60)
sizes = st.integers(0, 30)
rows = st.tuples(places, places, sizes, sizes)


@given(st.lists(st.tuples(rows, rows, st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_any_track_has_the_toolkit_s_figures(frames):
    truth = np.array([true for true, *_ in frames], np.float64)
    boxes = np.array([(NAN,) * 4 if lost else box for _, box, lost, _ in frames], np.float64)
    boxes[0], truth[0] = (1, 1, 9, 9), (3, 3, 7, 9)
    absent = np.array([False, *(each[3] for each in frames[1:])])
    ours = np.where((truth[:, 2:] <= 0).any(axis=1, keepdims=True), NAN, truth)  # as they are read
    found = lasot.measure(lasot.carried(boxes), ours, absent)
    success, precision = toolkit(boxes, truth, absent)
    _, normalised = toolkit(boxes, truth, absent, normalised=True)
    # An overlap or a normalised error that lies on a threshold may be rounded to either side of it.
    np.testing.assert_array_equal(found.precision_curve, precision)
    np.testing.assert_allclose(found.success_curve, success, atol=1e-9 + on_threshold(boxes, truth, overlap_of, 20))
    np.testing.assert_allclose(
        found.normalised_curve, normalised, atol=1e-9 + on_threshold(boxes, truth, error_of, 100)
    )


def overlap_of(one, two):
    sides = [max(0, min(one[a] + one[a + 2], two[a] + two[a + 2]) - max(one[a], two[a])) for a in (0, 1)]
    union = one[2] * one[3] + two[2] * two[3] - sides[0] * sides[1]
    return sides[0] * sides[1] / union if union else 0.0


def error_of(one, two):
    if min(two[2:]) <= 0:
        return 0.003
    return math.hypot(*((one[a] + one[a + 2] / 2 - two[a] - two[a + 2] / 2) / two[a + 2] for a in (0, 1)))


def on_threshold(boxes, truth, value_of, thresholds):
    """Share of the rows whose value lies on a threshold, but for 0."""
    values = [thresholds * value_of(*each) for each in zip(lasot.carried(boxes), truth, strict=True)]
    return sum(value > 0 and abs(value - round(value)) < 1e-9 for value in values) / len(truth)


def test_lasot_is_scored_by_its_own_rules(tmp_path):
    root = whole_lasot(tmp_path / "LaSOT", ["airplane-1", "airplane-2"], boxes_of(4), out_of_view=[3])
    write_rows(tmp_path / "results/MFST/airplane-1.txt", from_one(boxes_of(4)))
    dataset = load(root)
    assert (dataset.protocol, dataset.title) == ("lasot", "LaSOT (1)")
    summary = score(Results(tmp_path / "results/MFST"), dataset)
    assert summary.overall.precision_20px == summary.overall.normalised_precision == 3 / 4
    assert summary.overall.success_curve[0] == 3 / 4
    assert summary.sequences["airplane-1"].frames == 4
