"""Pairs as functions of seed and step."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sequences import video

from mfst_jax.train.data.pairs import load, sample, shuffled

lengths = st.lists(
    st.lists(st.integers(0, 400), min_size=2, max_size=9, unique=True).map(sorted), min_size=1, max_size=4
)


@given(lengths, st.integers(0, 2**31), st.integers(0, 10**7), st.integers(0, 120))
def test_pairs_are_of_one_video_and_close_and_of_two_frames_where_they_can_be(frames, seed, step, gap):
    videos = [video(str(number), each) for number, each in enumerate(frames)]
    for which, exemplar, search in sample(videos, 16, seed=seed, step=step, max_frame_gap=gap):
        numbers = videos[which].frames
        assert abs(numbers[exemplar] - numbers[search]) <= gap
        neighbours = np.abs(numbers - numbers[exemplar]) <= gap
        assert (exemplar == search) == (neighbours.sum() == 1)


def test_a_pair_follows_from_seed_step_and_row_alone():
    videos = [video("a", range(30)), video("b", range(5))]

    def draw(count=8, seed=3, step=7):
        return sample(videos, count, seed=seed, step=step, max_frame_gap=100)

    np.testing.assert_array_equal(draw(), draw())
    np.testing.assert_array_equal(draw(count=20)[:8], draw())
    assert (draw(step=8) != draw()).any()
    assert (draw(seed=4) != draw()).any()


def test_every_video_is_as_likely_however_long_and_every_partner_too():
    videos = [video("long", range(100)), video("short", range(3))]
    pairs = sample(videos, 6000, seed=0, step=0, max_frame_gap=2)
    short = pairs[pairs[:, 0] == 1]
    assert abs(len(short) / 6000 - 0.5) < 0.03
    _, counts = np.unique(short[:, 1:], axis=0, return_counts=True)
    assert len(counts) == 6  # ordered pairs of two of three frames
    assert counts.min() > 0.8 * counts.max()


@given(st.integers(1, 40), st.integers(1, 16), st.integers(0, 2**31))
def test_a_pool_is_taken_once_an_epoch_in_a_new_order_each_time(size, batch, seed):
    steps = 3 * size
    taken = np.concatenate([shuffled(size, batch, seed=seed, step=step) for step in range(steps)])
    epochs = taken[: len(taken) // size * size].reshape(-1, size)
    assert (np.sort(epochs, axis=1) == np.arange(size)).all()
    if size > 10:
        assert (epochs[0] != epochs[1]).any()


def test_loading_reads_the_crops_of_the_pairs():
    videos = [video("a", range(4), seed=1), video("b", range(4), seed=2)]
    crops = load(videos, np.array([[1, 0, 3], [0, 2, 2]]))
    np.testing.assert_array_equal(crops.exemplar, np.stack([videos[1].read(0), videos[0].read(2)]))
    np.testing.assert_array_equal(crops.search, np.stack([videos[1].read(3), videos[0].read(2)]))
