"""Responses, loss and steps, on random weights; by the tracker's own network where it has the same to say."""

import dataclasses
from functools import cache, partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import video

from mfst_jax.config import LAYERS, Config
from mfst_jax.crops import central_exemplar
from mfst_jax.model import MFST
from mfst_jax.params import Params
from mfst_jax.train import correlation_pools
from mfst_jax.train.data import pairs
from mfst_jax.train.data.pairs import Crops
from mfst_jax.train.losses import balanced_logistic, labels
from mfst_jax.train.measures import measure
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import (
    Correlations,
    Trainable,
    channel_correlation,
    responses_from_correlations,
    responses_from_crops,
)
from mfst_jax.train.steps import TrainState, init, learning_rate, train_step

Statistics = Literal["exemplar", "each"]
CHANNELS = {"conv3": 384, "conv4": 256, "conv5": 256}


@pytest.fixture(scope="module")
def crops() -> Crops:
    videos = [video("a", range(6), seed=1)]
    return pairs.load(videos, np.array([[0, 0, 1], [0, 2, 3]]))


@pytest.fixture(scope="module")
def pool(params: Params, tmp_path_factory: pytest.TempPathFactory) -> correlation_pools.Pool:
    videos = [video("a", range(6), seed=1)]
    return correlation_pools.make(
        tmp_path_factory.mktemp("pools"), params, Recipe(model="alexnet"), videos, np.array([[0, 0, 1], [0, 2, 3]])
    )


def trained(recipe: Recipe, params: Params) -> Trainable:
    """SE-blocks whose weights differ from channel to channel, and biases."""
    trainable = init(recipe, params).trainable
    keys = iter(jax.random.split(jax.random.key(5), 99))
    blocks = jax.tree.map(lambda x: x + 0.5 * jax.random.normal(next(keys), x.shape), trainable.blocks)
    return Trainable(blocks, {layer: jnp.float32(0.1 * number) for number, layer in enumerate(LAYERS)})


@pytest.mark.parametrize("statistics", get_args(Statistics))
def test_kept_correlations_features_in_the_step_and_the_tracker_agree(statistics: Statistics, params, crops, pool):
    recipe = Recipe(model="alexnet", se_statistics=statistics)
    trainable = trained(recipe, params)
    kept = jax.jit(partial(responses_from_correlations, recipe=recipe))(trainable, pool.batch(np.arange(2)))
    direct = jax.jit(partial(responses_from_crops, recipe=recipe))(trainable, params, crops, jax.random.key(0))

    contents = dataclasses.replace(params.contents, alexnet_se=True)
    tree = {**params.variables, "params": {**params.variables["params"], "alexnet_se": trainable.blocks}}
    network = MFST(contents, Config(models=("alexnet",), se_statistics=statistics, alexnet_factors=recipe.factors))
    images = jnp.asarray(crops.search[:, 16:-16, 16:-16], jnp.float32)
    exemplars = central_exemplar(jnp.asarray(crops.exemplar[:, 16:-16, 16:-16], jnp.float32))
    positive = jnp.asarray(labels())
    apply: Any = jax.jit(network.apply)
    for row in range(2):
        expected = apply(tree, exemplars[row], images[row : row + 1])
        for layer in LAYERS:
            reference = expected["alexnet"][layer][0]
            scale = float(jnp.max(jnp.abs(reference)))
            for found in (kept, direct):
                np.testing.assert_allclose(found[layer][row], reference, atol=2e-5 * scale, rtol=0)
                np.testing.assert_allclose(
                    balanced_logistic(found[layer][row], positive), balanced_logistic(reference, positive), rtol=5e-6
                )


