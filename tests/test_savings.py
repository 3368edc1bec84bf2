"""What saves work: a slow target is searched near, scales are searched in some frames alone."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scenes import video
from searches import SEVERAL

import mfst_jax
from mfst_jax import localisation
from mfst_jax.config import AUTHORS, REALTIME, Config
from mfst_jax.crops import NEAR_SIZE
from mfst_jax.errors import InputError
from mfst_jax.network import bind
from mfst_jax.params import Params
from mfst_jax.search import search_regions

NEAR = replace(SEVERAL, scale_search="exemplar", scale_step=1.0375, near_search=8.0)


@pytest.fixture(scope="module")
def params() -> Params:
    return mfst_jax.load()


def test_responses_are_the_middle_of_those_of_the_whole_region(params: Params):
    frames, truth = video(0, frames=2)
    state = mfst_jax.init(params, frames[0], truth[0], config=NEAR)
    for weights in (params, mfst_jax.prepare(params, NEAR)):
        network = bind(weights, NEAR)
        whole, near = (
            network.match(state.exemplar, search_regions(state, jnp.asarray(frames[1]), NEAR, samples))[0]
            for samples in (255, NEAR_SIZE)
        )
        for layer, maps in whole["alexnet"].items():
            middle = maps[:, 4:13, 4:13]
            assert near["alexnet"][layer].shape == (3, 9, 9)
            np.testing.assert_allclose(near["alexnet"][layer], middle, atol=2e-5 * float(jnp.max(maps)))


def test_a_slow_target_is_searched_near_and_a_fast_one_far(params: Params):
    frames, truth = video(0, frames=2)
    state = mfst_jax.init(params, frames[0], truth[0], config=NEAR)
    assert not state.near
    state, _ = mfst_jax.step(params, state, frames[0])  # it stood still
    assert state.near
    side = float(mfst_jax.boxes.context_side(state.size, NEAR.context)) * 255 / 127
    moved = np.roll(frames[0], round(20 / 255 * side), axis=1)  # by 20 samples, within reach
    state, output = mfst_jax.step(params, state, moved)
    assert not state.near
    assert float(output.box[0]) - truth[0][0] == pytest.approx(20 / 255 * side, abs=2.5)


def test_an_unsure_one_is_searched_far(params: Params):
    frames, truth = video(0, frames=2)
    sceptic = replace(NEAR, score_midpoint=0.9)
    state = mfst_jax.init(params, frames[0], truth[0], config=sceptic)
    state, output = mfst_jax.step(params, state, frames[0])
    assert float(output.score) < 0.5
    assert not state.near


def test_what_is_reported_of_a_near_search_is_of_the_usual_kind(params: Params):
    frames, truth = video(0, frames=2)
    first = mfst_jax.init(params, frames[0], truth[0], config=NEAR)
    state, far = mfst_jax.step(params, first, frames[0])
    again, near = mfst_jax.step(params, state, frames[0])
    assert near.response.shape == far.response.shape == (272, 272)
    edge = np.asarray(near.response)[:64]
    assert (edge == np.asarray(near.response).min()).all()
    assert again.background == state.background
    assert float(near.score) == pytest.approx(float(far.score), abs=0.02)
    np.testing.assert_allclose(near.box, far.box, atol=1.0)


@pytest.mark.parametrize("velocity", [(1, 0), (9, 4)])
def test_a_track_stays_nearly_the_same_and_transforms(params: Params, velocity):
    frames, truth = video(2, frames=6, velocity=velocity)
    frames, box = jnp.asarray(frames), jnp.asarray(truth[0], jnp.float32)
    plain = mfst_jax.track(params, frames, box, config=replace(NEAR, near_search=0.0)).boxes
    near = mfst_jax.track(params, frames, box, config=NEAR).boxes
    np.testing.assert_allclose(near, plain, atol=1.5)

    def one(frames: jax.Array, box: jax.Array) -> jax.Array:
        return mfst_jax.track(params, frames, box, config=NEAR).boxes

    several = jax.jit(jax.vmap(one))(jnp.stack([frames, frames[:, ::-1]]), jnp.stack([box, box]))
    np.testing.assert_allclose(several[0], near, atol=1e-2)


def test_scales_are_searched_in_every_third_frame(params: Params):
    frames, truth = video(0, frames=1)
    x, y = truth[0, :2] + truth[0, 2:] / 2
    by = 1 / 1.1
    grown = Image.fromarray(frames[0]).transform(
        (160, 120), Image.Transform.AFFINE, (by, 0, x - x * by, 0, by, y - y * by)
    )
    grown = np.asarray(grown)
    config = replace(SEVERAL, scale_every=3, scale_step=1.0375)
    state = mfst_jax.init(params, frames[0], truth[0], config=config)
    scales, centres = [], []
    for _ in range(7):
        state, _ = mfst_jax.step(params, state, grown)
        scales.append(float(state.scale))
        centres.append(np.asarray(state.centre))
    changes = np.diff([1.0, *scales]) != 0
    assert scales[0] > 1
    assert not changes[[1, 2, 4, 5]].any()
    assert int(state.steps) == 7
    every = replace(config, scale_every=1)
    first, _ = mfst_jax.step(params, mfst_jax.init(params, frames[0], truth[0], config=every), grown)
    np.testing.assert_allclose(centres[0], first.centre, atol=1e-3)
    assert float(first.scale) == pytest.approx(scales[0], abs=1e-6)


def test_both_at_once_are_a_scan_too(params: Params):
    frames, truth = video(2, frames=6, velocity=(2, 1))
    frames, box = jnp.asarray(frames), jnp.asarray(truth[0], jnp.float32)
    config = replace(SEVERAL, scale_every=2, near_search=8.0)
    plain = mfst_jax.track(params, frames, box, config=config)
    scanned = jax.jit(lambda frames, box: mfst_jax.track(params, frames, box, config=config))(frames, box)
    np.testing.assert_allclose(scanned.boxes, plain.boxes, atol=1e-2)


def test_a_state_that_was_near_serves_a_configuration_that_never_is(params: Params):
    frames, truth = video(0, frames=1)
    far = replace(SEVERAL, scale_every=2)
    state = mfst_jax.init(params, frames[0], truth[0], config=replace(far, near_search=8.0))
    state, _ = mfst_jax.step(params, state, frames[0])
    state, _ = mfst_jax.step(params, state, frames[0])
    assert state.near
    expected = mfst_jax.step(params, replace(state, near=jnp.asarray(False)), frames[0], config=far)[1]
    found = mfst_jax.step(params, state, frames[0], config=far)[1]
    np.testing.assert_array_equal(found.response, expected.response)


def test_the_middle_of_the_window_is_a_window():
    window, whole = localisation.hann_window(144), localisation.hann_window()
    assert window.sum() == pytest.approx(1)
    np.testing.assert_allclose(window / window.max(), whole[64:208, 64:208] / whole.max(), rtol=1e-12)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match=r"config\.near_search"):
        replace(REALTIME, near_search=40.0)
    with pytest.raises(InputError, match="half_pixel, which near_search needs"):
        replace(AUTHORS, near_search=8.0)
    with pytest.raises(InputError, match="search, which scale_every is about"):
        replace(NEAR, scale_every=2)
    assert (Config().near_search, Config().scale_every) == (0, 1)
