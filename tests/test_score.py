"""The score by hand: normalised correlation against a loop, the place it is read at, and its scale."""

import math
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.config import Config
from mfst_jax.correlation import cross_correlate
from mfst_jax.presets import PAPER
from mfst_jax.score import cosine, mean_similarity, peak_contrast_score, window_energy


def features(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def normalised_correlation(exemplar, search):
    """The cosine of each window, as a step comes by it: from the response and the window's energy."""
    product = cross_correlate(exemplar, search[None])[0]
    rows, columns = product.shape
    squares = jnp.sum(jnp.square(search), axis=-1)
    height, width = exemplar.shape[:2]
    energy = jnp.stack(
        [jnp.stack([jnp.sum(squares[i : i + height, j : j + width]) for j in range(columns)]) for i in range(rows)]
    )
    return cosine(exemplar, product, energy)


def test_the_energy_of_a_window_is_its_sum_of_squares():
    search = features(2, 6, 7, 5)
    found = window_energy(jnp.asarray(search), 3)
    assert found.shape == (2, 4, 5)
    for i in range(4):
        for j in range(5):
            expected = np.square(search[1, i : i + 3, j : j + 3], dtype=float).sum()
            assert found[1, i, j] == pytest.approx(expected, rel=1e-5)


def test_normalised_correlation_is_the_cosine_of_each_window():
    exemplar, search = features(3, 2, 5), features(6, 7, 5, seed=1)
    found = normalised_correlation(jnp.asarray(exemplar), jnp.asarray(search))
    assert found.shape == (4, 6)
    for i in range(4):
        for j in range(6):
            z, x = exemplar.ravel().astype(float), search[i : i + 3, j : j + 2].ravel().astype(float)
            assert found[i, j] == pytest.approx(z @ x / math.sqrt((z @ z) * (x @ x)), abs=1e-5)


def test_the_target_itself_has_similarity_one_whatever_its_brightness():
    search = features(6, 7, 5, seed=2)
    found = normalised_correlation(jnp.asarray(3 * search[2:5, 1:4]), jnp.asarray(0.1 * search))
    assert found[2, 1] == pytest.approx(1, abs=1e-5)
    assert np.argmax(found) == 2 * 5 + 1


def test_no_features_have_no_similarity():
    search = features(6, 7, 5).clip(min=0)
    search[:4] = 0
    found = normalised_correlation(jnp.ones((3, 3, 5)), jnp.asarray(search))
    np.testing.assert_array_equal(found[:2], 0)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(normalised_correlation(jnp.zeros((3, 3, 5)), jnp.asarray(search)), 0)


def test_all_layers_of_all_models_count_alike_whatever_their_factors():
    config = Config(
        siamfc_layers=("conv5",),
        alexnet_layers=("conv4", "conv5"),
        siamfc_factors=(1.0, 1.0, 0.5),
        alexnet_factors=(1.0, 0.1, 3.0),
    )
    exemplar = {
        "siamfc": {"conv5": features(6, 6, 3)},
        "alexnet": {"conv4": features(8, 8, 2), "conv5": features(6, 6, 2)},
    }
    search = {
        "siamfc": {"conv5": features(22, 22, 3, seed=3)},
        "alexnet": {"conv4": features(24, 24, 2, seed=4), "conv5": features(22, 22, 2, seed=5)},
    }
    factors = {"siamfc": {"conv5": 0.5}, "alexnet": {"conv4": 0.1, "conv5": 3.0}}
    exemplar, search = (
        {m: {k: jnp.asarray(v) for k, v in f.items()} for m, f in t.items()} for t in (exemplar, search)
    )
    responses = {
        m: {k: factors[m][k] * cross_correlate(exemplar[m][k], x[None])[0] for k, x in f.items()}
        for m, f in search.items()
    }
    maps = [normalised_correlation(exemplar[m][k], search[m][k]) for m in search for k in search[m]]
    found = mean_similarity(exemplar, responses, search, config)
    np.testing.assert_allclose(found, sum(maps) / 3, atol=1e-5)


@pytest.mark.parametrize(
    ("offset", "row", "column"),
    [((0.0, 0.0), 8, 8), ((64.0, -64.0), 0, 16), ((-8.0, 16.0), 10, 7), ((3.9, -3.9), 8, 8), ((4.1, 0.0), 8, 9)],
)
def test_the_contrast_is_read_at_the_cell_nearest_to_the_new_place(offset, row, column):
    similarity = jnp.zeros((17, 17)).at[row, column].set(0.5)
    config = replace(PAPER, score_midpoint=0.3, score_slope=10.0)
    expected = 1 / (1 + math.exp(-10 * (0.5 - 0.5 / 289 - 0.3)))
    assert float(peak_contrast_score(similarity, jnp.asarray(offset), jnp.mean(similarity), config)) == pytest.approx(
        expected, rel=1e-4
    )


def test_a_flat_similarity_says_lost():
    assert float(peak_contrast_score(jnp.full((17, 17), 0.9), jnp.zeros(2), jnp.float32(0.9), PAPER)) < 0.05