def test_channel_correlations_add_up_to_the_mean_over_taps():
    rng = np.random.default_rng(0)
    z, x = rng.normal(size=(6, 6, 5)).astype(np.float32), rng.normal(size=(22, 22, 5)).astype(np.float32)
    found = np.asarray(channel_correlation(jnp.asarray(z), jnp.asarray(x))).reshape(17, 17, 5)
    expected = np.array([[(z * x[i : i + 6, j : j + 6]).mean((0, 1)) for j in range(17)] for i in range(17)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_without_se_every_weight_is_one(params, pool):
    recipe = Recipe(model="alexnet", factors=(1.0, 1.0, 1.0))
    kept = pool.batch(np.arange(2))
    found = responses_from_correlations(Trainable(None, {}), kept, recipe)["conv5"]
    np.testing.assert_allclose(found.reshape(2, -1), 36 * kept.maps["conv5"].sum(-1), rtol=1e-4)


def test_a_pool_is_found_again_and_another_backbone_makes_another(params, tmp_path):
    videos, recipe = [video("a", range(3))], Recipe(model="alexnet")
    chosen = np.array([[0, 0, 1]])
    seen = []
    first = correlation_pools.make(tmp_path, params, recipe, videos, chosen, advance=lambda *done: seen.append(done))
    again = correlation_pools.make(tmp_path, params, recipe, videos, chosen, advance=lambda *done: seen.append(done))
    assert seen == [(1, 1)]
    np.testing.assert_array_equal(first.batch(np.arange(1)).maps["conv3"], again.batch(np.arange(1)).maps["conv3"])
    small = dataclasses.replace(recipe, cache_type="float16")
    half = correlation_pools.make(tmp_path, params, small, videos, chosen).batch(np.arange(1))
    assert half.maps["conv4"].dtype == np.float16
    np.testing.assert_allclose(half.maps["conv4"], first.batch(np.arange(1)).maps["conv4"], rtol=1e-3, atol=1e-6)
    other = dataclasses.replace(params, variables=jax.tree.map(lambda x: 2 * x, params.variables))
    correlation_pools.make(tmp_path, other, recipe, videos, chosen)
    assert len(list(tmp_path.iterdir())) == 3


def test_the_schedule_falls_by_one_factor_an_epoch():
    recipe = Recipe(model="siamfc", pairs_per_epoch=80)  # ten steps an epoch
    rates = [float(learning_rate(recipe, step)) for step in (0, 9, 10, 490, 499)]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.01 * 0.8685, 1e-5, 1e-5], rtol=1e-4)
    one = dataclasses.replace(recipe, epochs=1)
    np.testing.assert_allclose(learning_rate(one, 5), 0.01, rtol=1e-6)


