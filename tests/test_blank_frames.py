"""Frames in which nothing is to be seen: the target stays where it was, as large as it was, and counts as lost."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_layer import SMALL
from scenes import texture, video
from searches import SEVERAL

import mfst_jax
from mfst_jax.config import Config
from mfst_jax.fast import prepare_for
from mfst_jax.params import Contents, Params
from mfst_jax.presets import ALEXNET, PRESETS, REALTIME

SIZE = 96, 128
REST = ("realtime", "paper", "authors", "alexnet")
"""Presets that search as others do: by several regions and two backbones, or by the scale in features."""
BOXES = {"inside": (50, 36, 24, 20), "over a corner": (-6, 70, 30, 40)}
NOISE = np.random.default_rng(0).integers(-1, 2, (*SIZE, 3))


def constant(value: Any) -> np.ndarray:
    return np.broadcast_to(np.uint8(value), (*SIZE, 3)).copy()


def with_logo() -> np.ndarray:
    frame = constant(128)
    frame[:6, -12:] = texture(np.random.default_rng(1), 6, 12, grain=3)
    return frame


SCENE = video(30, frames=1, size=SIZE, target=(20, 24), start=(50, 36))[0][0]
BLANK = {
    "black": constant(0),
    "grey": constant(128),
    "white": constant(255),
    "blue": constant((0, 0, 255)),
    "black, with noise": np.clip(NOISE, 0, 255).astype(np.uint8),
    "grey, with noise": (128 + NOISE).astype(np.uint8),
    "white, with noise": np.clip(255 + NOISE, 0, 255).astype(np.uint8),
    "a logo beside the search region": with_logo(),
    "a faint gradient": np.broadcast_to(np.linspace(127, 130, SIZE[1])[:, None], (*SIZE, 3)).astype(np.uint8),
}


def assert_stays(weights: Any, frames: list[np.ndarray], box: Any, config: Config | None = None) -> None:
    """From the second frame on, to the last bit."""
    state = mfst_jax.init(weights, frames[0], box, config=config)
    for frame in frames[1:]:
        after, output = mfst_jax.step(weights, state, frame)
        np.testing.assert_array_equal(after.centre, state.centre)
        np.testing.assert_array_equal(after.scale, state.scale)
        np.testing.assert_allclose(output.box, box, rtol=1e-6)
        assert float(output.score) == 0
        state = after


@pytest.fixture(scope="module")
def both(random_params: Callable[[Contents], Params]) -> Params:
    return random_params(Contents(siamfc=True, alexnet="torchvision", siamfc_se=True, alexnet_se=True))


@pytest.fixture(scope="module")
def alexnet() -> Params:
    return mfst_jax.load()


@pytest.mark.parametrize("preset", ["siamfc", *(pytest.param(each, marks=pytest.mark.slow) for each in REST)])
def test_every_preset_stays_in_blank_frames_and_moves_in_others(both: Params, preset: Any):
    config = PRESETS[preset]
    assert_stays(both, [SCENE, BLANK["grey, with noise"], BLANK["a faint gradient"]], BOXES["inside"], config)
    assert_stays(both, [SCENE, BLANK["black"]], BOXES["over a corner"], config)
    assert_stays(both, [BLANK["grey"], BLANK["black"]], BOXES["inside"], config)
    state = mfst_jax.init(both, SCENE, BOXES["inside"], config=config)
    after, output = mfst_jax.step(both, state, np.roll(SCENE, 5, axis=1))
    assert not np.array_equal(after.centre, state.centre)
    assert float(output.score) > 0


@pytest.mark.parametrize(
    ("search", "config"),
    [
        pytest.param("plain", None, marks=pytest.mark.slow),
        ("prepared", ALEXNET),
        pytest.param("prepared", None, marks=pytest.mark.slow),
    ],
    ids=["plain", "prepared", "prepared, with filters"],
)
def test_trained_weights_stay_too(alexnet: Params, search: str, config: Config | None):
    weights = alexnet if search == "plain" else prepare_for(alexnet, config, "toom_cook")
    blank = [*BLANK.values()]
    assert_stays(weights, [SCENE, *blank], BOXES["inside"], config)
    assert_stays(weights, [SCENE, *blank[::3]], BOXES["over a corner"], config)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_stays_with_prepared_weights(both: Params, preset: Any):
    config = PRESETS[preset]
    weights = prepare_for(both, config, "toom_cook")
    for box in BOXES.values():
        assert_stays(weights, [SCENE, *BLANK.values()], box, config)


@pytest.mark.slow  # hundreds of operations are compiled, each by itself
def test_without_jit(alexnet: Params):
    config = replace(SEVERAL, alexnet_layers=("conv3",))  # as in tests/test_tracker.py, whose operations serve here
    with jax.disable_jit():
        assert_stays(alexnet, [SCENE, BLANK["black, with noise"]], BOXES["inside"], config)


@pytest.mark.parametrize(
    "config", [SMALL, pytest.param(None, marks=pytest.mark.slow)], ids=["one layer", "with filters"]
)
def test_one_of_several_may_be_blank(alexnet: Params, config: Config | None):
    moved = np.roll(SCENE, 4, axis=1)
    clips = np.stack([[SCENE, moved], [SCENE, BLANK["grey"]], [BLANK["grey"], moved]])
    boxes = np.tile(np.float32(BOXES["inside"]), (3, 1))
    found = jax.jit(jax.vmap(mfst_jax.track, in_axes=(None, 0, 0)))(alexnet, clips, boxes, config=config)
    np.testing.assert_allclose(found.box[0, 1, :2] - boxes[0, :2], (4, 0), atol=2)
    np.testing.assert_allclose(found.box[1:, 1], boxes[1:], rtol=1e-6)
    assert (np.asarray(found.score[:, 1]) > 0).tolist() == [True, False, False]


def test_a_covered_camera_finds_its_target_again(alexnet: Params):
    frames = [SCENE, np.roll(SCENE, 3, axis=1), *[BLANK["black, with noise"]] * 3, np.roll(SCENE, 6, axis=1)]
    result = mfst_jax.track(alexnet, np.stack(frames), BOXES["inside"])
    np.testing.assert_array_equal(result.box[2:5], np.tile(result.box[1], (3, 1)))
    assert np.asarray(result.score[2:5]).tolist() == [0, 0, 0]
    np.testing.assert_allclose(result.box[5, :2] - result.box[0, :2], (6, 0), atol=2)
    assert float(result.score[5]) > 0.5


def test_centre_searches_end_in_a_blank_frame(made_up: Params):
    config = replace(SEVERAL, centre_search=8.0)
    state = mfst_jax.init(made_up, SCENE, BOXES["inside"], config=config)
    state, _ = mfst_jax.step(made_up, state, SCENE)
    assert state.searches_centre
    blank, output = mfst_jax.step(made_up, state, BLANK["black"])
    assert not blank.searches_centre
    assert float(output.score) == 0
    np.testing.assert_array_equal(blank.centre, state.centre)
    assert blank.background == state.background


def test_the_edge_of_a_black_frame_is_nothing_to_be_seen(alexnet: Params):
    """The first frame's colour stands outside, so that the frame's edge shows in the search region."""
    config = replace(SEVERAL, fill="first")
    assert_stays(alexnet, [SCENE, BLANK["black"], BLANK["white, with noise"]], BOXES["over a corner"], config)


def test_a_target_that_left_the_frame_stays_outside(alexnet: Params):
    state = mfst_jax.init(alexnet, SCENE, BOXES["inside"])
    outside = replace(state, centre=jnp.array([-400.0, 50.0]))
    after, output = mfst_jax.step(alexnet, outside, SCENE)
    np.testing.assert_array_equal(after.centre, outside.centre)
    assert float(output.score) == 0


@pytest.mark.parametrize("blank", ["grey", "black, with noise"])
def test_a_blank_target_is_not_to_be_found(alexnet: Params, blank: str):
    assert_stays(alexnet, [BLANK[blank], SCENE, np.roll(SCENE, 5, axis=1)], BOXES["inside"])


def test_responses_of_nothing_move_nothing(random_params: Callable[[Contents], Params]):
    params = jax.tree.map(jnp.zeros_like, random_params(Contents(siamfc=True, alexnet=None)))
    assert_stays(params, [SCENE, np.roll(SCENE, 5, axis=1)], BOXES["inside"])


@pytest.mark.parametrize("config", [SEVERAL, replace(REALTIME, models=("alexnet",))])
def test_a_frame_of_nans_counts_as_blank_where_nobody_can_see_it(alexnet: Params, config: Config):
    state = mfst_jax.init(alexnet, SCENE, BOXES["inside"], config=config)
    step = jax.jit(mfst_jax.step)
    after, output = step(alexnet, state, np.full((*SIZE, 3), np.nan, np.float32))
    np.testing.assert_array_equal(after.centre, state.centre)
    np.testing.assert_array_equal(after.scale, state.scale)
    assert float(output.score) == 0
    _, output = step(alexnet, after, SCENE.astype(np.float32))
    assert float(output.score) > 0.5


def test_what_is_low_in_contrast_is_still_tracked(alexnet: Params):
    dim = (100 + SCENE / 8).astype(np.uint8)  # 32 grey levels
    frames = np.stack([dim, np.roll(dim, 4, axis=1), np.roll(dim, 8, axis=1)])
    result = mfst_jax.track(alexnet, frames, BOXES["inside"])
    np.testing.assert_allclose(result.box[:, 0] - result.box[0, 0], (0, 4, 8), atol=2)
    assert float(result.score.min()) > 0.5
