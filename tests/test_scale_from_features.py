"""Growth told from features: resampling against slices, ramps and translation; the right factor for a known growth."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfst_jax import scale_from_features
from mfst_jax.localisation import CELL
from mfst_jax.model import Exemplar
from mfst_jax.presets import ALEXNET
from mfst_jax.scale_from_features import damped

# Each of them is one compilation.
growth_factor, similarity_by_factor, learn_recent = (
    jax.jit(getattr(scale_from_features, name)) for name in ("growth_factor", "similarity_by_factor", "learn_recent")
)
resample = jax.jit(scale_from_features.resample, static_argnums=(2, 4))

SIZE, SIDE = 26, 10
CONFIG = replace(ALEXNET, alexnet_layers=("conv3",), scale_step=1.1, scale_penalty=0.999, scale_tilt=0.0)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)


def smooth(size: int, spacing: float, *, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """[size, size, 8] waves around a `centre` (rows, columns) in cells from the middle; `spacing` cells make a unit."""
    cells = np.arange(size) - (size - 1) / 2
    rows, columns = ((cells - place) / spacing for place in centre)
    waves = [
        np.cos(rows[:, None] * a + columns[None, :] * b + c) for a, b, c in np.random.default_rng(1).normal(size=(8, 3))
    ]
    return (np.stack(waves, axis=-1) + 1).astype(np.float32)


def exemplar_of(maps: np.ndarray) -> Exemplar:
    return Exemplar({"alexnet": {"conv3": jnp.asarray(maps)}}, {})


def test_whole_cells_at_a_factor_of_one_are_a_slice():
    maps = noise(SIZE, SIZE, 3)
    for rows, columns in ((0, 0), (3, -5), (-8, 8)):
        found = resample(jnp.asarray(maps), jnp.array([rows, columns], jnp.float32), SIDE, np.ones(1), 1.0)
        first = (SIZE - SIDE) // 2
        expected = maps[first + rows :, first + columns :][:SIDE, :SIDE]
        np.testing.assert_allclose(found[0], expected, atol=1e-6)


@settings(max_examples=40)
@given(
    offset=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    factor=st.floats(0.5, 1.5),
    side=st.sampled_from([1, 6, 8, SIDE]),
)
def test_a_ramp_is_met_exactly(offset, factor, side):
    cells = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
    ramp = np.stack(np.broadcast_arrays(cells[:, None], cells[None, :]), axis=-1).astype(np.float32)
    found = np.asarray(resample(jnp.asarray(ramp), jnp.array(offset, jnp.float32), side, np.array([1.0, factor]), 1.5))
    steps = np.arange(side) - (side - 1) / 2
    for windows, by in zip(found, (1.0, factor), strict=True):
        np.testing.assert_allclose(windows[:, :, 0], np.tile((offset[0] + by * steps)[:, None], (1, side)), atol=1e-4)
        np.testing.assert_allclose(windows[:, :, 1], np.tile(offset[1] + by * steps, (side, 1)), atol=1e-4)


def test_beyond_the_maps_is_their_edge():
    maps = noise(SIDE + 1, SIDE + 1, 2)
    found = resample(jnp.asarray(maps), jnp.array([50.0, -50.0]), SIDE, np.array([1.0, 1.2]), 1.2)
    np.testing.assert_allclose(found, np.broadcast_to(maps[-1, 0], found.shape), atol=1e-6)
    padded = np.pad(maps, ((6, 6), (6, 6), (0, 0)), mode="edge")
    for offset in ((0.0, 0.0), (2.3, -1.7)):
        of_both = (jnp.asarray(each) for each in (maps, padded))
        found, expected = (resample(each, jnp.array(offset), SIDE, np.array([0.9, 1.2]), 1.2) for each in of_both)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_goes_with_the_maps():
    maps = noise(SIZE, SIZE, 4)
    offset, moved = jnp.array([0.3, -1.6]), jnp.array([2.3, 1.4])
    factors = np.array([0.9, 1.0, 1.1])
    found = resample(jnp.asarray(np.roll(maps, (2, 3), axis=(0, 1))), moved, SIDE, factors, 1.1)
    np.testing.assert_allclose(found, resample(jnp.asarray(maps), offset, SIDE, factors, 1.1), atol=1e-5)


def test_factors_may_be_computed():
    maps, offset, factors = jnp.asarray(noise(SIZE, SIZE, 4)), jnp.array([0.3, -1.6]), np.array([0.9, 1.05])
    found = resample(maps, offset, SIDE, jnp.asarray(factors, jnp.float32), 1.1)
    known = jax.jit(lambda: scale_from_features.resample(maps, offset, SIDE, factors, 1.1))()
    np.testing.assert_allclose(found, known, atol=1e-5)


@pytest.mark.parametrize(("growth", "best"), [(1.1, 2), (1.0, 1), (1 / 1.1, 0)])
def test_a_known_growth_is_found_where_the_target_is(growth: float, best: int):
    exemplar = exemplar_of(smooth(SIDE, spacing=2.0))
    centre = 2.0, -3.0  # rows, columns
    search = {"alexnet": {"conv3": jnp.asarray(smooth(SIZE, spacing=2.0 * growth, centre=centre))}}
    offset = CELL * jnp.array(centre[::-1])
    similarities = similarity_by_factor(exemplar.features, search, offset, CONFIG)
    assert int(jnp.argmax(similarities)) == best
    assert float(similarities[best]) == pytest.approx(1, abs=2e-3)
    assert float(growth_factor(exemplar, search, offset, CONFIG)) == pytest.approx(growth)
    strict = replace(CONFIG, scale_penalty=0.5)
    assert float(growth_factor(exemplar, search, offset, strict)) == 1


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_the_middle_wins_where_nothing_tells(value: float):
    exemplar = exemplar_of(np.ones((SIDE, SIDE, 3), np.float32))
    search = {"alexnet": {"conv3": jnp.full((SIZE, SIZE, 3), value)}}
    free = replace(CONFIG, scale_penalty=1.0, scale_count=5)
    assert float(growth_factor(exemplar, search, jnp.zeros(2), free)) == 1


@pytest.mark.parametrize(("tilt", "factor"), [(0.0, 1), (0.1, 1.1), (-0.1, 1 / 1.1)])
def test_the_tilt_decides_between_equals(tilt: float, factor: float):
    exemplar = exemplar_of(np.ones((SIDE, SIDE, 3), np.float32))
    search = {"alexnet": {"conv3": jnp.ones((SIZE, SIZE, 3))}}
    found = growth_factor(exemplar, search, jnp.zeros(2), replace(CONFIG, scale_tilt=tilt))
    assert float(found) == pytest.approx(factor)


@pytest.mark.parametrize(("share", "factor"), [(0.0, 1 / 1.1), (0.5, 1), (1.0, 1.1)])
def test_what_the_target_looked_like_lately_counts_by_its_share(share: float, factor: float):
    """By the exemplar the target shrank, by its recent features it grew; what is between fits both alike."""
    search = {"alexnet": {"conv3": jnp.asarray(smooth(SIZE, spacing=2.0))}}
    shrunk, grown = (smooth(SIDE, spacing=2.0 * by) for by in (1.1, 1 / 1.1))
    recent = {"alexnet": {"conv3": jnp.asarray(grown)}}
    found = growth_factor(exemplar_of(shrunk), search, jnp.zeros(2), CONFIG, recent, share)
    assert float(found) == pytest.approx(factor)


@pytest.mark.parametrize("growth", [0.95, 1.0, 1.1])
def test_recent_features_take_on_a_share_of_those_at_the_new_place(growth: float):
    maps, offset = jnp.asarray(noise(SIZE, SIZE, 4)), jnp.array([11.0, -6.0])  # (x, y) in samples
    before = {"conv3": jnp.asarray(noise(SIDE, SIDE, 4, seed=1)), "conv5": jnp.ones((6, 6, 2))}
    learned = learn_recent({"alexnet": before}, {"alexnet": {"conv3": maps}}, offset, jnp.float32(growth), CONFIG)
    (now,) = resample(maps, offset[::-1] / CELL, SIDE, np.array([growth]), 1.1)
    expected = 0.95 * before["conv3"] + 0.05 * now
    np.testing.assert_allclose(learned["alexnet"]["conv3"], expected, atol=1e-6)
    np.testing.assert_array_equal(learned["alexnet"]["conv5"], before["conv5"])  # not in use


def test_recent_features_of_a_target_that_stays_become_those_at_its_place():
    maps, offset = jnp.asarray(noise(SIZE, SIZE, 4)), jnp.array([4.0, 2.0])
    (there,) = resample(maps, offset[::-1] / CELL, SIDE, np.ones(1), 1.0)
    recent = {"alexnet": {"conv3": jnp.zeros_like(there)}}
    for _ in range(200):
        recent = learn_recent(recent, {"alexnet": {"conv3": maps}}, offset, jnp.float32(1), CONFIG)
    np.testing.assert_allclose(recent["alexnet"]["conv3"], there, atol=1e-4)


def test_growth_beyond_the_scale_factors_counts_as_the_greatest():
    maps = jnp.asarray(noise(SIZE, SIZE, 4))
    recent = {"alexnet": {"conv3": jnp.zeros((SIDE, SIDE, 4))}}
    learned = [
        learn_recent(recent, {"alexnet": {"conv3": maps}}, jnp.zeros(2), jnp.float32(growth), CONFIG)
        for growth in (1.1, 1.5)
    ]
    np.testing.assert_array_equal(*(each["alexnet"]["conv3"] for each in learned))


def test_damping_takes_on_a_share_of_the_change():
    assert float(damped(jnp.float32(1.2), 0.25)) == pytest.approx(1.05)
    np.testing.assert_allclose(damped(jnp.array([0.5, 1.0, 2.0]), 1.0), [0.5, 1, 2])
    np.testing.assert_allclose(damped(jnp.array([0.5, 1.0, 2.0]), 0.0), 1)


def test_layers_count_alike_whatever_their_size():
    both = replace(CONFIG, alexnet_layers=("conv3", "conv5"))
    maps, large = smooth(SIZE, 2.0), 1e4 * noise(22, 22, 5)
    target = {"conv3": jnp.asarray(smooth(SIDE, 2.0)), "conv5": jnp.asarray(1e4 * noise(6, 6, 5, seed=1))}
    search = {"conv3": jnp.asarray(maps), "conv5": jnp.asarray(large)}
    found = similarity_by_factor({"alexnet": target}, {"alexnet": search}, jnp.zeros(2), both)
    single = [
        similarity_by_factor(
            {"alexnet": {layer: target[layer]}},
            {"alexnet": {layer: search[layer]}},
            jnp.zeros(2),
            replace(CONFIG, alexnet_layers=(layer,)),
        )
        for layer in ("conv3", "conv5")
    ]
    np.testing.assert_allclose(found, np.mean(single, axis=0), rtol=1e-5)


def test_jit_and_vmap_change_nothing():
    exemplar = exemplar_of(smooth(SIDE, 2.0))
    search = {"alexnet": {"conv3": jnp.asarray(smooth(SIZE, 2.1))}}
    offsets = jnp.array([[0.0, 0.0], [9.5, -20.25], [64.0, 64.0]])
    several = jax.jit(jax.vmap(lambda offset: similarity_by_factor(exemplar.features, search, offset, CONFIG)))(offsets)
    for offset, found in zip(offsets, several, strict=True):
        np.testing.assert_allclose(found, similarity_by_factor(exemplar.features, search, offset, CONFIG), atol=1e-6)
