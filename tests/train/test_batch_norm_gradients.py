"""BN, ReLU and pool as one operation: values, statistics and gradients are those of the library's, one by one."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.backbones import BATCH_NORM_EPSILON, max_pool
from mfst_jax.train.batch_norm_gradients import norm_relu


@pytest.fixture
def channels():
    """Scales, of which one is negative and one is zero, and biases."""
    return jnp.array([1.5, -0.8, 0.0, 0.3], jnp.float32), jnp.array([0.1, 0.4, 0.2, -0.1], jnp.float32)


def different(*shape):
    """Maps without two equal cells, of a mean other than 0."""
    values = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape)
    return jnp.asarray(values / np.prod(shape) * 6 - 1, jnp.float32)


def library(maps, scale, bias, pool):
    norm = nn.BatchNorm(use_running_average=False, epsilon=BATCH_NORM_EPSILON)
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": {}}
    found = nn.relu(norm.apply(variables, maps, mutable=["batch_stats"])[0])
    return max_pool(found) if pool else found


def value_and_gradients(function, *args):
    found, transposed = jax.vjp(function, *args)
    towards = jnp.asarray(np.random.default_rng(1).standard_normal(found.shape), jnp.float32)
    return found, transposed(towards)


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("side", [(3, 4), (8, 5), (7, 9)])
@pytest.mark.parametrize("count", [1, 3])
def test_values_and_gradients_are_the_librarys_where_no_two_cells_are_equal(count, side, pool, channels):
    maps, (scale, bias) = different(count, *side, 4), channels
    scale = scale.at[2].set(0.7)  # where a channel is the same everywhere, the library shares the gradient of its pool

    @jax.jit
    def both(*args):
        ours = value_and_gradients(lambda *args: norm_relu(*args, pool)[0], *args)
        return ours, value_and_gradients(lambda *args: library(*args, pool), *args)

    ours, theirs = both(maps, scale, bias)
    np.testing.assert_allclose(ours[0], theirs[0], atol=2e-6)
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_statistics_are_the_batchs(channels):
    maps = different(2, 8, 5, 4)
    _, (mean, variance) = jax.jit(lambda maps: norm_relu(maps, *channels, True))(maps)
    np.testing.assert_allclose(mean, np.mean(maps, axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(variance, np.var(maps, axis=(0, 1, 2)), rtol=1e-5)


def test_equal_cells_leave_a_windows_gradient_to_the_first_of_them_as_pytorch_does(channels):
    torch = pytest.importorskip("torch")
    scale, bias = channels
    # As beyond an image's edge, where crops have one colour; every window of a channel without scale is like that.
    maps = different(2, 8, 7, 4).at[:, 2:, 3:].set(0.25)
    ours = jax.jit(lambda *args: value_and_gradients(lambda *args: norm_relu(*args, True)[0], *args))(maps, scale, bias)

    args = [torch.tensor(np.asarray(each), requires_grad=True) for each in (maps, scale, bias)]
    normalised = torch.nn.functional.batch_norm(
        args[0].permute(0, 3, 1, 2), None, None, args[1], args[2], training=True, eps=BATCH_NORM_EPSILON
    )
    theirs = torch.nn.functional.max_pool2d(torch.relu(normalised), 3, 2).permute(0, 2, 3, 1)
    towards = np.random.default_rng(1).standard_normal(theirs.shape).astype(np.float32)
    theirs.backward(torch.tensor(towards))
    np.testing.assert_allclose(ours[0], theirs.detach(), atol=2e-6)
    kept = np.array([0, 1, 3])  # in a channel without scale any cell is the first; its gradient is zero
    np.testing.assert_allclose(ours[1][0], args[0].grad, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours[1][1][kept], args[1].grad[kept], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours[1][2], args[2].grad, rtol=1e-4, atol=1e-5)


def test_what_is_not_a_number_leaves_no_gradient_that_is(channels):
    maps = different(2, 5, 5, 4).at[0, 0, 0, 0].set(jnp.nan)
    _, gradients = jax.jit(lambda maps: value_and_gradients(lambda maps: norm_relu(maps, *channels, True)[0], maps))(
        maps
    )
    assert bool(jnp.isnan(gradients[0]).all())
