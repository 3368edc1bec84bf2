"""Intervals and comparisons: by hand where that is possible, by simulation where not."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfst_jax.evaluation.statistics import (
    Comparison,
    bootstrap_interval,
    compare,
    describe_interval,
    describe_mean,
    holm,
)


def test_an_interval_holds_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.beta(4, 2, 60))
        held += low <= 4 / 6 <= high
    assert 0.9 <= held / 200 <= 0.99


def test_an_interval_has_the_width_of_the_normal_one():
    scores = np.random.default_rng(2).normal(0.6, 0.2, 400)
    low, high = bootstrap_interval(scores)
    assert high - low == pytest.approx(2 * 1.96 * scores.std() / 20, rel=0.05)
    narrower = bootstrap_interval(scores, level=0.5)
    assert low < narrower[0] < scores.mean() < narrower[1] < high


def test_intervals_are_the_same_each_time_and_differ_by_seed():
    scores = np.random.default_rng(7).random(10)
    assert bootstrap_interval(scores) == bootstrap_interval(scores)
    assert bootstrap_interval(scores) != bootstrap_interval(scores, seed=1)


def test_weights_count_a_sequence_more_than_once():
    scores = np.array([0.2, 0.4, 0.9])
    assert bootstrap_interval(scores, weights=np.full(3, 7.0)) == pytest.approx(bootstrap_interval(scores))
    low, high = bootstrap_interval(scores, weights=np.array([1.0, 1.0, 98.0]))
    assert high == pytest.approx(0.9)
    assert low < 0.5


def test_without_spread_an_interval_is_a_point():
    assert bootstrap_interval(np.full(5, 0.7)) == pytest.approx((0.7, 0.7))


def test_one_sequence_has_no_interval():
    assert bootstrap_interval(np.array([0.7])) is None
    comparison = compare(np.array([0.5]), np.array([0.3]))
    assert (comparison.difference, comparison.interval, comparison.p_value) == (0.2, None, 1)


def test_groups_are_resampled_whole_and_means_are_over_their_scores_by_hand():
    scores, groups = np.array([0.0, 4.0, 2.0, 6.0]), ["a", "b", "a", "b"]
    # Two groups, drawn twice: a and a (mean 1), a and b (3), b and b (5) once, twice and once in four times.
    assert bootstrap_interval(scores, groups=groups, level=0.9) == (1, 5)
    assert bootstrap_interval(scores, groups=groups, level=0.4) == (3, 3)
    # The larger group counts more: (2 + 6) / 4 where each is drawn once.
    uneven = np.array([0.0, 2.0, 0.0, 6.0])
    assert bootstrap_interval(uneven, groups=["a", "a", "a", "b"], level=0.4) == (2, 2)
    weighted = bootstrap_interval(uneven, weights=np.array([1.0, 1, 1, 3]), groups=["a", "a", "a", "b"], level=0.4)
    assert weighted == (20 / 6, 20 / 6)
    assert bootstrap_interval(scores, groups=["a"] * 4) is None


def test_trackers_are_swapped_on_whole_groups():
    differences = np.ones(10)
    assert compare(differences, np.zeros(10)).p_value < 0.01
    halves = compare(differences, np.zeros(10), groups=["a"] * 5 + ["b"] * 5)
    assert halves.p_value == pytest.approx(0.5, abs=0.02)  # as both go one way in two of four cases
    assert halves.difference == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.booleans())
def test_groups_of_one_sequence_each_change_no_bit(scores, weighted):
    scores = np.array(scores)
    groups = [f"{number}" for number in range(len(scores))][::-1]
    weights = np.arange(1.0, len(scores) + 1) if weighted else None
    assert bootstrap_interval(scores, weights=weights, groups=groups) == bootstrap_interval(scores, weights=weights)
    assert compare(scores, scores[::-1], groups=groups) == compare(scores, scores[::-1])


def test_a_comparison_is_paired():
    """A small difference on every sequence is real, however much the sequences differ."""
    rng = np.random.default_rng(3)
    hard = rng.uniform(0.1, 0.9, 50)
    comparison = compare(hard + 0.01 + 0.002 * rng.normal(size=50), hard)
    assert comparison.difference == pytest.approx(0.01, abs=0.001)
    assert 0.008 < comparison.interval[0] < comparison.difference < comparison.interval[1] < 0.012
    assert comparison.p_value == 1 / 10_001


def test_a_sequence_of_weight_two_is_compared_as_two_of_one_video():
    first, second = np.array([0.5, 0.25, 0.75]), np.array([0.25, 0.5, 0.25])
    weighted = compare(first, second, weights=np.array([2.0, 1.0, 1.0]))
    twice = [0, 0, 1, 2]
    assert weighted == compare(first[twice], second[twice], groups=["a", "a", "b", "c"])
    assert weighted.difference == 0.1875


def test_a_comparison_the_other_way_round():
    rng = np.random.default_rng(4)
    first, second = rng.random((2, 20))
    there, back = compare(first, second), compare(second, first)
    assert there.difference == -back.difference
    assert there.p_value == back.p_value
    np.testing.assert_allclose(there.interval, (-back.interval[1], -back.interval[0]))


def test_the_p_value_is_the_share_of_signs():
    differences = np.array([3.0, 1.0, -2.0, 4.0, 2.0])
    signs = itertools.product((-1, 1), repeat=5)
    exact = np.mean([abs(np.dot(sign, differences)) >= abs(differences.sum()) for sign in signs])
    assert compare(differences, np.zeros(5)).p_value == pytest.approx(exact, abs=0.015)


def test_equal_trackers_do_not_differ():
    scores = np.random.default_rng(5).random(30)
    comparison = compare(scores, scores)
    assert (comparison.difference, comparison.interval, comparison.p_value) == (0, (0, 0), 1)
    assert compare(scores[:1], scores[1:2]).p_value == 1


def test_chance_is_rarely_called_real():
    rng = np.random.default_rng(6)
    alarms = [compare(*rng.normal(size=(2, 25))).p_value < 0.05 for _ in range(200)]
    assert 0.01 <= np.mean(alarms) <= 0.1


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5]) == [0.5]
    assert holm([0.6, 0.9]) == [1, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_raises_and_keeps_the_order(p_values):
    raised = holm(p_values)
    assert all(low <= high <= 1 for low, high in zip(p_values, raised, strict=True))
    assert [raised[i] for i in np.argsort(p_values, kind="stable")] == sorted(raised)
    assert min(raised) == pytest.approx(min(1, len(p_values) * min(p_values)))


def test_means_differences_and_intervals_are_written_in_one_way():
    assert describe_interval((0.5, 0.75)) == "0.500 to 0.750"
    assert describe_interval((-0.5, 0.75), signed=True) == "-0.500 to +0.750"
    assert describe_interval(None) == ""
    assert describe_mean(0.625, (0.5, 0.75)) == "0.625 (0.500 to 0.750)"
    assert describe_mean(0.625, None) == "0.625"
    assert str(Comparison(0.125, (-0.5, 0.75), 1.0)) == "+0.125 (-0.500 to +0.750)"
    assert str(Comparison(0.125, None, 1.0)) == "+0.125"


def test_thousands_of_sequences_need_little_memory():
    scores = np.random.default_rng(8).random((2, 1000))
    tracemalloc.start()
    try:
        compare(*scores)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 50e6  # 10,000 resamples as float64 are 80e6 bytes
