"""What `init`, `step` and `track` compile, and when: ahead of a step that is sure to follow, and once a frame shape."""

import itertools
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from compilations import counted_compilations
from one_layer import SMALL
from scenes import video

import mfst_jax
from mfst_jax import tracker
from mfst_jax.compilation import jit
from mfst_jax.config import Config
from mfst_jax.params import Params

_numbers = itertools.count(1)


def new_config() -> Config:
    """A configuration for which nothing is compiled yet; one layer at one scale compiles soonest."""
    return replace(SMALL, window_influence=0.1 + 1e-4 * next(_numbers))


@pytest.fixture
def params(made_up: Params) -> Params:
    """When something is compiled does not depend on the network. Weights are there to be traced."""
    return replace(made_up, variables={"unused": jax.numpy.zeros(1)})


@pytest.fixture(scope="module", name="clip")
def clip_on_the_host(clip: tuple[jax.Array, jax.Array]) -> tuple[np.ndarray, np.ndarray]:
    """The short clip as a caller has it who reads a video."""
    frames, box = clip
    return np.asarray(frames), np.asarray(box)


def compilations_of_a_step(params: Params, state: mfst_jax.State, frame: np.ndarray) -> int:
    with counted_compilations() as seen:
        mfst_jax.step(params, state, frame)
    return len(seen)


def test_one_compilation_per_frame_shape(params: Params):
    config = new_config()
    frames, truth = video(14, frames=4, size=(90, 110), start=(30, 20))
    mfst_jax.track(params, frames[:2], truth[0], config=config)
    with counted_compilations() as compiled:
        state = mfst_jax.init(params, frames[1], truth[1], config=config)
        for frame in frames[2:]:
            state, _ = mfst_jax.step(params, state, frame)
        mfst_jax.track(params, frames, truth[0], config=config)  # of another length
        mfst_jax.track(params, jax.device_put(frames[:3]), truth[0], config=config)
    assert compiled == []
    other, truth = video(14, frames=2, size=(90, 120), start=(30, 20))
    with counted_compilations() as compiled:
        state = mfst_jax.init(params, other[0], truth[0], config=config)
        mfst_jax.step(params, state, other[1])
    assert compiled != []


def test_a_step_is_compiled_beside_init(
    params: Params, clip: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    (first, second, _), box = clip
    config = new_config()
    beside, compiled_beside = [], tracker.first_state.compiled_beside

    def noting(*given: Any, **more: Any) -> AbstractContextManager[None]:
        beside.append(given)
        return compiled_beside(*given, **more)

    monkeypatch.setattr(tracker.first_state, "compiled_beside", noting)
    state = tracker.init_before_step(params, first, box, config=config)
    assert len(beside) == 1
    assert compilations_of_a_step(params, state, second) == 0
    alone = mfst_jax.init(params, first, box, config=config)
    for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(one, other)
    with counted_compilations() as seen:
        tracker.init_before_step(params, second, box, config=config)
    assert seen == []


@pytest.fixture(params=["first", "second", "all"])
def place(request: pytest.FixtureRequest) -> jax.sharding.Sharding:
    """One of two devices, or both of them, each with a copy of everything."""
    if jax.device_count() < 2:
        pytest.skip("one device only; XLA_FLAGS would fake a second")
    if request.param == "all":
        return jax.NamedSharding(jax.make_mesh((jax.device_count(),), ("device",)), jax.P())
    return jax.sharding.SingleDeviceSharding(jax.devices()[request.param == "second"])


@pytest.mark.parametrize("committed", ["frames", "box"])
def test_a_step_is_compiled_once_where_arrays_are_committed_to_devices(
    params: Params, clip: tuple[np.ndarray, np.ndarray], place: jax.sharding.Sharding, committed: str
):
    (first, second, _), box = clip
    if committed == "frames":
        first, second = jax.device_put((first, second), place)
    else:
        box = jax.device_put(box, place)
    with counted_compilations() as seen:
        state = tracker.init_before_step(params, first, box, config=new_config())
    assert len(seen) == 2
    assert compilations_of_a_step(params, state, second) == 0


def test_zeros_are_committed_to_where_results_are(place: jax.sharding.Sharding):
    program = jit(lambda weights, x: (weights * x, weights + 1))
    weights = np.ones(3, np.float32)
    for given in (weights, jax.device_put(weights), jax.device_put(weights, place)):
        for found, expected in zip(program.zeros(given, weights), program(given, weights), strict=True):
            assert found.committed == expected.committed
            assert found.sharding.is_equivalent_to(expected.sharding, found.ndim)


def test_who_calls_init_alone_does_not_wait_for_a_step(params: Params, clip: tuple[np.ndarray, np.ndarray]):
    (first, second, _), box = clip
    state = mfst_jax.init(params, first, box, config=new_config())
    assert compilations_of_a_step(params, state, second) > 0
    tracker.compile_step(params, other := mfst_jax.init(params, first, box, config=new_config()), jax.device_put(first))
    assert compilations_of_a_step(params, other, second) == 0


def test_a_track_compiles_a_step_where_it_takes_one(
    params: Params, clip: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    frames, box = clip
    compile_step, beside = tracker.compile_step, []
    monkeypatch.setattr(tracker, "compile_step", lambda *given: beside.append(compile_step(*given)))
    for count in (1, 2):
        state = mfst_jax.track(params, frames[:count], box, config=new_config()).state
        assert len(beside) == count - 1
        assert (compilations_of_a_step(params, state, frames[2]) == 0) == (count == 2)


def test_what_is_traced_is_compiled_by_whoever_traces_it(
    params: Params, clip: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    (first, _, _), box = clip
    config = new_config()
    expected = mfst_jax.init(params, first, box, config=config)
    monkeypatch.setattr(tracker, "compile_step", lambda *given: pytest.fail("a step was compiled"))
    for traced, value in (("params", params), ("first", first)):

        def init(given: object, traced: str = traced) -> mfst_jax.State:
            by_name = {"params": params, "first": first} | {traced: given}
            return tracker.init_before_step(by_name["params"], by_name["first"], box, config=config)

        found = jax.jit(init)(value)
        np.testing.assert_allclose(found.centre, expected.centre, rtol=1e-6)
        assert found.config == config
        batch = jax.vmap(init)(jax.tree.map(lambda leaf: leaf[None], value))
        np.testing.assert_allclose(batch.centre[0], expected.centre, rtol=1e-6)
