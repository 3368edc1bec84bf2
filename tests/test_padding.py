"""Padded frames: what they hold, and that a CPU device takes them as they lie."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfst_jax.errors import InputError
from mfst_jax.padding import ALIGNMENT, BUCKET, empty, pad, padded_size


@given(height=st.integers(1, 600), width=st.integers(1, 600))
def test_the_frame_then_black(height, width):
    frame = np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)
    padded = pad(frame)
    assert padded.shape == (*padded_size((height, width)), 3)
    assert all(
        side % BUCKET == 0 and side - BUCKET < real
        for side, real in zip(padded.shape[:2], (height, width), strict=True)
    )
    np.testing.assert_array_equal(padded[:height, :width], frame)
    assert not padded[height:].any()
    assert not padded[:, width:].any()


def test_a_size_of_ones_own():
    padded = pad(np.ones((3, 5, 3), np.uint8), (4, 5))
    assert padded.shape == (4, 5, 3)
    assert padded[:3].all()
    assert not padded[3].any()


@pytest.mark.parametrize("size", [(2, 5), (3, 4)])
def test_a_size_below_the_frame_is_refused(size):
    with pytest.raises(InputError, match=r"frame: .*at most {} x {}.*3 x 5".format(*size)):
        pad(np.ones((3, 5, 3), np.uint8), size)


def test_float_frames_stay_float():
    padded = pad(np.full((3, 5, 3), 0.5, np.float32))
    assert padded.dtype == np.float32
    assert padded.sum() == 0.5 * 45


def test_what_happens_to_the_frame_later_is_of_no_matter():
    frame = np.full((9, 9, 3), 5, np.uint8)
    on_device = jax.device_put(pad(frame))
    frame[:] = 0
    assert int(on_device[0, 0, 0]) == 5


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="needs a CPU device")
def test_a_cpu_device_takes_it_without_a_copy():
    padded = pad(np.zeros((480, 640, 3), np.uint8))
    assert jax.device_put(padded).unsafe_buffer_pointer() == padded.ctypes.data


@pytest.mark.parametrize(
    ("shape", "dtype"), [((3, 5), np.float32), ((7,), np.uint8), ((0, 4), np.int64), ((), np.int16)]
)
def test_arrays_of_any_kind_are_aligned(shape, dtype):
    for _ in range(8):
        array = empty(shape, dtype)
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.ctypes.data % ALIGNMENT == 0 or not array.size
