"""Operations that backbones are trained with: values and gradients are those of the library's own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.backbones import convolve_by_group, max_pool
from mfst_jax.fast.toom_cook import F_4_3, F_6_5
from mfst_jax.train import backbone_operations, hosts, stem_gradients, toom_cook_gradients

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
TOLERANCES = {3: 1e-5, 5: 1e-4, 11: 2e-5}
"""Of Toom-Cook by its taps, in parts of the largest number: the more points, the more rounding."""


@partial(jax.jit, static_argnums=0)
def value_and_gradients(convolve, maps, kernel, towards):
    """The convolution, and the gradients of its product with `towards` with respect to maps and kernel."""
    found, transposed = jax.vjp(convolve, maps, kernel)
    return found, *transposed(towards)


def library(maps, kernel):
    groups = maps.shape[3] // kernel.shape[2]
    return convolve_by_group(maps, kernel, (1, 1), "VALID", feature_group_count=groups, dimension_numbers=DIMENSIONS)


def assert_same(found, expected, tolerance=2e-6):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * float(np.abs(np.asarray(other)).max()))


@pytest.mark.parametrize(
    ("scheme", "extra", "groups"),  # every number of rows and columns in the last tile, and one group or two
    [(F_4_3, (0, 1), 1), (F_4_3, (2, 7), 2), (F_6_5, (0, 9), 1), (F_6_5, (1, 4), 2), (F_6_5, (2, 5), 1)],
)
def test_toom_cook_gives_the_librarys_convolution_and_gradients(scheme, extra, groups):
    rng = np.random.default_rng(groups)
    height, width = (scheme.taps + each for each in extra)
    maps = jnp.asarray(rng.standard_normal((2, height, width, 3 * groups)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((scheme.taps, scheme.taps, 3, 4 * groups)), jnp.float32)
    towards = jnp.asarray(rng.standard_normal((2, extra[0] + 1, extra[1] + 1, 4 * groups)), jnp.float32)
    ours = value_and_gradients(lambda x, k: toom_cook_gradients.convolve(scheme, x, k), maps, kernel, towards)
    assert_same(ours, value_and_gradients(library, maps, kernel, towards), TOLERANCES[scheme.taps])


@pytest.mark.parametrize(("groups", "devices"), [(1, 1), (2, 1), (1, 2)])
def test_batches_that_share_their_products_are_those_that_do_not(groups, devices):
    rng = np.random.default_rng(groups)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)  # noqa: E731
    batches = tuple(draw(n, height, width, 3 * groups) for n, height, width in ((2, 10, 10), (3, 26, 9), (1, 3, 4)))
    kernel = draw(3, 3, 3, 4 * groups)
    towards = tuple(draw(len(maps), maps.shape[1] - 2, maps.shape[2] - 2, 4 * groups) for maps in batches)
    shared = partial(toom_cook_gradients.convolve_batches, F_4_3)
    with hosts.batches_on(devices):
        found, of_maps, of_kernel = value_and_gradients(shared, batches, kernel, towards)
    alone = [value_and_gradients(library, *each) for each in zip(batches, (kernel,) * 3, towards, strict=True)]
    assert_same(found, [each[0] for each in alone], TOLERANCES[3])
    assert_same(of_maps, [each[1] for each in alone], TOLERANCES[3])
    assert_same([of_kernel], [sum(each[2] for each in alone)], TOLERANCES[3])


@pytest.mark.parametrize(("side", "devices"), [(11, 1), (12, 1), (27, 1), (35, 1), (27, 2)])
def test_conv1_gives_the_librarys_convolution_and_gradients(side, devices):
    rng = np.random.default_rng(side)
    images = jnp.asarray(rng.standard_normal((2, side, side + 3, 3)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((11, 11, 3, 5)), jnp.float32)

    def direct(x, k):
        return jax.lax.conv_general_dilated(x, k, (2, 2), "VALID", dimension_numbers=DIMENSIONS)

    towards = jnp.asarray(rng.standard_normal(jax.eval_shape(direct, images, kernel).shape), jnp.float32)
    with hosts.batches_on(devices):
        convolve = partial(stem_gradients.convolve)  # another one each time, or what was traced before would be found
        ours = value_and_gradients(convolve, images, kernel, towards)
    assert_same(ours, value_and_gradients(direct, images, kernel, towards), TOLERANCES[11])


def test_the_pool_and_its_gradient_are_the_librarys_where_no_two_cells_are_equal():
    maps = jnp.asarray(np.random.default_rng(0).permutation(2 * 11 * 9 * 3).reshape(2, 11, 9, 3), jnp.float32)
    pool = backbone_operations.operations()["pool"]
    ours, theirs = jax.vjp(pool, maps), jax.vjp(max_pool, maps)
    np.testing.assert_array_equal(ours[0], theirs[0])
    towards = jnp.asarray(np.random.default_rng(1).standard_normal(ours[0].shape), jnp.float32)
    np.testing.assert_allclose(ours[1](towards)[0], theirs[1](towards)[0], rtol=1e-6)
