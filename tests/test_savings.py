"""Centre search: a slow target is searched for in the centre of its search region alone."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scenes import video
from searches import BY_FEATURES, check_middles

import mfst_jax
from mfst_jax.config import Config
from mfst_jax.crops import CENTRE_SIZE, SEARCH_SIZE
from mfst_jax.errors import InputError
from mfst_jax.params import Params
from mfst_jax.presets import AUTHORS, REALTIME

CENTRE = replace(BY_FEATURES, scale_step=1.0375, centre_search=8.0)
ONE_LAYER = replace(CENTRE, alexnet_layers=("conv5",))
"""What is laid out for any layers compiles sooner."""


def test_responses_are_the_middle_of_those_of_the_whole_region(params: Params):
    frames, truth = video(0, frames=2)
    check_middles(params, CENTRE, frames, truth[0], (CENTRE_SIZE, 9), (SEARCH_SIZE, 17))


def test_a_slow_target_is_searched_in_the_centre_and_a_fast_one_in_the_whole_region(params: Params):
    frames, truth = video(0, frames=2)
    state = mfst_jax.init(params, frames[0], truth[0], config=ONE_LAYER)
    assert not state.searches_centre
    state, _ = mfst_jax.step(params, state, frames[0])  # it stood still
    assert state.searches_centre
    side = float(mfst_jax.boxes.context_side(state.size, ONE_LAYER.context)) * 255 / 127
    moved = np.roll(frames[0], round(20 / 255 * side), axis=1)  # by 20 samples, within reach
    state, output = mfst_jax.step(params, state, moved)
    assert not state.searches_centre
    assert float(output.box[0]) - truth[0][0] == pytest.approx(20 / 255 * side, abs=2.5)


def test_one_with_a_low_score_is_searched_in_the_whole_region(made_up: Params):
    frames, truth = video(0, frames=2)
    sceptic = replace(CENTRE, score_midpoint=2.0)
    state = mfst_jax.init(made_up, frames[0], truth[0], config=sceptic)
    state, output = mfst_jax.step(made_up, state, frames[0])
    assert float(output.score) < 0.5
    assert not state.searches_centre


def test_what_is_reported_of_a_centre_search_is_of_the_usual_kind(params: Params):
    frames, truth = video(0, frames=2)
    first = mfst_jax.init(params, frames[0], truth[0], config=ONE_LAYER)
    state, whole = mfst_jax.step(params, first, frames[0])
    again, centre = mfst_jax.step(params, state, frames[0])
    assert centre.response.shape == whole.response.shape == (272, 272)
    edge = np.asarray(centre.response)[:64]
    assert (edge == np.asarray(centre.response).min()).all()
    assert again.background == state.background
    assert float(centre.score) == pytest.approx(float(whole.score), abs=0.02)
    np.testing.assert_allclose(centre.box, whole.box, atol=1.0)


@pytest.mark.slow  # a step under vmap is in tests/test_lowering.py
@pytest.mark.parametrize("velocity", [(1, 0), (9, 4)])
def test_a_track_stays_nearly_the_same_and_transforms(params: Params, velocity):
    frames, truth = video(2, frames=4, velocity=velocity)
    frames, box = jnp.asarray(frames), jnp.asarray(truth[0], jnp.float32)
    plain = mfst_jax.track(params, frames, box, config=replace(ONE_LAYER, centre_search=0.0)).boxes
    found = mfst_jax.track(params, frames, box, config=ONE_LAYER).boxes
    np.testing.assert_allclose(found, plain, atol=1.5)

    track = jax.jit(jax.vmap(partial(mfst_jax.track, config=ONE_LAYER), in_axes=(None, 0, 0)))
    several = track(params, jnp.stack([frames, frames[:, ::-1]]), jnp.stack([box, box])).boxes
    np.testing.assert_allclose(several[0], found, atol=1e-2)


def test_a_state_that_is_to_be_searched_in_its_centre_serves_a_configuration_without(made_up: Params):
    frames, truth = video(0, frames=1)
    whole = replace(CENTRE, centre_search=0.0)
    state = mfst_jax.init(made_up, frames[0], truth[0], config=CENTRE)
    state, _ = mfst_jax.step(made_up, state, frames[0])
    assert state.searches_centre
    expected = mfst_jax.step(made_up, replace(state, searches_centre=jnp.asarray(False)), frames[0], config=whole)[1]
    found = mfst_jax.step(made_up, state, frames[0], config=whole)[1]
    np.testing.assert_array_equal(found.response, expected.response)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match=r"config\.centre_search"):
        replace(REALTIME, centre_search=40.0)
    with pytest.raises(InputError, match="half_pixel, which centre_search needs"):
        replace(AUTHORS, centre_search=8.0)
    assert Config().centre_search == 0
