"""The SE-block against NumPy, and equation (2) of the paper as the case of zero biases."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mfst_jax.se_block import SEBlock, SEBlocks, recalibrate


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def apply(module, variables, features) -> Any:
    return module.apply(variables, features)


def weights_of(features, squeeze, excite):
    """Channel weights in float64; `squeeze` and `excite` are (kernel, bias)."""
    mean = np.asarray(features, np.float64).mean(axis=(1, 2))
    hidden = np.maximum(mean @ np.asarray(squeeze[0]) + np.asarray(squeeze[1]), 0)
    return 1 / (1 + np.exp(-(hidden @ np.asarray(excite[0]) + np.asarray(excite[1]))))


def test_an_se_block_is_two_dense_layers_on_the_channel_means():
    features = normal(3, 4, 5, 16)
    squeeze, excite = (normal(16, 4, seed=1), normal(4, seed=2)), (normal(4, 16, seed=3), normal(16, seed=4))
    names = ("kernel", "bias")
    params = {"squeeze": dict(zip(names, squeeze, strict=True)), "excite": dict(zip(names, excite, strict=True))}
    found = apply(SEBlock(), {"params": params}, features)
    np.testing.assert_allclose(found, weights_of(features, squeeze, excite), atol=1e-6)


def test_as_initialised_it_is_equation_2():
    features = 10 * normal(2, 3, 3, 32)
    variables = SEBlock().init(jax.random.key(0), features)
    kernels = variables["params"]
    assert (kernels["squeeze"]["kernel"].shape, kernels["excite"]["kernel"].shape) == ((32, 8), (8, 32))
    assert not np.any(kernels["squeeze"]["bias"]) | np.any(kernels["excite"]["bias"][:8])
    found = apply(SEBlock(), variables, features)
    without = [(kernels[name]["kernel"], 0.0) for name in ("squeeze", "excite")]
    np.testing.assert_allclose(found, weights_of(features, *without), atol=1e-6)
    assert np.all((found > 0) & (found < 1))
    assert np.std(found) > 0.01


def test_weights_see_the_means_and_nothing_else():
    features = normal(1, 4, 6, 8)
    variables = SEBlock().init(jax.random.key(1), features)
    shuffled = jnp.asarray(
        np.random.default_rng(5).permutation(np.asarray(features).reshape(24, 8)).reshape(1, 6, 4, 8)
    )
    np.testing.assert_allclose(apply(SEBlock(), variables, features), apply(SEBlock(), variables, shuffled), atol=1e-6)


def test_each_layer_has_its_own_block():
    features = {"conv3": normal(1, 4, 4, 8), "conv5": normal(1, 2, 2, 8)}
    blocks = SEBlocks()
    variables = blocks.init(jax.random.key(0), features)
    assert set(variables["params"]) == {"conv3", "conv5"}
    found = apply(blocks, variables, features)
    for layer, maps in features.items():
        alone = apply(SEBlock(), {"params": variables["params"][layer]}, maps)
        np.testing.assert_array_equal(found[layer], alone)
    one = apply(blocks, variables, {"conv5": features["conv5"]})
    np.testing.assert_array_equal(one["conv5"], found["conv5"])


def test_recalibration_multiplies_each_channel_by_its_weight():
    features = jnp.ones((2, 1, 3, 2))
    found = recalibrate(features, jnp.asarray([[1.0, 2.0], [3.0, 0.5]]))
    assert found[:, 0, 1].tolist() == [[1, 2], [3, 0.5]]
    assert found.shape == features.shape
    assert recalibrate(features, jnp.asarray([[1.0, 2.0]]))[1, 0, 2].tolist() == [1, 2]
