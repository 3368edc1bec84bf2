"""`Tracker` and `warmup`: what is compiled when, and which frames are refused."""

import dataclasses
from typing import Any

import jax
import jaxtyping
import numpy as np
import pytest
from compilations import counted_compilations
from hypothesis import given
from hypothesis import strategies as st
from one_layer import SMALL
from scenes import video

import mfst_jax
from mfst_jax import multi, streaming
from mfst_jax.config import override
from mfst_jax.errors import InputError
from mfst_jax.presets import PAPER
from mfst_jax.streaming import check_size


@pytest.fixture(scope="module")
def params() -> mfst_jax.Params:
    return mfst_jax.load()


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong types must meet the library's own errors, which the import hook of the tests would forestall."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize("weights", ["plain", "prepared"])
def test_after_a_warmup_nothing_is_compiled(params: mfst_jax.Params, weights: str):
    config = override(SMALL, ("scale_penalty=0.9222",))
    used = params if weights == "plain" else mfst_jax.prepare(params, config)
    (first, second), truth = video(50, frames=2)
    mfst_jax.warmup(used, first.shape, config=config)
    follower = mfst_jax.Tracker(mfst_jax.prepare(params, config), config)
    follower.warmup(first.shape[:2])
    with counted_compilations() as compiled:
        state = mfst_jax.init(used, first, truth[0], config=config)
        state, output = mfst_jax.step(used, state, second)
        jax.block_until_ready(output)
        follower.init(first, truth[0])
        follower.update(second)
    assert compiled == []


NO_SIZES = [(), (3,), 7, (0, 10), (5, 5, 4), (2, 2, 2, 3), (90.0, 100.0), ("90", "100"), None]


@pytest.mark.parametrize("size", NO_SIZES)
def test_sizes_that_no_frame_has_are_named_as_they_were_given(params: mfst_jax.Params, unchecked: None, size: Any):
    prepared = mfst_jax.prepare(params, SMALL)
    for name, warm_up in (
        ("frame_shape", lambda: mfst_jax.warmup(prepared, size)),
        ("size", lambda: mfst_jax.Tracker(prepared).warmup(size)),
        ("size", lambda: mfst_jax.MultiTracker(prepared).warmup(size, 1)),
    ):
        with pytest.raises(InputError) as error:
            warm_up()
        assert str(error.value) == f"{name}: expected whole numbers (height, width) of at least 1, found {size!r}"


@given(st.lists(st.integers(-3, 2000) | st.sampled_from([3, 1.5, True, "4", None]), max_size=4))
def test_a_size_is_checked_or_refused(size: list[Any]):
    whole = all(isinstance(side, int) for side in size)
    sound = whole and len(size) in (2, 3) and size[2:] in ([], [3]) and min(size) >= 1
    if sound:
        assert check_size("size", size) == (size[0], size[1])
    else:
        with pytest.raises(
            InputError, match=r"^size: expected whole numbers \(height, width\) of at least 1, found \["
        ):
            check_size("size", size)


def test_the_shape_of_a_frame_is_a_size(params: mfst_jax.Params, monkeypatch: pytest.MonkeyPatch):
    prepared, shapes = mfst_jax.prepare(params, SMALL), []
    monkeypatch.setattr(
        streaming.tracker, "init_before_step", lambda params, frame, box, **_: shapes.append(frame.shape)
    )
    monkeypatch.setattr(streaming.tracker, "step", lambda *_: np.zeros(()))
    mfst_jax.warmup(prepared, (90, 100, 3))
    mfst_jax.Tracker(prepared).warmup((90, 100, 3))
    monkeypatch.setattr(multi.Tracks, "step", lambda *_: np.zeros(()))
    mfst_jax.MultiTracker(prepared).warmup((90, 100, 3), 1)
    assert shapes == [(90, 100, 3), (256, 256, 3), (256, 256, 3)]


@pytest.mark.parametrize("make", [mfst_jax.Tracker, mfst_jax.MultiTracker])
def test_what_prepared_weights_cannot_serve_is_refused_at_once(params: mfst_jax.Params, unchecked: None, make: Any):
    prepared = mfst_jax.prepare(params, SMALL)
    with pytest.raises(InputError, match=r"^config: expected only what the weights were prepared for, found siamfc"):
        make(prepared, PAPER)
    with pytest.raises(InputError, match=r"^config: expected a Config such as mfst_jax.PAPER, found 3$"):
        make(prepared, 3)
    contents = dataclasses.replace(prepared.contents, siamfc=False, siamfc_se=False, siamfc_variant="siamfc")
    with pytest.raises(InputError, match=r"^config.models: expected only what the weights hold"):
        make(dataclasses.replace(prepared, contents=contents), PAPER)


def test_a_tracker_refuses_frames_of_other_sizes(params: mfst_jax.Params):
    tracker = mfst_jax.Tracker(params, SMALL)
    frames, truth = video(51, frames=2)
    tracker.init(frames[0], truth[0])
    with pytest.raises(InputError, match=r"first frame's shape \[120, 160, 3\], found shape \[119, 160, 3\]"):
        tracker.update(frames[1][1:])
    with pytest.raises(InputError, match="uint8"):
        tracker.update(frames[1].astype(np.int32))