def correlations(count: int, seed: int, signal: float) -> Correlations:
    """Random maps; in the first half of the channels the target stands out by `signal`."""
    rng = np.random.default_rng(seed)
    maps = {}
    for layer, channels in CHANNELS.items():
        maps[layer] = rng.normal(size=(count, 289, channels)).astype(np.float32) / 10
        maps[layer][:, labels().ravel(), : channels // 2] += signal
        maps[layer][:, ~labels().ravel(), : channels // 2] -= signal
    means = {layer: rng.random((count, channels)).astype(np.float32) for layer, channels in CHANNELS.items()}
    return Correlations(maps, means, means)


@cache
def compiled(recipe: Recipe) -> Any:
    return jax.jit(partial(train_step, recipe=recipe))


def steps(recipe: Recipe, params: Params, batches, count: int) -> TrainState:
    state, advance = init(recipe, params), compiled(recipe)
    for step in range(count):
        batch = jax.tree.map(lambda x: x.reshape(recipe.accumulation, -1, *x.shape[1:]), batches(step))
        state = advance(state, None, batch, jax.random.key(0))
    return state


def held_out_loss(state: TrainState, recipe: Recipe, batch: Correlations) -> float:
    losses = measure(state.trainable, batch, recipe=recipe).losses
    return float(sum(losses.values())) / len(batch.maps["conv3"]) / 3


def test_it_overfits_one_batch(params):
    recipe = Recipe(model="alexnet", batch_size=2, learning_rate=0.1, factors=(0.1, 0.1, 0.1), pairs_per_epoch=800)
    batch = correlations(2, seed=0, signal=0.02)
    before = held_out_loss(init(recipe, params), recipe, batch)
    after = held_out_loss(steps(recipe, params, lambda step: batch, 150), recipe, batch)
    assert 3 * before > 0.4  # the sum over the layers
    assert 3 * after < 0.01


@pytest.mark.slow
def test_with_labels_shuffled_it_does_not_beat_chance(params):
    recipe = Recipe(model="alexnet", factors=(0.01, 0.01, 0.01), pairs_per_epoch=800)
    shuffle = np.random.default_rng(1).permutation(289)

    @cache
    def batches(step: int, shuffled: bool) -> Correlations:
        batch = correlations(8, seed=step, signal=0.01)
        if not shuffled:
            return batch
        rng = np.random.default_rng([step, *shuffle[:2]])
        return dataclasses.replace(batch, maps={k: rng.permuted(x, axis=1) for k, x in batch.maps.items()})

    chance = np.log(2)
    for shuffled in (False, True):
        state = steps(recipe, params, lambda step, shuffled=shuffled: batches(step % 20, shuffled), 60)
        loss = held_out_loss(state, recipe, batches(999, shuffled))
        assert loss > chance - 0.002 if shuffled else loss < chance - 0.1


def test_accumulation_changes_no_number_but_by_rounding(params):
    recipe = Recipe(model="alexnet", pairs_per_epoch=80)
    batch = correlations(8, seed=0, signal=0.02)
    whole = steps(recipe, params, lambda step: batch, 3)
    parts = steps(dataclasses.replace(recipe, accumulation=4), params, lambda step: batch, 3)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_step_is_sgd_with_momentum_on_the_gradient(params):
    recipe = Recipe(model="alexnet", pairs_per_epoch=80)
    batch = correlations(8, seed=0, signal=0.02)
    first, third = steps(recipe, params, lambda step: batch, 1), steps(recipe, params, lambda step: batch, 3)
    assert int(third.step) == 3
    positive = jnp.asarray(labels())

    def loss(bias, trainable):
        responses = responses_from_correlations(trainable, batch, recipe)
        return jnp.mean(balanced_logistic(responses["conv4"] + bias, positive))

    start = init(recipe, params).trainable
    gradient = jax.grad(loss)(start.biases["conv4"], start)
    np.testing.assert_allclose(first.trainable.biases["conv4"], -0.01 * gradient, rtol=1e-4)
    np.testing.assert_allclose(first.losses["conv4"], loss(jnp.float32(0), start), rtol=1e-5)
    # v_t = 0.9 v_{t-1} + g_t
    second = steps(recipe, params, lambda step: batch, 2)
    velocity = 0.9 * gradient + jax.grad(loss)(first.trainable.biases["conv4"], first.trainable)
    moved = second.trainable.biases["conv4"] - first.trainable.biases["conv4"]
    np.testing.assert_allclose(moved, -0.01 * velocity, rtol=1e-4)


def test_centre_errors_by_hand(params):
    """A peak two cells to the right of the middle in every channel is 16 samples off."""
    recipe = Recipe(model="alexnet")
    maps = {layer: np.zeros((2, 17, 17, channels), np.float32) for layer, channels in CHANNELS.items()}
    for each in maps.values():
        each[0, 8, 10] = 1
        each[1, 8, 8] = 1
    means = {layer: np.ones((2, channels), np.float32) for layer, channels in CHANNELS.items()}
    kept = Correlations({layer: each.reshape(2, 289, -1) for layer, each in maps.items()}, means, means)
    errors = measure(Trainable(None, dict.fromkeys(LAYERS, 0.0)), kept, recipe=recipe).centre_errors
    assert set(errors) == {"conv3", "conv4", "conv5", "fused"}
    for error in errors.values():  # no sample lies on the middle: each is half a sample of 1/16 cell off
        assert float(error) == pytest.approx(16, abs=0.8)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_the_anchor_pulls_back_towards_the_start(params, optimiser):
    """One step from (start + moved) with an anchor is one without, less the rate times its share of what was moved."""
    recipe = Recipe(model="alexnet", pairs_per_epoch=80, optimiser=optimiser)
    anchored = dataclasses.replace(recipe, anchor=4.0)
    batch = jax.tree.map(lambda each: each[None], correlations(8, seed=0, signal=0.02))

    def after_moving(recipe: Recipe) -> jax.Array:
        start = init(recipe, params)
        moved = jax.tree.map(lambda each: each + 0.5, start.trainable)
        state = dataclasses.replace(start, trainable=moved)
        return compiled(recipe)(state, None, batch, jax.random.key(0)).trainable.biases["conv4"]

    pull = after_moving(anchored) - after_moving(recipe)
    np.testing.assert_allclose(pull, -0.01 * 4.0 * 0.5, rtol=1e-4)


def test_the_average_is_a_mean_at_first_and_then_moves_by_its_share(params):
    recipe = Recipe(model="alexnet", pairs_per_epoch=80, average=0.6)
    batch = correlations(8, seed=0, signal=0.02)
    parts, last = jax.tree.map(lambda each: each[None], batch), [init(recipe, params)]
    for _ in range(4):
        last.append(compiled(recipe)(last[-1], None, parts, jax.random.key(0)))
    last = last[1:]
    weights = [float(state.trainable.biases["conv4"]) for state in last]
    averages = [float(state.result.biases["conv4"]) for state in last]
    mean = weights[0]
    for share, weight, average in zip((1, 1 / 2, 0.4, 0.4), weights, averages, strict=True):
        mean += share * (weight - mean)
        assert average == pytest.approx(mean, rel=1e-5)
    assert averages[-1] != weights[-1]
    without = steps(dataclasses.replace(recipe, average=0.0), params, lambda step: batch, 4)
    assert without.averaged is None
    assert without.result is without.trainable
    np.testing.assert_array_equal(without.trainable.biases["conv4"], weights[-1])


def test_before_the_first_step_the_average_is_the_start(params):
    state = init(Recipe(model="alexnet", average=0.9), params)
    jax.tree.map(np.testing.assert_array_equal, state.result, state.trainable)
    assert state.averaged is not None
