"""Calibrated response factors are a minimum, whatever they were before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.config import LAYERS
from mfst_jax.train.calibration import calibrate
from mfst_jax.train.losses import balanced_logistic, labels
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import TAPS, Correlations, Trainable, responses_from_correlations

CHANNELS = 4


@pytest.fixture(scope="module")
def kept() -> Correlations:
    """Responses that are higher on the target by about their noise."""
    draws = np.random.default_rng(0)
    truth = labels().reshape(-1, 1)
    maps = {
        layer: ((draws.standard_normal((6, 289, CHANNELS)) + truth + 3) * 10**k / TAPS[layer]).astype(np.float32)
        for k, layer in enumerate(LAYERS)
    }
    means = {layer: np.ones((6, CHANNELS), np.float32) for layer in LAYERS}
    return Correlations(maps, means, means)


def loss(kept: Correlations, recipe: Recipe, biases: dict, share: float = 1.0) -> np.ndarray:
    """Of each layer, each response times `share`."""
    responses = responses_from_correlations(Trainable(None, {}), kept, recipe)
    positive = jnp.asarray(labels())
    return np.array([jnp.mean(balanced_logistic(share * responses[k] + biases[k], positive)) for k in LAYERS])


def test_no_factor_or_bias_nearby_is_better(kept: Correlations):
    found = calibrate(kept, Recipe(model="siamfc", factors=(1.0, 1.0, 1.0)))
    recipe = Recipe(model="siamfc", factors=found.factors)
    best = loss(kept, recipe, found.biases, 1 / 4)
    assert (best < np.log(2) - 0.05).all()
    for share in (0.9, 1.1):
        assert (loss(kept, recipe, found.biases, share / 4) > best).all()
        moved = {layer: share * bias for layer, bias in found.biases.items()}
        assert (loss(kept, recipe, moved, 1 / 4) > best).all()


def test_what_factors_were_given_before_changes_nothing(kept: Correlations):
    first = calibrate(kept, Recipe(model="siamfc", factors=(1.0, 1.0, 1.0)))
    other = calibrate(kept, Recipe(model="siamfc", factors=(1e-3, 1.0, 20.0)))
    np.testing.assert_allclose(first.factors, other.factors, rtol=1e-3)
    # Responses ten times as large want a tenth of the factor.
    np.testing.assert_allclose(np.array(first.factors[:2]) / first.factors[1:], 10, rtol=0.3)


def test_responses_that_say_nothing_are_given_a_small_factor(kept: Correlations):
    noise = jax.tree.map(lambda each: np.asarray(each) - 2 * labels().reshape(-1, 1) / 100, kept.maps)
    found = calibrate(Correlations(noise, kept.exemplar, kept.search), Recipe(model="siamfc", factors=(1.0,) * 3))
    assert 0 < found.factors[0] < 0.1
    assert np.isfinite(found.factors).all()
