"""Which frames count as lost, in what stretches, and how that is said."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfst_jax.tracks.lost_frames import MOST_STRETCHES, describe, describe_targets, is_lost, stretches

LOST, FOLLOWED = True, False


def test_a_score_below_a_half_says_lost():
    scores = [1.0, 0.5, 0.4999, 0.0, float("nan")]
    assert is_lost(scores).tolist() == [FOLLOWED, FOLLOWED, LOST, LOST, LOST]
    assert is_lost(np.array(scores, np.float32)).tolist() == is_lost(scores).tolist()


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ([], []),
        ([0, 0, 0], []),
        ([1, 1, 1], [(0, 2)]),
        ([0, 1, 0, 1, 1, 0, 0, 1], [(1, 1), (3, 4), (7, 7)]),
    ],
)
def test_stretches_are_runs_of_lost_frames(lost: list[int], expected: list[tuple[int, int]]):
    assert stretches([bool(each) for each in lost]) == expected


@given(st.lists(st.booleans(), max_size=60))
def test_stretches_hold_the_lost_frames_and_no_others(lost: list[bool]):
    found = stretches(lost)
    assert [frame for first, last in found for frame in range(first, last + 1)] == np.flatnonzero(lost).tolist()
    assert all(first > last + 1 for (_, last), (first, _) in pairwise(found))


def frames(count: int, *lost: tuple[int, int]) -> list[bool]:
    return [any(first <= frame <= last for first, last in lost) for frame in range(count)]


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        (frames(300), None),
        (frames(300, (96, 104), (211, 299)), "lost in frames 96-104, 211-end"),
        (frames(300, (7, 7)), "lost in frame 7"),
        (frames(300, (7, 7), (9, 9)), "lost in frames 7, 9"),
        (frames(300, (299, 299)), "lost in frames 299-end"),
    ],
)
def test_what_is_said_of_the_stretches(lost: list[bool], expected: str | None):
    assert describe(lost) == expected


def test_of_many_stretches_the_first_are_named_and_the_others_counted():
    lost = frames(300, *((10 * number, 10 * number + 1) for number in range(MOST_STRETCHES + 2)))
    said = describe(lost)
    assert said is not None
    assert said.startswith("lost in frames 0-1, 10-11, 20-21, ")
    assert said.endswith(" 70-71 and 2 more stretches, 20 frames in all")
    assert (describe(lost[:82]) or "").endswith(" 70-71 and 1 more stretch, 18 frames in all")


def test_of_several_targets_those_that_are_lost_are_named():
    lost = np.array([frames(9, (2, 3)), frames(9), frames(9, (4, 8))]).T
    assert describe_targets(["car", "bike", "dog"], lost) == "car lost in frames 2-3; dog lost in frames 4-end"
    assert describe_targets(["bike"], lost[:, 1:2]) is None


def test_frames_may_count_from_another_number_than_zero():
    assert describe(frames(10, (2, 4), (7, 7), (9, 9)), 40) == "lost in frames 42-44, 47, 49-end"
    assert describe_targets(["car"], np.array([[False], [True], [False]]), 40) == "car lost in frame 41"
