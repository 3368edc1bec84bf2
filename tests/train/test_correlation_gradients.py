"""Cross-correlation in training: values and gradients are those that JAX derives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.fast.correlation import cross_correlate_by_taps
from mfst_jax.train.correlation_gradients import correlate_all, correlate_pairs


def draw(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize(("taps", "side"), [((1, 1), (4, 5)), ((2, 3), (7, 5)), ((6, 6), (22, 22)), ((4, 4), (4, 4))])
def test_gradients_are_those_that_jax_derives(taps: tuple[int, int], side: tuple[int, int]):
    exemplars, searches = draw(0, 3, *taps, 5), draw(1, 2, *side, 5)
    plain = jax.vmap(cross_correlate_by_taps, in_axes=(0, None))
    ours, transposed = jax.vjp(correlate_all, exemplars, searches)
    theirs, expected = jax.vjp(plain, exemplars, searches)
    np.testing.assert_array_equal(ours, theirs)
    towards = draw(2, *ours.shape)
    for found, derived in zip(transposed(towards), expected(towards), strict=True):
        np.testing.assert_allclose(found, derived, atol=1e-5 * np.abs(derived).max())


def test_gradients_of_pairs_are_those_of_each():
    exemplars, searches = draw(0, 3, 4, 4, 5), draw(1, 3, 9, 9, 5)
    ours, transposed = jax.vjp(correlate_pairs, exemplars, searches)
    towards = draw(2, *ours.shape)
    found = transposed(towards)
    for number in range(3):
        one = slice(number, number + 1)
        _, of_one = jax.vjp(lambda z, x: cross_correlate_by_taps(z[0], x), exemplars[one], searches[one])
        for all_of_them, derived in zip(found, of_one(towards[one]), strict=True):
            np.testing.assert_allclose(all_of_them[one], derived, atol=1e-5 * np.abs(derived).max())


def test_pairs_are_the_diagonal_of_all_with_all():
    exemplars, searches = draw(0, 3, 6, 6, 4), draw(1, 3, 22, 22, 4)
    both = correlate_all(exemplars, searches)
    np.testing.assert_allclose(both[jnp.arange(3), jnp.arange(3)], correlate_pairs(exemplars, searches), rtol=1e-5)
    np.testing.assert_allclose(both[2, 0], cross_correlate_by_taps(exemplars[2], searches[:1])[0], rtol=1e-5)
