"""What `init`, `step` and `track` take: numbers and frames of any kind, another configuration; and what they refuse."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scenes import video
from searches import BY_FEATURES, CLOSE, SEVERAL

import mfst_jax
from mfst_jax import InputError
from mfst_jax.config import Config
from mfst_jax.params import Contents, Params
from mfst_jax.presets import ALEXNET, PAPER, SIAMFC

pytestmark = pytest.mark.usefixtures("one_layer_by_default")


@pytest.fixture(scope="module")
def both(random_params: Callable[[Contents], Params]) -> Params:
    return random_params(Contents(siamfc=True, alexnet="torchvision", siamfc_se=True, alexnet_se=True))


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong types must meet the library's own errors, which the import hook of the tests would forestall."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def test_a_state_serves_other_fusions(both: Params):
    frames, truth = video(19, frames=2)
    state = mfst_jax.init(both, frames[0], truth[0], config=PAPER)
    alone = mfst_jax.init(both, frames[0], truth[0], config=replace(PAPER, models=("alexnet",)))
    _, expected = mfst_jax.step(both, alone, frames[1])
    _, output = mfst_jax.step(both, state, frames[1], config=replace(PAPER, models=("alexnet",)))
    np.testing.assert_allclose(output.box, expected.box, **CLOSE)


def test_boxes_and_sizes_of_traced_numbers(params: Params):
    frames, truth = video(26, frames=2)
    x, y, width, height = truth[0].tolist()

    @jax.jit
    def track(params: Params, x: jax.Array, rows: jax.Array) -> mfst_jax.Result:
        return mfst_jax.track(params, frames, (x, y, width, height), frame_size=(rows, 160))

    expected = mfst_jax.track(params, frames, truth[0])
    np.testing.assert_allclose(track(params, jnp.float32(x), jnp.int32(120)).boxes, expected.boxes, **CLOSE)


@pytest.mark.parametrize("make", [list, tuple, jnp.asarray, lambda box: np.asarray(box, np.int64)])
def test_boxes_of_any_kind_of_number(params: Params, make: Callable[[Any], Any]):
    frames, truth = video(27, frames=1)
    box = make([int(value) for value in truth[0]])
    np.testing.assert_array_equal(mfst_jax.track(params, frames, box).boxes, truth)


def test_frames_of_any_memory_layout(params: Params):
    frames, truth = video(28, frames=2)
    expected = mfst_jax.track(params, frames, truth[0]).boxes
    frozen = frames.copy()
    frozen.flags.writeable = False
    for other in (frozen, np.asfortranarray(frames), jnp.asarray(frames), frames[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(mfst_jax.track(params, other, truth[0]).boxes, expected)


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((200, 10, 20, 20), "overlap the frame of 160 x 120"),
        ((-30, 10, 20, 20), "overlap the frame"),
        ((10, 10, 0, 20), "width and height above 0"),
        ((10, 10, 20, -1), "width and height above 0"),
        ((NAN, 10, 20, 20), "finite"),
        ((10, 10, INFINITE, 20), "finite"),
        ((10, 10, 20), "four numbers"),
        ((10, 10, (20, 2), 20), "four numbers"),
        (("10", "10", "20", "20"), "four numbers"),
        (np.array([1, 2, 3, 4j]), "four numbers"),
        (None, "four numbers"),
        ((0, 0, 1e39, 1e39), "sides of"),
        ((10, 10, 1e-30, 20), "sides of"),
    ],
)
def test_unusable_boxes(params: Params, unchecked: None, box: Any, message: str):
    frames, _ = video(21, frames=1)
    with pytest.raises(InputError, match=message):
        mfst_jax.init(params, frames[0], box)


def test_unusable_frames(params: Params, unchecked: None):
    frames, truth = video(22, frames=2)
    with pytest.raises(InputError, match=r"expected uint8 or float32 RGB in 0\.\.255, found float64"):
        mfst_jax.init(params, frames[0].astype(np.float64), truth[0])
    with pytest.raises(InputError, match=r"expected \[H, W, 3\], found shape \[120, 160\]"):
        mfst_jax.init(params, frames[0, ..., 0], truth[0])
    with pytest.raises(InputError, match=r"found shape \[3, 120, 160\]; colours come last, not first"):
        mfst_jax.init(params, frames[0].transpose(2, 0, 1), truth[0])
    with pytest.raises(InputError, match="at least one frame"):
        mfst_jax.track(params, frames[:0], truth[0])
    state = mfst_jax.init(params, frames[0], truth[0])
    with pytest.raises(InputError, match=r"first frame's shape \[120, 160, 3\], found shape \[119, 160, 3\]"):
        mfst_jax.step(params, state, frames[1, 1:])


@pytest.mark.parametrize("size", [(121, 160), (0, 10), (10, 20, 30), (10.5, 20), 120])
def test_unusable_frame_sizes(params: Params, unchecked: None, size: Any):
    frames, truth = video(23, frames=1)
    with pytest.raises(InputError, match="frame_size"):
        mfst_jax.init(params, frames[0], truth[0], frame_size=size)


@pytest.mark.parametrize("config", [PAPER, SIAMFC, replace(ALEXNET, se=True)])
def test_asking_for_what_the_weights_lack(random_params: Callable[[Contents], Params], config: Config):
    params = random_params(Contents(siamfc=False, alexnet="torchvision"))
    frames, truth = video(24, frames=1)
    with pytest.raises(InputError, match=r"AlexNet \(torchvision\)"):
        mfst_jax.init(params, frames[0], truth[0], config=config)


def test_a_step_with_other_weights(params: Params, both: Params):
    frames, truth = video(29, frames=2)
    state = mfst_jax.init(both, frames[0], truth[0])
    with pytest.raises(InputError, match=r"like those of the state \(SiamFC \+ SE"):
        mfst_jax.step(params, state, frames[1])


def test_things_that_are_no_weights_and_no_configuration(params: Params, unchecked: None):
    frames, truth = video(29, frames=1)
    bad: Any = params.variables
    with pytest.raises(InputError, match=r"params: expected what mfst_jax\.load returns, found dict"):
        mfst_jax.init(bad, frames[0], truth[0])
    bad = "alexnet"
    with pytest.raises(InputError, match="config: expected a Config"):
        mfst_jax.init(params, frames[0], truth[0], config=bad)


def test_a_configuration_that_the_state_cannot_serve(both: Params):
    frames, truth = video(25, frames=2)
    state = mfst_jax.init(both, frames[0], truth[0], config=replace(PAPER, alexnet_layers=("conv5",)))
    with pytest.raises(InputError, match="alexnet conv3, conv4"):
        mfst_jax.step(both, state, frames[1], config=PAPER)
    for name, value in {"se": False, "se_statistics": "each", "context": 0.4}.items():
        other = replace(PAPER, alexnet_layers=("conv5",), **{name: value})
        with pytest.raises(InputError, match=rf"config\.{name}: expected .* as in the state"):
            mfst_jax.step(both, state, frames[1], config=other)
    for name in ("filter_share", "recent_share"):
        other = replace(PAPER, alexnet_layers=("conv5",), scale_search="features", **{name: 0.5})
        with pytest.raises(InputError, match=rf"config\.{name}: expected 0 as in the state.* found 0\.5"):
            mfst_jax.step(both, state, frames[1], config=other)


def test_a_step_may_search_for_the_scale_otherwise(made_up: Params):
    """The exemplar does not depend on how scales are compared."""
    frames, truth = video(25, frames=2)
    state = mfst_jax.init(made_up, frames[0], truth[0], config=SEVERAL)
    found = mfst_jax.step(made_up, state, frames[1], config=BY_FEATURES)[1]
    expected = mfst_jax.step(made_up, mfst_jax.init(made_up, frames[0], truth[0], config=BY_FEATURES), frames[1])[1]
    np.testing.assert_array_equal(found.box, expected.box)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda state, output: (state, output), r"a tuple that begins with one: step returns \(state, output\)"),
        (lambda state, output: None, "found None; Orbax restores one as"),
        (lambda state, output: vars(state), r"found a dict; Orbax restores one as load\(path, like\)"),
        (lambda state, output: output, "found a Output"),
    ],
)
def test_what_is_no_state_is_told_from_one(params: Params, unchecked: None, make: Callable[..., Any], message: str):
    frames, truth = video(25, frames=2)
    state, output = mfst_jax.step(params, mfst_jax.init(params, frames[0], truth[0]), frames[1])
    thing = make(state, output)
    with pytest.raises(InputError, match=f"^state: expected a State.*{message}"):
        mfst_jax.step(params, thing, frames[1])
    if thing is not None:
        with pytest.raises(InputError, match=f"^state: expected a State.*{message}"):
            mfst_jax.track(params, frames, state=thing)


def test_a_track_begins_with_a_box_or_goes_on_from_a_state(made_up: Params):
    frames, truth = video(25, frames=2)
    state = mfst_jax.init(made_up, frames[0], truth[0], config=BY_FEATURES)
    with pytest.raises(InputError, match=r"^track: expected a box, or a state to go on from, found neither$"):
        mfst_jax.track(made_up, frames)
    for more in ({"box": truth[0]}, {"frame_size": (100, 100)}):
        with pytest.raises(InputError, match=r"^track: expected a box or a state.*, found both$"):
            mfst_jax.track(made_up, frames, state=state, **more)
    with pytest.raises(
        InputError, match=r"frames of the first one's shape \[120, 160, 3\], found shape \[2, 120, 159, 3\]"
    ):
        mfst_jax.track(made_up, frames[:, :, 1:], state=state)
