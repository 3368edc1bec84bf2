"""Every transformation of JAX over `init`, `step` and `track`, each with its configuration as a plain argument."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from compilations import for_long_runs
from one_layer import SMALL, SOFT

import mfst_jax
from mfst_jax import tracker
from mfst_jax.compilation import is_traced
from mfst_jax.config import Config
from mfst_jax.params import Params

CLOSE = {"rtol": 0, "atol": 2e-3}


@pytest.fixture(scope="module")
def expected(params: Params, clip: tuple[jax.Array, jax.Array]) -> mfst_jax.Result:
    return mfst_jax.track(params, *clip, config=SMALL)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees that hold something else than arrays for a while, as JAX and Orbax make them, pass the tests' own hook."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def test_jit(params: Params, clip: Any, expected: mfst_jax.Result):
    track = jax.jit(mfst_jax.track)
    found = track(params, *clip, config=SMALL)
    np.testing.assert_allclose(found.box, expected.box, **CLOSE)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-4)
    assert found.state.config == SMALL
    other = track(params, *clip, config=dataclasses.replace(SMALL, scale_min=0.3))  # another compilation
    assert other.state.config.scale_min == 0.3


ARGUMENTS = ["params", "frames", "box", "frame_size", "state"]


def arguments(params: Params, clip: Any, name: str) -> dict[str, Any]:
    """Arguments of `track`, this one among them."""
    frames, box = clip
    if name == "state":
        return {"params": params, "frames": frames[1:], "state": mfst_jax.init(params, frames[0], box, config=SMALL)}
    return {"params": params, "frames": frames, "box": box, "frame_size": jnp.array([64, 80])}


@pytest.mark.parametrize("traced", ARGUMENTS)
def test_one_argument_that_is_traced_is_enough(params: Params, clip: Any, expected: mfst_jax.Result, traced: str):
    given = arguments(params, clip, traced)

    @jax.jit
    def track(value: Any) -> mfst_jax.Result:
        return mfst_jax.track(**given | {traced: value}, config=SMALL)

    np.testing.assert_allclose(track(given[traced]).box, expected.box[-len(given["frames"]) :], **CLOSE)


@pytest.mark.parametrize("mapped", ARGUMENTS)
def test_one_argument_that_is_mapped_makes_a_video_one_scan(
    params: Params, clip: Any, expected: mfst_jax.Result, monkeypatch: pytest.MonkeyPatch, mapped: str
):
    given = arguments(params, clip, mapped)
    monkeypatch.setattr(tracker, "_scan_frames", lambda *arguments: expected)
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], given[mapped])
    found = jax.vmap(lambda value: mfst_jax.track(**given | {mapped: value}, config=SMALL))(batch)
    np.testing.assert_array_equal(found.box, expected.box[None])


def test_vmap_over_videos_and_over_targets(params: Params, clip: Any, expected: mfst_jax.Result):
    frames, box = clip
    mirrored = jnp.stack([80 - box[0] - box[2], *box[1:]])
    videos, boxes = jnp.stack([frames, frames[:, :, ::-1]]), jnp.stack([box, mirrored])
    several = jax.jit(jax.vmap(mfst_jax.track, in_axes=(None, 0, 0)))(params, videos, boxes, config=SMALL)
    np.testing.assert_allclose(several.box[0], expected.box, **CLOSE)
    np.testing.assert_allclose(several.box[1], mfst_jax.track(params, videos[1], mirrored, config=SMALL).box, **CLOSE)
    assert several.state.exemplar.features["alexnet"]["conv3"].shape == (2, 10, 10, 384)
    targets = jax.jit(jax.vmap(mfst_jax.track, in_axes=(None, None, 0)))
    boxes = jnp.stack([box, box + 4])
    np.testing.assert_allclose(targets(params, frames, boxes, config=SMALL).box[0], expected.box, **CLOSE)


def test_scan(params: Params, clip: Any, expected: mfst_jax.Result):
    frames, box = clip

    @jax.jit
    def follow(params: Params, frames: Any, box: Any, config: Config) -> tuple[mfst_jax.State, mfst_jax.Output]:
        state = mfst_jax.init(params, frames[0], box, config=config)
        return jax.lax.scan(lambda state, frame: mfst_jax.step(params, state, frame, config=config), state, frames[1:])

    state, outputs = follow(params, frames, box, SMALL)
    np.testing.assert_allclose(outputs.box, expected.box[1:], **CLOSE)
    np.testing.assert_allclose(state.centre, expected.state.centre, **CLOSE)


FOLLOWING = {"filter_share": 0.5, "recent_share": 0.5, "second_look": 1.0}
ADAPTIVE = dataclasses.replace(SMALL, alexnet_layers=("conv5",), **FOLLOWING)


@pytest.mark.parametrize(
    "config", [SMALL, pytest.param(ADAPTIVE, marks=pytest.mark.slow)], ids=["one layer", "with filters"]
)
def test_shard_map(params: Params, clip: Any, config: Config):
    if jax.device_count() < 2:
        pytest.skip("one device only; XLA_FLAGS would fake a second")
    frames, box = clip
    each, whole = jax.P("video"), jax.P()
    mesh = jax.make_mesh((2,), ("video",))
    sharding = jax.sharding.NamedSharding(mesh, each)
    videos, boxes = jax.device_put((jnp.stack([frames, frames[::-1]]), jnp.stack([box, box])), sharding)

    def track_shard(params: Params, videos: jax.Array, boxes: jax.Array, config: Config) -> mfst_jax.Result:
        return jax.vmap(mfst_jax.track, in_axes=(None, 0, 0))(params, videos, boxes, config=config)

    sharded = jax.shard_map(track_shard, mesh=mesh, in_specs=(whole, each, each, whole), out_specs=each)
    found = jax.jit(sharded)(params, videos, boxes, config)
    alone = mfst_jax.track(params, frames, box, config=config)
    np.testing.assert_allclose(np.asarray(found.box)[0], alone.box, **CLOSE)
    assert found.box.sharding.is_equivalent_to(sharding, 3)


@pytest.mark.parametrize("prepared", [False, True])
def test_export(params: Params, clip: Any, expected: mfst_jax.Result, unchecked: None, prepared: bool):
    pytest.importorskip("flatbuffers")
    frames, box = clip
    weights = mfst_jax.prepare(params, SMALL, platform="gpu") if prepared else params
    for function, arguments in (
        (mfst_jax.step, (weights, mfst_jax.init(weights, frames[0], box, config=SMALL), frames[1])),
        (mfst_jax.track, (weights, frames, box)),
    ):
        exported = jax.export.export(jax.jit(function))(*arguments, config=SMALL)
        found = jax.export.deserialize(exported.serialize()).call(*arguments, config=SMALL)
        box_found = found[1].box[None] if function is mfst_jax.step else found.box[1:]
        np.testing.assert_allclose(box_found, expected.box[1 : 1 + len(box_found)], **CLOSE)
        state = found[0] if function is mfst_jax.step else found.state
        assert (state.config, state.contents) == (SMALL, dataclasses.replace(weights.contents, config=None))


def test_a_donated_state(params: Params, clip: Any, expected: mfst_jax.Result):
    frames, box = clip
    step = jax.jit(mfst_jax.step, donate_argnums=1)
    state = mfst_jax.init(params, frames[0], box, config=SMALL)
    boxes, first = [box], state
    for frame in frames[1:]:
        state, output = step(params, state, frame, config=SMALL)
        boxes.append(output.box)
    np.testing.assert_allclose(np.stack(boxes), expected.box, **CLOSE)
    assert first.centre.is_deleted()


def test_debug_nans_finds_none(params: Params, clip: Any, expected: mfst_jax.Result):
    frames, box = clip
    blank = jnp.concatenate([frames[:2], jnp.zeros_like(frames[:1])])

    def last(image: jax.Array) -> jax.Array:
        return mfst_jax.track(params, image, box, config=SOFT).box[-1, 0]

    with jax.debug_nans(True), jax.debug_infs(True):
        found = jax.jit(mfst_jax.track)(params, blank, box, config=SMALL)
        np.testing.assert_allclose(found.box[:2], expected.box[:2], **CLOSE)
        # What the way back takes from the way there is a result of the first program, so that it is looked at too.
        there = jax.jit(partial(jax.vjp, last), compiler_options=for_long_runs())
        back = jax.jit(lambda pull: pull(jnp.ones(())), compiler_options=for_long_runs())
        (gradient,) = back(there(blank.astype(jnp.float32))[1])
    assert np.isfinite(gradient).all()
    assert np.asarray(gradient).any()


def test_x64_changes_nothing(params: Params, clip: Any, expected: mfst_jax.Result):
    prepared = mfst_jax.prepare(params, SMALL, platform="gpu")
    with jax.enable_x64(True):
        plain = mfst_jax.track(params, *clip, config=SMALL)
        traced = jax.jit(mfst_jax.track)(prepared, *clip, config=SMALL)
    for found in (plain, traced):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {"float32", "int32", "bool"}
        np.testing.assert_allclose(found.box, expected.box, **CLOSE)


def test_a_transfer_guard_finds_nothing_in_a_step(params: Params, clip: Any):
    frames, box = clip
    state = mfst_jax.init(params, frames[0], box, config=SMALL)
    mfst_jax.step(params, state, frames[1])  # what is compiled is made of constants
    frame = frames[1]
    with jax.transfer_guard("disallow_explicit"):
        state, _ = mfst_jax.step(params, state, frame)
    with jax.transfer_guard("disallow"):
        state = mfst_jax.init(params, frame, box, config=SMALL)
        mfst_jax.track(params, frames, box, config=SMALL)
        mfst_jax.track(params, np.asarray(frames), np.asarray(box).tolist(), config=SMALL)
        mfst_jax.track(params, frames, state=state)
        mfst_jax.step(params, state, np.asarray(frame))


def test_no_array_is_made_to_see_what_is_traced(monkeypatch: pytest.MonkeyPatch):
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("an array was made")

    seen: list[bool] = []

    def look(x: jax.Array) -> jax.Array:
        seen.append(is_traced(()))
        return x

    one = jnp.ones(2)
    monkeypatch.setattr(jnp, "zeros", never)
    look(one)
    jax.jit(look)(one)
    jax.jit(jax.vmap(look))(one)
    jax.lax.scan(lambda carry, x: (look(carry), x), one, one)
    assert seen == [False, True, True, True]
    assert not is_traced(one)
    assert jax.vmap(lambda x: x * float(is_traced(x)))(one).tolist() == [1, 1]


def test_frames_stay_on_their_device(params: Params, clip: Any, expected: mfst_jax.Result):
    if jax.device_count() < 2:
        pytest.skip("one device only; XLA_FLAGS would fake a second")
    second = jax.devices()[1]
    found = mfst_jax.track(params, jax.device_put(clip[0], second), clip[1], config=SMALL)
    assert all(leaf.devices() == {second} for leaf in jax.tree.leaves(found))
    np.testing.assert_allclose(found.box, expected.box, **CLOSE)


def test_states_of_two_configurations_do_not_stack_and_the_error_is_short(params: Params, clip: Any):
    frames, box = clip
    small = mfst_jax.Config(models=("alexnet",), alexnet_layers=("conv3",), scale_count=1)
    states = [
        mfst_jax.init(params, frames[0], box, config=config)
        for config in (small, dataclasses.replace(small, scale_min=0.3))
    ]
    # In one line by older releases of JAX; since 0.12 each of them, and below them what differs.
    with pytest.raises(ValueError, match=r"(?s)Config\(models=\('alexnet',\).*scale_min=0\.3") as error:
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    assert "Traced" not in str(error.value)
    assert "array(" not in str(error.value)
    assert len(str(error.value)) < 1500


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_orbax_restores_a_state_into_one_and_a_dict_without(params: Params, clip: Any, tmp_path: Path, unchecked: None):
    from orbax.checkpoint import v1 as ocp

    frames, box = clip
    first = mfst_jax.init(params, frames[0], box, config=SMALL)
    state, _ = mfst_jax.step(params, first, frames[1])
    ocp.save(tmp_path / "state", state)
    restored = ocp.load(tmp_path / "state", first)
    assert restored.config == SMALL
    again, here = (mfst_jax.step(params, each, frames[2])[1].box for each in (restored, state))
    np.testing.assert_array_equal(again, here)
    with pytest.raises(mfst_jax.InputError, match=r"a State.*found a dict; Orbax restores one as load\(path, like\)"):
        mfst_jax.step(params, ocp.load(tmp_path / "state"), frames[2])
