"""Toom-Cook and conv1's variant of it, piece by piece: the identity, filters and back, tiles put together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.fast import stem, toom_cook
from mfst_jax.fast.backbones import SCHEMES, max_pool

ALL = {"F(4, 3)": toom_cook.F_4_3, "F(6, 5)": toom_cook.F_6_5, "F(6, 6)": toom_cook.F_6_6}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", ALL)
def test_a_tile_is_a_correlation(rng, name: str):
    scheme = ALL[name]
    taps, inputs = rng.normal(size=scheme.taps), rng.normal(size=scheme.products)
    found = scheme.outputs @ ((scheme.filters @ taps) * (scheme.inputs @ inputs))
    np.testing.assert_allclose(found, np.correlate(inputs, taps, "valid"), rtol=0, atol=1e-9)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", ["conv2", "conv3"])
def test_convolve(rng, name: str, groups: int):
    scheme = SCHEMES[name]
    kernel = rng.normal(size=(scheme.taps, scheme.taps, 6 // groups, 4))
    filters = toom_cook.transform_filters(kernel, groups, scheme)
    maps = rng.normal(size=(2, 17, 20, 6)).astype(np.float32)  # not of whole tiles
    joined = toom_cook.join(toom_cook.convolve(jnp.asarray(maps), filters, scheme))
    n, down, across, tile, by_group, outputs = joined.shape
    expected = jax.lax.conv_general_dilated(
        maps,
        kernel.astype(np.float32),
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    found = joined.reshape(n, down, across * tile, by_group * outputs)[:, : expected.shape[1], : expected.shape[2]]
    assert np.abs(found - expected).max() <= 5e-5 * np.abs(expected).max()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", ["conv2", "conv3"])
def test_filters_and_back(rng, name: str, groups: int):
    scheme = SCHEMES[name]
    kernel = rng.normal(size=(scheme.taps, scheme.taps, 6 // groups, 4))
    found = toom_cook.restore_kernel(toom_cook.transform_filters(kernel, groups, scheme), scheme)
    np.testing.assert_allclose(found, kernel, rtol=0, atol=3e-6)


def test_filters_of_conv1_and_back(rng):
    kernel = rng.normal(size=(11, 11, 3, 5))
    found = stem.restore_kernel(stem.transform_filters(kernel))
    np.testing.assert_allclose(found, kernel, rtol=0, atol=3e-6)


@pytest.mark.parametrize("tile", [2, 4, 6])
def test_rows_are_pooled_as_they_are_put_together(rng, tile: int):
    maps = rng.normal(size=(1, 4 * tile, 5, 3)).astype(np.float32)
    rows = [jnp.asarray(maps[:, first::tile]) for first in range(tile)]
    np.testing.assert_array_equal(toom_cook.join(rows), maps)
    pooled = toom_cook.join_pooled(rows)
    np.testing.assert_array_equal(pooled[:, :-1], max_pool(jnp.asarray(maps[:, :-1]), axes=(1,)))
