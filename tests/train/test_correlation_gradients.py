"""Cross-correlation in training: values and gradients are those that JAX derives."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.fast.correlation import cross_correlate_by_taps
from mfst_jax.train.correlation_gradients import MANY_CELLS, correlate_all, correlate_by_taps, correlate_pairs
from mfst_jax.train.spectral_correlation import correlate_by_spectra, spectra


def draw(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


SIZES = pytest.mark.parametrize(
    ("taps", "side"), [((1, 1), (4, 5)), ((2, 3), (7, 5)), ((6, 6), (22, 22)), ((4, 4), (4, 4)), ((10, 9), (26, 25))]
)


@SIZES
@pytest.mark.parametrize("correlate", [correlate_by_taps, correlate_by_spectra])
def test_values_and_gradients_are_those_that_jax_derives(
    correlate: Callable[..., jax.Array], taps: tuple[int, int], side: tuple[int, int]
):
    exemplars, searches = draw(0, 3, *taps, 5), draw(1, 2, *side, 5)
    plain = jax.vmap(cross_correlate_by_taps, in_axes=(0, None))
    ours, transposed = jax.vjp(correlate, exemplars, searches)
    theirs, expected = jax.vjp(plain, exemplars, searches)
    np.testing.assert_allclose(ours, theirs, atol=1e-6 * np.abs(theirs).max())
    towards = draw(2, *ours.shape)
    for found, derived in zip(transposed(towards), expected(towards), strict=True):
        np.testing.assert_allclose(found, derived, atol=1e-5 * np.abs(derived).max())


@pytest.mark.parametrize(("height", "width"), [(5, 6), (6, 5), (1, 2)])
def test_spectra_are_the_discrete_fourier_transform(height: int, width: int):
    maps = draw(0, 3, min(height, 4), min(width, 3), 2)
    found = np.asarray(spectra(maps, height, width)).reshape(height // 2 + 1, width, 2, 3, 2)
    expected = np.fft.rfft2(maps, (width, height), axes=(2, 1))  # half of the frequencies are of the last axis named
    for number in range(3):
        real, imaginary = found[:, :, 0, number], found[:, :, 1, number]
        np.testing.assert_allclose(real + 1j * imaginary, expected[number], atol=1e-5)


def test_many_exemplars_are_correlated_by_spectra(monkeypatch: pytest.MonkeyPatch):
    few, many = draw(0, MANY_CELLS // 4 - 1, 2, 2, 3), draw(0, MANY_CELLS // 4, 2, 2, 3)
    searches = draw(1, 2, 5, 5, 3)
    by_taps, by_spectra = correlate_all(few, searches), correlate_all(many, searches)
    np.testing.assert_array_equal(by_taps, correlate_by_taps(few, searches))
    np.testing.assert_array_equal(by_spectra, correlate_by_spectra(many, searches))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    np.testing.assert_array_equal(correlate_all(many, searches), correlate_by_taps(many, searches))


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
