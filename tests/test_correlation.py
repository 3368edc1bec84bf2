"""Cross-correlation: both forms against loops, against each other, and under `vmap`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.correlation import cross_correlate
from mfst_jax.fast.correlation import cross_correlate_by_taps

both = pytest.mark.parametrize("correlate", [cross_correlate, cross_correlate_by_taps])


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def reference(exemplar, search):
    exemplar, search = np.asarray(exemplar, np.float64), np.asarray(search, np.float64)
    high, wide, _ = exemplar.shape
    rows, columns = search.shape[1] - high + 1, search.shape[2] - wide + 1
    response = np.empty((len(search), rows, columns))
    for n in range(len(search)):
        for i in range(rows):
            for j in range(columns):
                response[n, i, j] = np.sum(exemplar * search[n, i : i + high, j : j + wide])
    return response


@both
@pytest.mark.parametrize(
    ("exemplar", "search"),
    [((6, 6, 8), (3, 22, 22, 8)), ((10, 10, 4), (1, 26, 26, 4)), ((2, 3, 5), (2, 7, 4, 5)), ((4, 4, 3), (2, 4, 4, 3))],
)
def test_it_is_the_sum_of_products_at_each_shift(correlate, exemplar, search):
    z, x = normal(*exemplar), normal(*search, seed=1)
    expected = reference(z, x)
    found = correlate(z, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(jax.jit(correlate)(z, x), expected, atol=1e-5 * np.abs(expected).max())


@both
def test_by_hand_and_without_a_flip(correlate):
    exemplar = jnp.asarray([[1.0, 2.0]])[..., None]
    search = jnp.asarray([[[3.0, 5.0, 7.0]]])[..., None]
    assert correlate(exemplar, search).tolist() == [[[1 * 3 + 2 * 5, 1 * 5 + 2 * 7]]]


@both
def test_the_peak_is_where_the_exemplar_was_cut_out(correlate):
    search = normal(1, 26, 26, 16)
    response = correlate(search[0, 3:13, 11:21], search)[0]
    assert jnp.unravel_index(jnp.argmax(response), (17, 17)) == (3, 11)


@both
def test_each_target_of_a_batch_has_its_own_response(correlate):
    exemplars, searches = normal(3, 4, 4, 6), normal(3, 2, 9, 8, 6, seed=1)
    found = jax.vmap(correlate)(exemplars, searches)
    shared = jax.vmap(correlate, in_axes=(0, None))(exemplars, searches[0])
    for index in range(3):
        np.testing.assert_allclose(found[index], reference(exemplars[index], searches[index]), atol=1e-4)
        np.testing.assert_allclose(shared[index], reference(exemplars[index], searches[0]), atol=1e-4)


def test_both_forms_agree_on_values_and_gradients():
    z, x = normal(6, 6, 32), normal(3, 22, 22, 32, seed=1)
    values, gradients = [], []
    for correlate in (cross_correlate, cross_correlate_by_taps):
        values.append(correlate(z, x))
        gradients.append(jax.grad(lambda z, x, f=correlate: jnp.sum(f(z, x) ** 2), argnums=(0, 1))(z, x))
    np.testing.assert_allclose(*values, atol=1e-5 * float(jnp.max(values[0])))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(a).max()), *gradients)
