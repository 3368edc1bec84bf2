"""The laws of `init`, `step` and `track`: what composes gives what separate runs give."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scenes import texture, video, zoom
from searches import BY_FEATURES, CLOSE, SEVERAL

import mfst_jax
from mfst_jax import InputError
from mfst_jax.config import Config
from mfst_jax.padding import pad
from mfst_jax.params import Contents, Params
from mfst_jax.search import search_regions

# What composes does so whatever is searched: one layer compiles soonest.
SEARCHES = [replace(config, alexnet_layers=("conv3",)) for config in (SEVERAL, BY_FEATURES)]
ONE_QUICKLY = [pytest.param(SEARCHES[0], marks=pytest.mark.slow), SEARCHES[1]]
WITH_THE_DEFAULT = pytest.mark.parametrize(
    "config", [SEARCHES[1], pytest.param(None, marks=pytest.mark.slow)], ids=["one layer", "by default"]
)


def assert_close_to_the_largest(ours: jax.Array, theirs: jax.Array) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * float(jnp.max(jnp.abs(theirs))))


def test_the_built_in_weights_follow_a_moving_target(params: Params):
    frames, truth = video(0, frames=8)
    result = mfst_jax.track(params, frames, truth[0])
    assert result.boxes.shape == (8, 4)
    assert result.boxes.dtype == jnp.float32
    np.testing.assert_array_equal(result.boxes[0], truth[0])
    overlap = jax.vmap(mfst_jax.boxes.iou)(result.boxes, jnp.asarray(truth))
    assert float(jnp.min(overlap)) > 0.7


@pytest.mark.parametrize(
    ("scale_search", "growth"),
    [
        ("features", 1 / 1.03),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in (("crops", 1.03), ("crops", 1 / 1.03))),
        pytest.param("features", 1.03, marks=pytest.mark.slow),
    ],
)
def test_the_box_grows_and_shrinks_with_the_target(params: Params, scale_search: Any, growth: float):
    config = replace(SEVERAL, scale_search=scale_search, scale_step=1.05, scale_penalty=0.99)
    frames, truth = zoom(0, growth)
    found = np.asarray(mfst_jax.track(params, frames, truth[0], config=config).boxes)
    real, scaled = np.log(truth[-1, 2:] / truth[0, 2:]), np.log(found[-1, 2:] / truth[0, 2:])
    np.testing.assert_allclose(scaled, real, rtol=0.3)
    overlap = jax.vmap(mfst_jax.boxes.iou)(jnp.asarray(found), jnp.asarray(truth))
    assert float(jnp.min(overlap)) > 0.75


def test_a_search_by_features_has_the_middle_one_of_three_regions(params: Params):
    frames, truth = video(0, frames=2)
    state = mfst_jax.init(params, frames[0], truth[0], config=BY_FEATURES)
    search = jax.jit(search_regions, static_argnums=2)
    one = search(state, jnp.asarray(frames[1]), BY_FEATURES)
    several = search(state, jnp.asarray(frames[1]), replace(BY_FEATURES, scale_search="crops"))
    assert (one.images.shape, several.images.shape) == ((1, 255, 255, 3), (3, 255, 255, 3))
    for array, arrays in zip(one, several, strict=True):
        np.testing.assert_array_equal(array[0], arrays[1])
    np.testing.assert_allclose(several.sides[::2] / one.sides, [1 / 1.075, 1.075], rtol=1e-6)


@pytest.mark.slow  # hundreds of operations are compiled, each by itself
@pytest.mark.parametrize("config", SEARCHES)
def test_jit_equals_eager(random_params: Callable[[Contents], Params], config: Config):
    params = random_params(Contents(siamfc=False, alexnet="torchvision", alexnet_se=True))
    frames, truth = video(1, frames=2, size=(96, 128))  # operations have the shapes of those of test_blank_frames.py
    state = mfst_jax.init(params, frames[0], truth[0], config=config)
    _, output = mfst_jax.step(params, state, frames[1])
    with jax.disable_jit():
        eager_state = mfst_jax.init(params, frames[0], truth[0], config=config)
        _, eager = mfst_jax.step(params, eager_state, frames[1])
    for leaf, eager_leaf in zip(jax.tree.leaves(state), jax.tree.leaves(eager_state), strict=True):
        assert_close_to_the_largest(leaf, eager_leaf)
    np.testing.assert_allclose(output.box, eager.box, **CLOSE)
    np.testing.assert_allclose(output.score, eager.score, atol=1e-4)
    assert_close_to_the_largest(output.response, eager.response)


@pytest.mark.parametrize("config", SEARCHES)
def test_track_equals_a_loop_of_steps_and_a_scan(made_up: Params, config: Config):
    frames, truth = video(2, frames=4)
    state, boxes, scores = mfst_jax.init(made_up, frames[0], truth[0], config=config), [truth[0]], [1.0]
    for frame in frames[1:]:
        state, output = mfst_jax.step(made_up, state, frame)
        boxes.append(output.box)
        scores.append(output.score)
    track = partial(mfst_jax.track, config=config)
    result = track(made_up, frames, truth[0])
    np.testing.assert_array_equal(result.boxes, np.stack(boxes))
    np.testing.assert_array_equal(result.scores, np.stack(scores))
    scanned = jax.jit(track)(made_up, frames, truth[0])
    np.testing.assert_allclose(scanned.boxes, result.boxes, **CLOSE)
    np.testing.assert_allclose(scanned.scores, result.scores, atol=1e-4)


@pytest.mark.parametrize("config", ONE_QUICKLY)
def test_videos_batch(params: Params, config: Config):
    track = partial(mfst_jax.track, config=config)
    clips = [video(seed, frames=3, velocity=(seed - 3, 2), start=(40 + 5 * seed, 30)) for seed in (3, 4, 5)]
    frames, truth = (np.stack(parts) for parts in zip(*clips, strict=True))
    batched = jax.jit(jax.vmap(track, in_axes=(None, 0, 0)))(params, frames, truth[:, 0])
    assert batched.boxes.shape == (3, 3, 4)
    for index in range(3):
        alone = track(params, frames[index], truth[index, 0])
        np.testing.assert_allclose(batched.boxes[index], alone.boxes, **CLOSE)
        np.testing.assert_allclose(batched.scores[index], alone.scores, atol=1e-4)
    assert np.ptp(np.asarray(batched.boxes[:, -1]), axis=0).max() > 1  # the three are different tracks


@WITH_THE_DEFAULT
def test_targets_of_one_video_batch(params: Params, config: Config | None):
    track = partial(mfst_jax.track, config=config)
    frames, truth = video(6, frames=3)
    boxes = np.stack([truth[0], truth[0] + np.float32([30, 20, 4, -2])])
    batched = jax.jit(jax.vmap(track, in_axes=(None, None, 0)))(params, frames, boxes)
    for index in range(2):
        np.testing.assert_allclose(batched.boxes[index], track(params, frames, boxes[index]).boxes, **CLOSE)


@WITH_THE_DEFAULT
def test_vmap_without_jit(params: Params, config: Config | None):
    track = partial(mfst_jax.track, config=config)
    frames, truth = video(7, frames=2)
    batched = jax.vmap(track, in_axes=(None, None, 0))(params, frames, truth[:1])
    np.testing.assert_allclose(batched.boxes[0], track(params, frames, truth[0]).boxes, **CLOSE)


@WITH_THE_DEFAULT
def test_videos_shard_over_devices(params: Params, config: Config | None):
    if jax.device_count() < 2:
        pytest.skip("one device only; XLA_FLAGS would fake a second")
    track = partial(mfst_jax.track, config=config)
    clips = [video(seed, frames=2) for seed in (8, 9)]
    frames, truth = (np.stack(parts) for parts in zip(*clips, strict=True))
    mesh = jax.make_mesh((2,), ("video",))
    spec = jax.sharding.PartitionSpec("video")
    arguments = jax.device_put((frames, truth[:, 0]), jax.sharding.NamedSharding(mesh, spec))
    tracked = jax.shard_map(
        jax.vmap(track, in_axes=(None, 0, 0)),
        mesh=mesh,
        in_specs=(jax.sharding.PartitionSpec(), spec, spec),
        out_specs=spec,
    )
    sharded = jax.jit(tracked)(params, *arguments)
    for index in range(2):
        alone = track(params, frames[index], truth[index, 0])
        np.testing.assert_allclose(np.asarray(sharded.boxes)[index], alone.boxes, **CLOSE)


def test_interleaved_tracks_do_not_touch(params: Params):
    (one, one_truth), (two, two_truth) = video(10, frames=3), video(11, frames=3, velocity=(-2, 3))
    states = [mfst_jax.init(params, one[0], one_truth[0]), mfst_jax.init(params, two[0], two_truth[0])]
    boxes: list[list[np.ndarray]] = [[], []]
    for frames in zip(one[1:], two[1:], strict=True):
        for index, frame in enumerate(frames):
            states[index], output = mfst_jax.step(params, states[index], frame)
            boxes[index].append(np.asarray(output.box))
    np.testing.assert_array_equal(boxes[0], mfst_jax.track(params, one, one_truth[0]).boxes[1:])
    np.testing.assert_array_equal(boxes[1], mfst_jax.track(params, two, two_truth[0]).boxes[1:])


def test_a_video_in_chunks_is_the_same_track(made_up: Params):
    frames, truth = video(13, frames=5)
    config = SEARCHES[1]
    whole = mfst_jax.track(made_up, frames, truth[0], config=config)
    first = mfst_jax.track(made_up, frames[:1], truth[0], config=config)
    second = mfst_jax.track(made_up, frames[1:4], state=first.state)
    third = mfst_jax.track(made_up, jnp.asarray(frames[4:]), state=second.state)
    np.testing.assert_array_equal(np.concatenate([first.box, second.box, third.box]), whole.box)
    np.testing.assert_array_equal(np.concatenate([first.score, second.score, third.score]), whole.score)
    for leaf, other in zip(jax.tree.leaves(third.state), jax.tree.leaves(whole.state), strict=True):
        np.testing.assert_array_equal(leaf, other)
    traced = jax.jit(lambda params, frames, state: mfst_jax.track(params, frames, state=state))(
        made_up, frames[1:], first.state
    )
    np.testing.assert_allclose(traced.box, whole.box[1:], **CLOSE)


def test_a_result_has_the_names_of_an_output(params: Params):
    frames, truth = video(13, frames=2)
    result = mfst_jax.track(params, frames, truth[0])
    _, output = mfst_jax.step(params, mfst_jax.init(params, frames[0], truth[0]), frames[1])
    np.testing.assert_array_equal(result.box, [truth[0], output.box])
    np.testing.assert_array_equal(result.score, [1, output.score])
    assert result.boxes is result.box
    assert result.scores is result.score


@WITH_THE_DEFAULT
def test_padding_changes_nothing(params: Params, config: Config | None):
    track = partial(mfst_jax.track, config=config)
    frames, truth = video(12, frames=3, size=(100, 140), start=(100, 60))
    padded = np.full((3, 120, 160, 3), 77, np.uint8)
    padded[:, :100, :140] = frames
    plain = track(params, frames, truth[0])
    result = track(params, padded, truth[0], frame_size=(100, 140))
    np.testing.assert_array_equal(result.boxes, plain.boxes)
    np.testing.assert_array_equal(result.scores, plain.scores)


@WITH_THE_DEFAULT
@pytest.mark.parametrize("shift", [(7, 0), (-11, 5), (16, -9)])
def test_moving_the_scene_moves_the_boxes(params: Params, shift: tuple[int, int], config: Config | None):
    track = partial(mfst_jax.track, config=config)
    frames, truth = video(13, frames=3, size=(300, 300), start=(140, 140))
    moved = np.roll(frames, (shift[1], shift[0]), axis=(1, 2))
    offset = np.float32([*shift, 0, 0])
    expected = np.asarray(track(params, frames, truth[0]).boxes) + offset
    np.testing.assert_allclose(track(params, moved, truth[0] + offset).boxes, expected, **CLOSE)


def test_a_response_has_a_gradient(params: Params):
    frames, truth = video(15, frames=2)

    def peak(params: Params) -> jax.Array:
        state = mfst_jax.init(params, frames[0], truth[0], config=SEARCHES[1])
        return jnp.max(mfst_jax.step(params, state, frames[1])[1].response)

    gradient = jax.grad(peak)(params)
    assert gradient.contents == params.contents
    sizes = [float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(gradient)]
    assert all(np.isfinite(sizes))
    assert max(sizes) > 0


@pytest.mark.parametrize(
    ("box", "growth"),
    [((-10, -10, 30, 30), 1e-6), ((40, 40, 0.5, 0.5), 1e-6), ((0, 0, 160, 120), 1e-6), ((150, 110, 40, 40), 0.06)],
    ids=["at a corner", "less than a pixel", "the whole frame", "of which the frame shows a sixteenth"],
)
def test_odd_boxes_stay_in_a_scene_that_stands_still(params: Params, box: tuple[float, ...], growth: float):
    # Where little of it is visible, a box may grow or shrink by one step of the scale.
    frames, _ = video(16, frames=1)
    result = mfst_jax.track(params, np.repeat(frames, 2, axis=0), np.float32(box))
    np.testing.assert_allclose(result.box[1, :2], box[:2], rtol=0, atol=min(1.5, box[2] / 5))
    np.testing.assert_allclose(result.box[1, 2:], box[2:], rtol=growth)


def test_a_single_frame_is_a_track(made_up: Params):
    frames, truth = video(17, frames=1)
    result = mfst_jax.track(made_up, frames, truth[0], config=SEARCHES[1])
    np.testing.assert_array_equal(result.boxes, truth)
    np.testing.assert_array_equal(result.scores, [1.0])


def test_the_score_falls_when_the_target_goes(params: Params):
    frames, truth = video(18, frames=4)
    frames[2:] = texture(np.random.default_rng(99), 120, 160, grain=12)
    scores = np.asarray(mfst_jax.track(params, frames, truth[0]).scores)
    assert np.all((scores >= 0) & (scores <= 1))
    assert scores[1] > 0.7
    assert np.all(scores[2:] < 0.4)


@WITH_THE_DEFAULT
def test_a_streaming_tracker_gives_the_same_boxes(params: Params, config: Config | None):
    frames, truth = video(20, frames=3)
    tracker = mfst_jax.Tracker(params, config)
    with pytest.raises(InputError, match="init"):
        tracker.update(frames[1])
    tracker.init(frames[0], truth[0])
    boxes = [tracker.update(frame) for frame in frames[1:]]
    prepared = mfst_jax.prepare(params, config)
    state = mfst_jax.init(prepared, pad(frames[0]), truth[0], config=config, frame_size=np.int32(frames[0].shape[:2]))
    for box, frame in zip(boxes, frames[1:], strict=True):
        state, output = mfst_jax.step(prepared, state, pad(frame))
        np.testing.assert_array_equal(box, output.box)
    assert tracker.score == float(output.score)
    plain = mfst_jax.track(params, frames, truth[0], config=config)
    np.testing.assert_allclose(boxes, plain.box[1:], atol=0.05)
