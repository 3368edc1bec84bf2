"""A quick start: which program takes which step, whatever takes long or fails beside it."""

import threading
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pytest
from compilations import hurry
from one_layer import SMALL as CONFIG
from scenes import video

import mfst_jax
from mfst_jax.compilation import quickly
from mfst_jax.config import override
from mfst_jax.fast import prepare_for
from mfst_jax.following import quick_start
from mfst_jax.following.quick_start import STEPS
from mfst_jax.multi import Start, Tracks
from mfst_jax.state import Output

SIZE = np.array([120, 160], np.int32)

pytestmark = pytest.mark.toom_cook


@pytest.fixture(scope="module")
def frames() -> Sequence[jax.Array]:
    return [jax.device_put(frame) for frame in video(60, frames=STEPS + 3)[0]]


@pytest.fixture(scope="module")
def box() -> np.ndarray:
    return video(60, frames=1)[1].astype(np.float32)


def take(tracks: Tracks, frames: Sequence[jax.Array]) -> list[Output]:
    return [jax.block_until_ready(tracks.step(frame)[0]) for frame in frames]


def assert_equal(found: Sequence[Output], expected: Sequence[Output]) -> None:
    assert len(found) == len(expected)
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_first_steps_are_the_quick_programs_and_the_others_the_fast_ones(
    params: mfst_jax.Params, frames: Sequence[jax.Array], box: np.ndarray
):
    found = take(quick_start.begin(params, Start(frames[0], box, SIZE, CONFIG)), frames[1:])
    quick, fast = prepare_for(params, CONFIG, "quick"), mfst_jax.prepare(params, CONFIG)
    expected: list[Output] = []
    with quickly():
        state = mfst_jax.init(quick, frames[0], box[0], config=CONFIG, frame_size=SIZE)
        for frame in frames[1 : STEPS + 1]:
            state, output = mfst_jax.step(quick, state, frame)
            expected.append(output)
    for frame in frames[STEPS + 1 :]:
        state, output = mfst_jax.step(fast, state, frame)
        expected.append(output)
    assert_equal(found, expected)


def test_the_quick_program_searches_whole_regions_and_the_fast_one_centres_too(
    params: mfst_jax.Params, frames: Sequence[jax.Array], box: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hurry, "on", True)  # what is searched does not depend on the convolutions
    config = override(CONFIG, ("centre_search=32",))
    tracks = quick_start.begin(params, Start(frames[0], box, SIZE, config))
    found = take(tracks, frames[1:])
    alone = quick_start.begin(params, Start(frames[0], box, SIZE, CONFIG), steps=STEPS)  # no fast program
    whole = take(alone, frames[1 : STEPS + 1])
    assert_equal(found[:STEPS], whole)
    assert tracks.states[0].config == config
    assert bool(tracks.states[0].searches_centre)
    np.testing.assert_allclose(found[-1].box, video(60, frames=STEPS + 3)[1][-1], atol=4)


def test_both_programs_find_the_same(params: mfst_jax.Params, frames: Sequence[jax.Array], box: np.ndarray):
    found = take(quick_start.begin(params, Start(frames[0], box, SIZE, CONFIG)), frames[1:])
    expected = take(Tracks(mfst_jax.prepare(params, CONFIG), Start(frames[0], box, SIZE, CONFIG)), frames[1:])
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.box, two.box, atol=0.01)
        np.testing.assert_allclose(one.response, two.response, atol=1e-4)
        np.testing.assert_allclose(one.score, two.score, atol=1e-4)


def test_results_do_not_depend_on_how_long_the_compiler_takes(
    params: mfst_jax.Params, frames: Sequence[jax.Array], box: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    soon = take(quick_start.begin(params, Start(frames[0], box, SIZE, CONFIG)), frames[1:])
    make_fast, told = quick_start.make_fast, threading.Event()

    def make_later(*args: Any) -> Any:
        assert told.wait(60)
        return make_fast(*args)

    monkeypatch.setattr(quick_start, "make_fast", make_later)
    tracks = quick_start.begin(params, Start(frames[0], box, SIZE, CONFIG))
    assert (tracks.is_compiling, tracks.is_settled) == (True, False)
    late = take(tracks, frames[1 : STEPS + 1])
    assert (tracks.is_compiling, tracks.is_settled) == (True, False)
    told.set()
    late += take(tracks, frames[STEPS + 1 :])
    assert (tracks.is_compiling, tracks.is_settled) == (False, True)
    assert_equal(late, soon)


def refuse(*_: object) -> None:
    raise MemoryError("of no use for this")


def test_a_short_video_needs_no_fast_program(
    params: mfst_jax.Params, frames: Sequence[jax.Array], box: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(quick_start, "make_fast", refuse)
    tracks = quick_start.begin(params, Start(frames[0], box, SIZE, CONFIG), steps=STEPS)
    take(tracks, frames[1:2])
    assert tracks.is_settled
    take(tracks, frames[2 : STEPS + 1])


def test_a_video_may_be_longer_than_its_header_says(
    params: mfst_jax.Params, frames: Sequence[jax.Array], box: np.ndarray
):
    known = take(quick_start.begin(params, Start(frames[0], box, SIZE, CONFIG)), frames[1:])
    told_less = take(quick_start.begin(params, Start(frames[0], box, SIZE, CONFIG), steps=2), frames[1:])
    assert_equal(told_less, known)


def test_what_the_compiler_refuses_is_said_where_it_is_needed(
    params: mfst_jax.Params, frames: Sequence[jax.Array], box: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(quick_start, "make_fast", refuse)
    tracks = quick_start.begin(params, Start(frames[0], box, SIZE, CONFIG))
    take(tracks, frames[1 : STEPS + 1])
    with pytest.raises(MemoryError, match="of no use"):
        tracks.step(frames[STEPS + 1])


def test_where_nothing_would_start_sooner_all_steps_are_the_same(
    params: mfst_jax.Params, frames: Sequence[jax.Array], box: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    prepared = mfst_jax.prepare(params, CONFIG)
    assert type(quick_start.begin(prepared, Start(frames[0], box, SIZE, CONFIG))) is Tracks
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert type(quick_start.begin(params, Start(frames[0], box, SIZE, CONFIG))) is Tracks
