"""The three fusion strategies by hand, with one maximum over all scales, and the hierarchy layers -> models."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.config import MODELS, Config, Model
from mfst_jax.fusion import fuse, fuse_hierarchy
from mfst_jax.presets import PAPER

# Two maps over two scales of 1 x 2 cells; the maxima over all scales are 4 and 10.
MAPS = jnp.asarray([[[[1.0, 2.0]], [[4.0, 0.0]]], [[[10.0, 5.0]], [[-5.0, 0.0]]]])


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("hard", [[[0.25 * 1 + 0.5 * 10, 0.25 * 2 + 0.5 * 5]], [[0.25 * 4 - 0.5 * 5, 0]]]),
        ("soft_mean", [[[1 / 4 + 1, 2 / 4 + 5 / 10]], [[4 / 4 - 5 / 10, 0]]]),
        ("soft", [[[0.25 * 1 / 4 + 0.5, 0.25 * 2 / 4 + 0.5 * 5 / 10]], [[0.25 - 0.5 * 5 / 10, 0]]]),
    ],
)
def test_each_strategy_by_hand(strategy, expected):
    np.testing.assert_allclose(fuse(MAPS, strategy, (0.25, 0.5)), expected, rtol=1e-6)


@pytest.mark.parametrize("strategy", ["soft_mean", "soft"])
def test_soft_strategies_do_not_mind_a_maps_magnitude(strategy):
    scaled = MAPS * jnp.asarray([1e3, 1e-3]).reshape(2, 1, 1, 1)
    np.testing.assert_allclose(fuse(scaled, strategy, (0.3, 0.7)), fuse(MAPS, strategy, (0.3, 0.7)), rtol=1e-5)


def test_the_maximum_is_one_number_over_scales_rows_and_columns():
    response = jnp.asarray([[[1.0, 2.0], [4.0, 3.0]], [[0.0, 8.0], [2.0, 1.0]]])
    np.testing.assert_array_equal(fuse(response[None], "soft_mean", (1.0,)), response / 8)


def test_soft_mean_uses_no_weights():
    np.testing.assert_array_equal(fuse(MAPS, "soft_mean", (0.0, 9.0)), fuse(MAPS, "soft_mean", (1.0, 1.0)))


@pytest.mark.parametrize("strategy", ["hard", "soft_mean", "soft"])
def test_a_map_below_zero_keeps_its_peak(strategy):
    below = jnp.asarray([[[[-8.0, -2.0]], [[-4.0, -6.0]]]])
    fused = fuse(below, strategy, (1.0,))
    assert int(jnp.argmax(fused)) == int(jnp.argmax(below)) == 1
    if strategy != "hard":
        np.testing.assert_allclose(fused, [[[-4, -1]], [[-2, -3]]])


@pytest.mark.parametrize("strategy", ["hard", "soft_mean", "soft"])
def test_a_map_of_zeros_adds_nothing_and_hurts_nothing(strategy):
    maps = jnp.concatenate([MAPS[:1], jnp.zeros((1, 2, 1, 2))])
    np.testing.assert_array_equal(fuse(maps, strategy, (0.5, 0.5)), fuse(MAPS[:1], strategy, (0.5,)))
    gradient = jax.grad(lambda m: jnp.sum(fuse(m, strategy, (0.5, 0.5))))(maps)
    assert np.isfinite(gradient).all()


def test_the_hierarchy_by_hand():
    """S hard (.1, .3, .7), A soft (.1, .6, .3), then soft .3 and .7, on single cells at two scales."""
    siamfc = jnp.asarray([[1.0, 2.0], [3.0, 1.0], [2.0, 4.0]]).reshape(3, 2, 1, 1)
    alexnet = jnp.asarray([[5.0, 10.0], [4.0, 2.0], [1.0, 8.0]]).reshape(3, 2, 1, 1)
    s = [0.1 * 1 + 0.3 * 3 + 0.7 * 2, 0.1 * 2 + 0.3 * 1 + 0.7 * 4]  # 2.4, 3.3
    a = [0.1 * 5 / 10 + 0.6 * 4 / 4 + 0.3 * 1 / 8, 0.1 * 1 + 0.6 * 2 / 4 + 0.3 * 1]  # 0.6875, 0.7
    expected = [0.3 * s[i] / max(s) + 0.7 * a[i] / max(a) for i in (0, 1)]
    orders: list[dict[Model, jax.Array]] = [
        {"siamfc": siamfc, "alexnet": alexnet},
        {"alexnet": alexnet, "siamfc": siamfc},
    ]
    for responses in orders:
        np.testing.assert_allclose(fuse_hierarchy(responses, PAPER).ravel(), expected, rtol=1e-6)


def test_one_model_is_its_layers_alone():
    config = Config(models=("siamfc",), siamfc_layers=("conv4", "conv5"))
    maps = jnp.asarray([[2.0], [3.0]]).reshape(2, 1, 1, 1)
    assert fuse_hierarchy({"siamfc": maps}, config).item() == pytest.approx(0.3 * 2 + 0.7 * 3)


def test_the_weights_of_the_layers_left_are_those_of_the_layers_left():
    config = dataclasses.replace(PAPER, siamfc_layers=("conv3",), alexnet_layers=("conv4",), model_fusion="hard")
    responses = {model: jnp.full((1, 1, 1, 1), 2.0) for model in MODELS}
    assert fuse_hierarchy(responses, config).item() == pytest.approx(0.3 * (0.1 * 2) + 0.7 * (0.6 * 1))
