"""The second look: a target that jumps out of its search region is found again, and whatever is surely there stays."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scenes import texture
from searches import BY_FEATURES, CLOSE, SEVERAL

import mfst_jax
from mfst_jax import second_look
from mfst_jax.boxes import context_side
from mfst_jax.config import LAYERS, Config
from mfst_jax.errors import InputError
from mfst_jax.params import Params

LOOK = replace(BY_FEATURES, second_look=0.5, alexnet_layers=("conv5",))
SEVERAL_REGIONS = replace(SEVERAL, second_look=0.5, alexnet_layers=("conv5",))
OF_ALL_LAYERS = replace(LOOK, alexnet_layers=LAYERS)
TARGET, START = 24, (48, 80)
JUMP = 60
"""Pixels of a jump: beyond what one step reaches, within what a second look does (`test_the_jump_...`)."""


def clip(*places: tuple[int, int] | None, size: tuple[int, int] = (180, 240)) -> tuple[np.ndarray, np.ndarray]:
    """A patch on a still background: frames with its corner at each place, or without it; and its first box."""
    rng = np.random.default_rng(5)
    background, patch = texture(rng, *size, grain=16), texture(rng, TARGET, TARGET, grain=5)
    frames = np.repeat(background[None], len(places), axis=0)
    for frame, place in zip(frames, places, strict=True):
        if place is not None:
            frame[place[1] : place[1] + TARGET, place[0] : place[0] + TARGET] = patch
    assert places[0] is not None
    return frames, np.array([*places[0], TARGET, TARGET], np.float32)


JUMPS = [START, (START[0] + 1, START[1]), (START[0] + JUMP, START[1]), (START[0] + JUMP + 2, START[1] + 1)]


def error(box: np.ndarray, place: tuple[int, int]) -> float:
    return float(np.abs(np.asarray(box)[:2] - place).max())


def test_the_jump_is_out_of_a_steps_reach_and_within_a_second_looks():
    side = float(context_side(np.array([TARGET, TARGET], np.float32), LOOK.context)) * 255 / 127
    assert 64 / 255 * side < JUMP < (64 + second_look.DISTANCE) / 255 * side


@pytest.mark.parametrize(
    ("prepared", "config"),
    [(False, LOOK), (True, LOOK), pytest.param(True, OF_ALL_LAYERS, marks=pytest.mark.slow)],
    ids=["plain", "prepared", "prepared, all layers"],
)
def test_a_target_that_jumps_is_found_in_the_same_frame(params: Params, prepared: bool, config: Config):
    frames, box = clip(*JUMPS)
    weights = mfst_jax.prepare(params, config) if prepared else params
    found = mfst_jax.track(weights, frames, box, config=config)
    assert [error(b, place) < 4 for b, place in zip(found.box, JUMPS, strict=True)] == [True] * 4
    assert (np.asarray(found.score) > 0.5).all()
    lost = mfst_jax.track(weights, frames, box, config=replace(config, second_look=0.0))
    assert [error(b, place) < 4 for b, place in zip(lost.box, JUMPS, strict=True)] == [True, True, False, False]
    assert float(lost.score[2]) < 0.5


def test_several_search_regions_find_it_too_and_keep_the_scale(params: Params):
    frames, box = clip(*JUMPS)
    found = mfst_jax.track(params, frames[:3], box, config=SEVERAL_REGIONS)
    before = mfst_jax.track(params, frames[:2], box, config=SEVERAL_REGIONS)
    assert error(found.box[2], JUMPS[2]) < 4
    np.testing.assert_array_equal(found.state.scale, before.state.scale)


def test_a_target_that_is_surely_there_takes_no_second_look(params: Params):
    frames, box = clip(START, (START[0] + 3, START[1]), (START[0] + 6, START[1] + 2))
    weights = mfst_jax.prepare(params, LOOK)
    with_it, without = (mfst_jax.track(weights, frames, box, config=replace(LOOK, second_look=t)) for t in (0.5, 0.0))
    assert (np.asarray(without.score) > 0.5).all()
    np.testing.assert_allclose(with_it.box, without.box, **CLOSE)


def test_a_target_that_is_gone_is_not_found_elsewhere(params: Params):
    frames, box = clip(START, (START[0] + 1, START[1]), None)
    found, first = (mfst_jax.track(params, frames, box, config=replace(LOOK, second_look=t)) for t in (0.5, 0.0))
    assert float(first.score[2]) < 0.5
    np.testing.assert_allclose(found.box, first.box, **CLOSE)
    assert (int(found.state.lost_frames), int(first.state.lost_frames)) == (1, 0)


def test_a_place_outside_of_the_frame_is_never_taken(params: Params):
    frames, box = clip(START, (START[0] + 1, START[1]), (START[0] + JUMP, START[1]))
    state = mfst_jax.track(params, frames[:2], box, config=LOOK).state
    x = START[0] + JUMP + TARGET / 2
    for width, is_found in ((240, True), (int(x) - 1, False)):  # the frame ends before the target's centre
        cut = replace(state, frame_size=jnp.array([180, width], jnp.int32))
        _, output = mfst_jax.step(params, cut, frames[2])
        assert (error(output.box, JUMPS[2]) < 4) == is_found


def test_a_blank_frame_moves_nothing(params: Params):
    frames, box = clip(START, (START[0] + 1, START[1]))
    before = mfst_jax.track(params, frames, box, config=LOOK)
    after, output = mfst_jax.step(params, before.state, np.full_like(frames[0], 90))
    assert float(output.score) == 0
    np.testing.assert_array_equal(output.box, before.box[-1])
    np.testing.assert_array_equal(after.scale, before.state.scale)


def test_where_nothing_is_visible_around_the_target_nothing_is_found_farther_away(params: Params):
    frames, box = clip(START, None)
    frames[1, START[1] - 60 : START[1] + TARGET + 60, : START[0] + TARGET + 60] = 90
    state, output = mfst_jax.step(params, mfst_jax.init(params, frames[0], box, config=LOOK), frames[1])
    assert float(output.score) == 0
    np.testing.assert_array_equal(output.box, box)
    np.testing.assert_array_equal(state.scale, 1)


@pytest.mark.parametrize("centre_search", [pytest.param(0.0, marks=pytest.mark.slow), 8.0])
def test_a_loop_a_scan_and_a_batch_find_the_same(params: Params, centre_search: float):
    config = replace(LOOK, centre_search=centre_search, alexnet_layers=("conv3",))
    frames, box = clip(*JUMPS[:3])
    still, _ = clip(*[START] * 3)
    videos, boxes = np.stack([frames, still]), np.stack([box, box])
    loops = [mfst_jax.track(params, each, box, config=config) for each in videos]
    assert error(loops[0].box[2], JUMPS[2]) < 4
    track = partial(mfst_jax.track, config=config)
    scan = jax.jit(track)(params, frames, box)
    np.testing.assert_allclose(scan.box, loops[0].box, **CLOSE)
    batch = jax.jit(jax.vmap(track, in_axes=(None, 0, 0)))(params, videos, boxes)
    for row, loop in zip(batch.box, loops, strict=True):
        np.testing.assert_allclose(row, loop.box, **CLOSE)


@pytest.mark.parametrize(
    ("shape", "batched"),
    [((2,), jax.vmap), ((2,), lambda step: jax.vmap(jax.jit(step))), ((2, 1), lambda step: jax.vmap(jax.vmap(step)))],
    ids=["vmap", "vmap of jit", "vmap of vmap"],
)
def test_a_batch_looks_again_only_where_a_track_needs_it(params: Params, shape: tuple[int, ...], batched):
    config = replace(LOOK, alexnet_layers=("conv3",))
    frames, box = clip(START, START)
    state = mfst_jax.init(params, frames[0], box, config=config)
    states = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*shape, *leaf.shape)), state)
    program = str(jax.make_jaxpr(batched(lambda state: mfst_jax.step(params, state, frames[1])))(states))
    assert program.count("= cond[") == 1  # of a condition that is each track's own `vmap` leaves none


def test_a_value_of_any_track_is_a_batchs():
    values = jnp.array([[False, True], [False, False]])
    assert second_look.any_in_batch(values[0, 1])
    one = jax.vmap(second_look.any_in_batch, out_axes=None)
    assert [bool(one(row)) for row in values] == [True, False]
    assert bool(jax.vmap(jax.vmap(second_look.any_in_batch, out_axes=None), out_axes=None)(values))


def test_the_score_has_gradients_after_a_second_look(params: Params):
    config = replace(LOOK, peak_temperature=0.01)
    frames, box = clip(*JUMPS[:3])
    state = mfst_jax.track(params, frames[:2], box, config=config).state

    # Back to the frame the convolutions take minutes on CPUs.
    def score(features: dict, params: Params, state: mfst_jax.State) -> jax.Array:
        exemplar = replace(state.exemplar, features=features)
        return mfst_jax.step(params, replace(state, exemplar=exemplar), frames[2])[1].score

    value, gradient = jax.jit(jax.value_and_grad(score))(state.exemplar.features, params, state)
    assert value > 0.5
    slopes = gradient["alexnet"]["conv5"]
    assert np.isfinite(slopes).all()
    assert float(jnp.abs(slopes).max()) > 0


def test_a_threshold_that_is_no_score_is_refused():
    with pytest.raises(InputError, match=r"config\.second_look: expected in \[0, 1\], found 1\.5"):
        Config(second_look=1.5)
    assert Config().second_look == 0
