"""Box algebra by hand, and its laws: centre and back, context, overlap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfst_jax import boxes

quarters = st.integers(-4000, 4000).map(lambda n: n / 4)  # exact in float32
sizes = st.integers(1, 2000).map(lambda n: n / 4)
any_box = st.tuples(quarters, quarters, sizes, sizes)


def array(*values):
    return jnp.asarray(values, jnp.float32)


@pytest.mark.parametrize(
    ("box", "centre"),
    [
        ((0, 0, 1, 1), (0, 0)),  # the pixel (0, 0) is its own centre
        ((10, 20, 4, 7), (11.5, 23)),
        ((-3, 5, 0.5, 3), (-3.25, 6)),
    ],
)
def test_the_centre_lies_between_the_outermost_pixels(box, centre):
    found, size = boxes.to_centre(array(*box))
    assert (found.tolist(), size.tolist()) == (list(centre), list(box[2:]))


@given(any_box)
def test_centre_and_back_is_the_same_box(box):
    assert boxes.from_centre(*boxes.to_centre(array(*box))).tolist() == list(box)


@given(any_box, st.floats(0.25, 4, width=32))
def test_a_box_grows_about_its_centre(box, factor):
    centre, size = boxes.to_centre(array(*box))
    grown = np.asarray(boxes.from_centre(centre, size * factor), np.float64)
    np.testing.assert_allclose(grown[:2] + (grown[2:] - 1) / 2, centre, atol=1e-3)
    np.testing.assert_allclose(grown[2:], np.multiply(box[2:], factor), rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "context", "side"),
    [
        ((10, 10), 0.5, 20),  # p = 10
        ((4, 16), 0.5, (14 * 26) ** 0.5),  # p = 10
        ((3, 12), 0.0, 6),
        ((1, 3), 1.0, 35**0.5),  # p = 4
    ],
)
def test_the_context_of_a_box(size, context, side):
    assert float(boxes.context_side(array(*size), context)) == pytest.approx(side, rel=1e-6)


def test_boxes_come_in_batches():
    batch = jnp.arange(24, dtype=jnp.float32).reshape(2, 3, 4) + 1
    centres, size = boxes.to_centre(batch)
    assert centres.shape == size.shape == (2, 3, 2)
    assert boxes.context_side(size, 0.5).shape == (2, 3)
    np.testing.assert_array_equal(boxes.from_centre(centres, size), batch)
    one_by_one = [boxes.context_side(each, 0.5) for each in size.reshape(-1, 2)]
    np.testing.assert_allclose(boxes.context_side(size, 0.5).ravel(), one_by_one, rtol=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1),
        ((0, 0, 10, 10), (5, 0, 10, 10), 50 / 150),
        ((0, 0, 10, 10), (10, 0, 10, 10), 0),  # they touch
        ((0, 0, 10, 10), (20, 30, 5, 5), 0),
        ((0, 0, 10, 10), (2, 3, 4, 5), 20 / 100),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0),
        ((0, 0, 4, 4), (1, 1, 0, 3), 0),
    ],
)
def test_overlap_by_hand(a, b, expected):
    assert float(boxes.iou(array(*a), array(*b))) == pytest.approx(expected, abs=1e-7)
    assert float(boxes.iou(array(*b), array(*a))) == pytest.approx(expected, abs=1e-7)


def test_overlap_counts_pixels():
    """On whole pixels the overlap is a count over a grid."""
    rng = np.random.default_rng(0)
    corners, sides = rng.integers(0, 20, (2, 50, 2)), rng.integers(1, 20, (2, 50, 2))
    pairs = np.concatenate([corners, sides], axis=-1).astype(np.float32)
    found = boxes.iou(jnp.asarray(pairs[0]), jnp.asarray(pairs[1]))
    for row in range(50):
        grids = np.zeros((2, 40, 40), bool)
        for grid, (x, y, w, h) in zip(grids, pairs[:, row].astype(int), strict=True):
            grid[y : y + h, x : x + w] = True
        assert float(found[row]) == pytest.approx((grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum(), abs=1e-6)


def test_the_gradient_of_an_overlap_is_finite_even_for_empty_boxes():
    gradient = jax.grad(lambda a: boxes.iou(a, jnp.zeros(4)))(jnp.zeros(4))
    assert np.isfinite(gradient).all()
