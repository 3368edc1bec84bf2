"""The stages of a step, one by one, with a network made up for it (`made_up_network.py`).

The target of most tests has a search region with a side of 255 pixels, in which a sample is a pixel.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scenes import texture

import mfst_jax
from mfst_jax import stages
from mfst_jax.config import Config
from mfst_jax.crops import CENTRE_SIZE
from mfst_jax.params import Params
from mfst_jax.presets import ALEXNET
from mfst_jax.second_look import Again
from mfst_jax.state import Output, State

SIDE = 127 / 2
"""Side of a target whose search region has one of 255 pixels."""
BOX = np.array([150 - (SIDE - 1) / 2, 140 - (SIDE - 1) / 2, SIDE, SIDE], np.float32)
CENTRE = (150, 140)
FRAME = texture(np.random.default_rng(0), 280, 320, grain=20)
BY_CROPS = replace(
    ALEXNET,
    alexnet_layers=("conv5",),
    scale_search="crops",
    scale_step=1.2,
    window_influence=0.0,
    centre_search=8.25,  # as far as a move by a cell is found to be, by the samples of the map
    second_look=0.5,
    score_midpoint=0.6,  # between the target and the place in the region that resembles it most
    score_slope=10.0,
)
STEPS = replace(BY_CROPS, scale_count=1)
LEARNING = replace(
    BY_CROPS, scale_search="features", scale_tilt=0.0, filter_share=1.0, recent_share=1.0, second_look=0.0
)

search_frame = jax.jit(stages.search_frame, static_argnames="samples")


def moved(columns: int, rows: int) -> np.ndarray:
    """The frame with all that is in it elsewhere."""
    return np.roll(FRAME, (rows, columns), axis=(0, 1))


def grown(factor: float) -> np.ndarray:
    """The frame with all that is in it larger by a factor, around the target."""
    (x, y), (height, width) = CENTRE, FRAME.shape[:2]
    return np.asarray(
        Image.fromarray(FRAME).transform(
            (width, height),
            Image.Transform.AFFINE,
            (1 / factor, 0, x + 0.5 - (x + 0.5) / factor, 0, 1 / factor, y + 0.5 - (y + 0.5) / factor),
            Image.Resampling.BICUBIC,
        )
    )


def noting(name: str, *places: int) -> Callable[..., Any]:
    """The function of `stages` by this name, that also notes the numbers in some places among its arguments."""
    function = getattr(stages, name)

    def noting(*arguments: Any) -> Any:
        jax.debug.callback(lambda *values: NOTED.update({name: values}), *(arguments[place] for place in places))
        return function(*arguments)

    return noting


NOTED: dict[str, tuple] = {}
"""What the last search gave those that learn, or use what was learned."""
NOTING = {name: noting(name, *places) for name, *places in (("mix_in", 3), ("learn", 2), ("learn_recent", 2, 3))}


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, function in NOTING.items():
        monkeypatch.setattr(stages, name, function)


def begin(params: Params, config: Config, box: Any = BOX, frame: np.ndarray = FRAME) -> State:
    return mfst_jax.init(params, frame, box, config=config)


def search(
    params: Params,
    state: State,
    frame: np.ndarray,
    *,
    is_second: bool = False,
    background: float = -1.0,
    config: Config | None = None,
    **more: Any,
) -> tuple[State, Output]:
    """State and output after one search, the first of a frame or a second one (`second_look.Again`)."""
    again = Again(jnp.array(is_second), jnp.float32(background))
    config = state.config if config is None else config
    return search_frame(params, state, frame=jnp.asarray(frame), config=config, again=again, **more)


def score_of_the_target(background: float) -> float:
    """Score where the target itself is: its similarity is 1."""
    return 1 / (1 + np.exp(-BY_CROPS.score_slope * (1 - background - BY_CROPS.score_midpoint)))


def test_the_first_state_is_at_the_box_and_is_searched_as_a_whole(made_up: Params):
    state = begin(made_up, LEARNING)
    np.testing.assert_array_equal(state.centre, CENTRE)
    np.testing.assert_array_equal(state.size, (SIDE, SIDE))
    assert (float(state.scale), float(state.background), int(state.lost_frames)) == (1, 0, 0)
    assert not state.searches_centre
    np.testing.assert_allclose(state.fill, FRAME.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_array_equal(state.recent["alexnet"]["conv5"], state.exemplar.features["alexnet"]["conv5"])
    assert {layer: maps.shape for layer, maps in state.templates.items()} == {
        "pool1": (61, 61, 3),
        "conv5": (22, 22, 3),
    }
    assert all(np.asarray(maps).any() for maps in state.templates.values())
    plain = begin(made_up, BY_CROPS)
    assert (plain.recent, plain.templates) == ({}, {})


@pytest.mark.parametrize(("levels", "is_visible"), [(4, True), (3, False)])
def test_what_differs_by_four_grey_levels_is_visible(made_up: Params, levels: int, is_visible: bool):
    frame = (100 + levels * (FRAME > 128)).astype(np.uint8)
    state = begin(made_up, LEARNING, frame=frame)
    assert np.asarray(state.exemplar.features["alexnet"]["conv5"]).any() == is_visible
    assert all(np.asarray(maps).any() == is_visible for maps in state.templates.values())


@pytest.mark.parametrize(("size", "scale"), [(SIDE, 1.0), (1.5 * SIDE, 1.0), (SIDE, 1.25)])
def test_the_target_moves_by_as_many_pixels_as_the_frame(made_up: Params, size: float, scale: float):
    box = np.array([*np.subtract(CENTRE, (size - 1) / 2), size, size], np.float32)
    state = begin(made_up, BY_CROPS, box)
    state = replace(state, size=state.size / scale, scale=jnp.float32(scale))
    by = np.array([24, -16]) * size / SIDE  # whole cells
    following, output = search(made_up, state, moved(*by.astype(int)))
    np.testing.assert_allclose(following.centre, CENTRE + by, atol=1)
    np.testing.assert_allclose(output.box, np.add(box, [*by, 0, 0]), atol=1)
    assert float(output.score) == pytest.approx(score_of_the_target(float(following.background)), abs=0.01)


@pytest.mark.parametrize("config", [BY_CROPS, LEARNING], ids=["by crops", "by features"])
@pytest.mark.parametrize("is_larger", [True, False])
def test_the_target_grows_by_a_share_of_what_it_grew(made_up: Params, config: Config, is_larger: bool):
    factor = config.scale_step if is_larger else 1 / config.scale_step
    state, frame = begin(made_up, config), grown(factor)
    at_scale = {
        scale: search(made_up, replace(state, size=state.size / scale, scale=jnp.float32(scale)), frame)
        for scale in (1.25, config.scale_max, config.scale_min)
    }
    following, output = at_scale[1.25]
    growth = 1 + config.scale_damping * (factor - 1)
    assert float(following.scale) == pytest.approx(1.25 * growth)
    np.testing.assert_allclose(output.box[2:], SIDE * growth, rtol=1e-5)
    np.testing.assert_allclose(following.centre, CENTRE, atol=2)
    assert (float(at_scale[config.scale_max][0].scale) == config.scale_max) == is_larger
    assert (float(at_scale[config.scale_min][0].scale) == pytest.approx(config.scale_min)) == (not is_larger)


def test_what_is_learned_is_of_the_new_place_at_the_new_size(made_up: Params):
    box = (150 - 31.5, 140 - 17.5, 64, 36)
    state, frame = begin(made_up, LEARNING, box), np.roll(grown(1.2), (16, -24), axis=(0, 1))
    following, _ = search(made_up, replace(state, size=state.size / 1.25, scale=jnp.float32(1.25)), frame)
    jax.effects_barrier()
    side = np.sqrt((64 + 50) * (36 + 50)) * 255 / 127
    (offset,), (same, growth) = NOTED["learn"], NOTED["learn_recent"]
    np.testing.assert_allclose(NOTED["mix_in"], [np.array([64, 36]) * 255 / side], rtol=1e-6)  # the target, in samples
    np.testing.assert_allclose(offset * side / 255, following.centre - state.centre, rtol=1e-4)
    np.testing.assert_array_equal(same, offset)
    assert float(growth) == pytest.approx(float(following.scale / 1.25))
    assert float(growth) != 1
    learned = jax.tree.leaves((state.recent, state.templates)), jax.tree.leaves((following.recent, following.templates))
    assert not any(np.array_equal(before, after) for before, after in zip(*learned, strict=True))


def test_a_centre_search_learns_and_compares_with_no_more_than_it_sees(made_up: Params):
    state = replace(begin(made_up, LEARNING), background=jnp.float32(0.4))
    following, output = search(made_up, state, moved(8, -16), samples=CENTRE_SIZE)
    np.testing.assert_allclose(following.centre, np.add(CENTRE, (8, -16)), atol=1)
    assert float(following.background) == pytest.approx(0.4)
    assert float(output.score) == pytest.approx(score_of_the_target(0.4), abs=0.02)
    for layer, maps in state.templates.items():
        np.testing.assert_array_equal(following.templates[layer], maps)
    assert (np.asarray(output.response)[:64] == np.asarray(output.response).min()).all()


def test_a_second_place_has_to_stand_out_from_the_first_region_too(made_up: Params):
    state = begin(made_up, BY_CROPS)
    for background in (-1.0, 0.1, 0.9):
        following, output = search(made_up, state, FRAME, is_second=True, background=background)
        standard = max(float(following.background), background)
        assert float(output.score) == pytest.approx(score_of_the_target(standard), abs=0.01)
        assert following.searches_centre == (background < 0.9)  # it stood still, but is not surely there


def test_the_window_counts_in_a_first_search_alone(made_up: Params):
    config, state, frame = replace(BY_CROPS, window_influence=1.0), begin(made_up, BY_CROPS), moved(24, -16)
    first, second = (search(made_up, state, frame, is_second=each, config=config)[0] for each in (False, True))
    np.testing.assert_allclose(first.centre, CENTRE, atol=0.3)
    np.testing.assert_allclose(second.centre, np.add(CENTRE, (24, -16)), atol=1)


def test_what_was_learned_counts_in_a_first_search_alone(made_up: Params):
    """The filters have learned another place, or lately the target was larger."""
    state = begin(made_up, LEARNING)
    elsewhere = replace(state, templates=begin(made_up, LEARNING, frame=moved(24, -16)).templates)
    first, second = (search(made_up, elsewhere, FRAME, is_second=each)[0] for each in (False, True))
    np.testing.assert_allclose(first.centre, np.subtract(CENTRE, (24, -16)), atol=2)
    np.testing.assert_allclose(second.centre, CENTRE, atol=1)
    larger = replace(state, recent=begin(made_up, LEARNING, frame=grown(1.2)).recent)
    first, second = (search(made_up, larger, FRAME, is_second=each)[0] for each in (False, True))
    assert float(first.scale) == pytest.approx(1 + LEARNING.scale_damping * (1 / 1.2 - 1))
    assert float(second.scale) == 1


@pytest.mark.parametrize("what", ["a blank frame", "a blank region with the frame's edge", "a blank target"])
def test_where_nothing_is_to_be_seen_all_stays_as_it_was(made_up: Params, what: str):
    blank = np.full_like(FRAME, 90)
    state = begin(made_up, LEARNING, frame=blank if what == "a blank target" else FRAME)
    state = replace(state, background=jnp.float32(0.3))
    if what == "a blank region with the frame's edge":
        state = replace(state, centre=jnp.array([20.0, 30.0]), fill=jnp.array([200.0, 10, 10]))
    following, output = search(made_up, state, FRAME if what == "a blank target" else blank)
    assert float(output.score) == 0
    assert not following.searches_centre
    for one, other in zip(jax.tree.leaves(following), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("by", "is_slow"), [((0, 0), True), ((8, 0), True), ((8, -8), True), ((16, 0), False), ((0, -16), False)]
)
def test_a_slow_target_is_next_searched_for_in_the_centre(made_up: Params, by: tuple[int, int], is_slow: bool):
    following, output = search(made_up, begin(made_up, BY_CROPS), moved(*by))
    assert float(output.score) > 0.5
    assert following.searches_centre == is_slow


def test_a_step_searches_what_the_state_asks_for_alone_and_in_a_batch(made_up: Params):
    whole = begin(made_up, STEPS)
    centre = replace(whole, searches_centre=jnp.array(True), background=jnp.float32(0.3))
    frames = [moved(100, 0), moved(8, 8)]
    loops = [mfst_jax.step(made_up, state, frame) for state, frame in zip((whole, centre), frames, strict=True)]
    states, outputs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *loops)
    lowest = np.asarray(outputs.response)[:, :64].max(axis=(1, 2)) == np.asarray(outputs.response).min(axis=(1, 2))
    assert lowest.tolist() == [False, True]
    # The target that jumped is found by a second look.
    np.testing.assert_allclose(states.centre, np.add(CENTRE, [(100, 0), (8, 8)]), atol=1)
    given = jax.tree.map(lambda *leaves: jnp.stack(leaves), whole, centre)
    found = jax.vmap(lambda state, frame: mfst_jax.step(made_up, state, frame))(given, jnp.stack(frames))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves((states, outputs)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_batch_has_a_step_of_its_own_where_centres_are_searched(made_up: Params):
    chosen = []

    def choose(state: State, config: Config) -> Any:
        chosen.append(stages.next_state_for(state, config))
        return state.scale

    state = begin(made_up, STEPS)
    choose(state, STEPS)
    for config in (STEPS, replace(STEPS, centre_search=0.0)):
        jax.vmap(lambda state, config=config: choose(state, config))(jax.tree.map(lambda leaf: leaf[None], state))
    assert chosen == [stages.next_state, stages.next_state_of_batch, stages.next_state]
