"""`Tracker` and `warmup`: what is compiled when, and which frames are refused."""

import jax
import numpy as np
import pytest
from compilations import counted_compilations
from one_layer import SMALL
from scenes import video

import mfst_jax
from mfst_jax.config import override
from mfst_jax.errors import InputError


@pytest.fixture(scope="module")
def params() -> mfst_jax.Params:
    return mfst_jax.load()


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


@pytest.mark.parametrize("shape", [(), (3,), (0, 5), (5, 5, 4), (2, 2, 2, 3)])
def test_shapes_that_no_frame_has(params: mfst_jax.Params, shape: tuple[int, ...]):
    with pytest.raises(InputError, match="frame_shape"):
        mfst_jax.warmup(params, shape)


def test_a_tracker_refuses_frames_of_other_sizes(params: mfst_jax.Params):
    tracker = mfst_jax.Tracker(params, SMALL)
    frames, truth = video(51, frames=2)
    tracker.init(frames[0], truth[0])
    with pytest.raises(InputError, match=r"first frame's shape \[120, 160, 3\], found shape \[119, 160, 3\]"):
        tracker.update(frames[1][1:])
    with pytest.raises(InputError, match="uint8"):
        tracker.update(frames[1].astype(np.int32))
