"""Variants of the training of SE-blocks: a first weight, dropped channels, shared blocks, a loss of fused layers."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import Killed, kill_at, make_recipe, numbers
from test_se_blocks import CHANNELS, compiled, correlations

from mfst_jax.config import LAYERS
from mfst_jax.errors import InputError
from mfst_jax.params import Contents, Params
from mfst_jax.train.calibration import calibrate, without_blocks
from mfst_jax.train.data.split import Data
from mfst_jax.train.loop import train
from mfst_jax.train.losses import balanced_logistic, labels
from mfst_jax.train.measures import measure
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import Correlations, Trainable, maps_with_loss, pair_weights, responses_from_correlations
from mfst_jax.train.steps import init
from mfst_jax.train.trained_weights import finished

RECIPE = Recipe(model="alexnet", pairs_per_epoch=80)
VARIANTS = {"se_first_weight": 0.95, "se_dropout": 0.25, "se_shared": True, "fused_loss": True}


@pytest.fixture(scope="module")
def batch() -> Correlations:
    return correlations(8, seed=0, signal=0.02)


def advance(recipe: Recipe, params: Params, batch: Correlations, key: int = 0, **start) -> Trainable:
    """What is trained, after one step from these first biases."""
    parts = jax.tree.map(lambda x: x.reshape(recipe.accumulation, -1, *x.shape[1:]), batch)
    return compiled(recipe)(init(recipe, params, **start), None, parts, jax.random.key(key)).trainable


def means(count: int) -> dict[str, jax.Array]:
    keys = zip(CHANNELS.items(), jax.random.split(jax.random.key(1), 3), strict=True)
    return {layer: jax.random.uniform(key, (count, channels)) for (layer, channels), key in keys}


def test_every_weight_begins_as_the_first_one(params: Params):
    recipe = dataclasses.replace(RECIPE, se_first_weight=0.95)
    seen = means(3)
    for product in pair_weights(init(recipe, params).trainable, recipe, seen, seen).values():
        np.testing.assert_allclose(product, 0.95**2, rtol=1e-5)


def test_training_begins_as_the_tracker_without_se(params: Params, batch: Correlations):
    """Calibrated factors are divided by what the first weights multiply them by."""
    recipe = dataclasses.replace(RECIPE, se_first_weight=0.95, factors=(1.0, 1.0, 1.0))
    calibration = calibrate(batch, recipe)
    recipe = dataclasses.replace(recipe, factors=calibration.factors)
    start = init(recipe, params, calibration.biases).trainable
    plain = Trainable(None, start.biases)
    found = measure(start, batch, recipe=recipe).losses
    expected = measure(plain, batch, recipe=without_blocks(recipe)).losses
    for layer in LAYERS:
        assert float(found[layer]) == pytest.approx(float(expected[layer]), rel=1e-4)
    as_today = calibrate(batch, dataclasses.replace(RECIPE, factors=(1.0, 1.0, 1.0))).factors
    np.testing.assert_allclose(np.array(calibration.factors) * 0.95**2, np.array(as_today) / 4, rtol=1e-5)


def test_the_first_weight_is_learnt_from(params: Params, batch: Correlations):
    recipe = dataclasses.replace(RECIPE, se_first_weight=0.9)
    first, after = init(recipe, params).trainable, advance(recipe, params, batch)
    for layer in LAYERS:
        kernels = [each.blocks[layer]["excite"]["kernel"] for each in (first, after)]
        assert not np.any(kernels[0])
        assert np.any(kernels[1])


def test_dropped_channels_leave_the_mean_as_it_is(params: Params):
    recipe = dataclasses.replace(RECIPE, se_dropout=0.25)
    seen, trainable = means(200), init(recipe, params).trainable
    whole = pair_weights(trainable, recipe, seen, seen)
    found = pair_weights(trainable, recipe, seen, seen, jax.random.key(3))
    for layer in LAYERS:
        shares = np.asarray(found[layer]) / np.asarray(whole[layer])
        dropped = shares == 0
        np.testing.assert_allclose(shares[~dropped], 4 / 3, rtol=1e-5)
        assert dropped.mean() == pytest.approx(0.25, abs=0.01)
        assert (dropped.mean(axis=0) < 1).all()  # other channels in other pairs
        assert dropped.any(axis=0).mean() > 0.9
    assert not np.array_equal(np.asarray(found["conv4"]) == 0, np.asarray(found["conv5"]) == 0)


def test_no_channel_is_dropped_in_validation(params: Params, batch: Correlations):
    recipe = dataclasses.replace(RECIPE, se_dropout=0.25)
    trainable = init(recipe, params).trainable
    found, expected = (measure(trainable, batch, recipe=each).losses for each in (recipe, RECIPE))
    np.testing.assert_array_equal(found["conv3"], expected["conv3"])


def test_a_step_drops_by_its_key(params: Params, batch: Correlations):
    recipe = dataclasses.replace(RECIPE, se_dropout=0.25)
    same, again, other = (advance(recipe, params, batch, key) for key in (0, 0, 1))
    np.testing.assert_array_equal(same.biases["conv4"], again.biases["conv4"])
    assert same.biases["conv4"] != other.biases["conv4"]
    without = [advance(RECIPE, params, batch, key).biases["conv4"] for key in (0, 1)]
    np.testing.assert_array_equal(*without)


def test_layers_with_equally_many_channels_share_a_block(params: Params, batch: Correlations):
    recipe = dataclasses.replace(RECIPE, se_shared=True)
    after = advance(recipe, params, batch)
    assert after.blocks is not None
    assert set(after.blocks) == {"conv3", "conv4"}
    written = finished(params, recipe, jax.device_get(after), {})
    blocks = written.variables["params"]["alexnet_se"]
    assert list(blocks) == list(LAYERS)
    jax.tree.map(np.testing.assert_array_equal, blocks["conv4"], blocks["conv5"])
    assert written.contents.alexnet_se
    # one block for two layers has the gradients of both
    alone = advance(RECIPE, params, batch)
    assert alone.blocks is not None
    assert np.any(alone.blocks["conv4"]["excite"]["bias"] != after.blocks["conv4"]["excite"]["bias"])


def test_conv3_and_conv4_of_siamfc_share_a_block(random_params):
    params = random_params(Contents(siamfc=True, alexnet=None))
    trainable = init(Recipe(model="siamfc", se_shared=True), params).trainable
    assert set(trainable.blocks) == {"conv3", "conv5"}
    each = trainable.block_of_each
    assert each["conv4"] is trainable.blocks["conv3"]


def test_the_fused_loss_is_of_the_weighted_sum(params: Params, batch: Correlations):
    recipe = dataclasses.replace(RECIPE, fused_loss=True)
    biases = {"conv3": 0.1, "conv4": -0.2, "conv5": 0.3}
    trainable = init(recipe, params, biases).trainable
    responses = responses_from_correlations(trainable, batch, recipe)
    # 0.1, 0.6, 0.3: the paper's weights of A
    expected = 0.1 * (responses["conv3"] + 0.1) + 0.6 * (responses["conv4"] - 0.2) + 0.3 * (responses["conv5"] + 0.3)
    np.testing.assert_allclose(
        maps_with_loss(responses, trainable.biases, recipe)["fused"], expected, rtol=1e-4, atol=1e-6
    )
    loss = float(jnp.sum(balanced_logistic(expected, jnp.asarray(labels()))))
    found = measure(trainable, batch, recipe=recipe).losses
    assert set(found) == {"fused"}
    assert float(found["fused"]) == pytest.approx(loss, rel=1e-5)
    after = advance(recipe, params, batch, biases=biases).biases
    moved = np.array([after[layer] - biases[layer] for layer in LAYERS])
    np.testing.assert_allclose(moved, moved[0] * np.array([1, 6, 3]), rtol=1e-2)


def test_a_run_with_all_of_them_resumes_as_if_it_had_not_stopped(params: Params, data: Data, cache: Path, tmp_path):
    recipe = make_recipe(**VARIANTS, calibration_pairs=4, accumulation=2)
    whole, parts, steps = tmp_path / "whole", tmp_path / "parts", []
    lines = train(recipe, params, data, whole, cache=cache, quiet=True)
    assert lines[-1]["loss"] == lines[-1]["losses"]["fused"]
    assert lines[-1]["train_losses"].keys() == {"fused"}
    with pytest.raises(Killed):
        train(recipe, params, data, parts, cache=cache, quiet=True, after_step=kill_at(5))
    train(recipe, params, data, parts, cache=cache, quiet=True, after_step=steps.append)
    assert steps == [*range(5, 13)]
    (expected, lines), (found, others) = numbers(whole), numbers(parts)
    assert lines == others
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize(("field", "value"), VARIANTS.items())
def test_they_are_for_se_blocks_alone(field, value):
    with pytest.raises(InputError, match=f"{field}: expected what it is by default"):
        Recipe(model="siamfc", trains="backbone", **{field: value})


@pytest.mark.parametrize("field", ["se_first_weight", "se_dropout"])
@pytest.mark.parametrize("value", [1.0, -0.1])
def test_shares_are_below_1(field, value):
    with pytest.raises(InputError, match=rf"{field}: expected in \[0, 1\)"):
        Recipe(model="siamfc", **{field: value})
