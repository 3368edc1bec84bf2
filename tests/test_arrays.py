"""Frames and boxes of other libraries, and how arrays reach a device."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from PIL import Image
from scenes import video

import mfst_jax
from mfst_jax import InputError
from mfst_jax.arrays import as_array, each_frame, extremes, is_whole, to_device
from mfst_jax.media import read_image
from mfst_jax.params import Params
from mfst_jax.pillow_images import ORIENTATION
from mfst_jax.presets import ALEXNET
from mfst_jax.validation import check_frame


class Readable:
    """An object with `__array__` and nothing else."""

    def __init__(self, values: np.ndarray):
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.values, dtype)


class Exchangeable:
    """An object with DLPack and nothing else."""

    def __init__(self, values: np.ndarray):
        self.values = values

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.values.__dlpack_device__()


class OnAnAccelerator(Exchangeable):
    """One whose memory the host cannot read."""

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("not on this device")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0  # kDLCUDA


pytestmark = pytest.mark.usefixtures("one_layer_by_default")

KINDS = {"numpy": lambda x: x, "jax": jnp.asarray, "__array__": Readable, "DLPack": Exchangeable}


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong types must meet the library's own errors, which the import hook of the tests would forestall."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_any_kind_have_the_same_numbers(kind: str):
    values = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    found = as_array("frame", KINDS[kind](values))
    assert isinstance(found, np.ndarray | jax.Array)
    np.testing.assert_array_equal(found, values)


def follow(params: Params, frames: Any, box: Any) -> np.ndarray:
    """What a Tracker finds in the second of two frames."""
    tracker = mfst_jax.Tracker(params)
    tracker.init(frames[0], box)
    return tracker.update(frames[1])


@pytest.mark.parametrize("kind", KINDS)
def test_frames_and_boxes_of_any_kind(params: Params, kind: str):
    frames, truth = video(27, frames=2)
    expected = mfst_jax.track(params, frames, truth[0])
    make = KINDS[kind]
    found = mfst_jax.track(params, make(frames), make(truth[0]))
    np.testing.assert_array_equal(found.box, expected.box)
    state = mfst_jax.init(params, make(frames[0]), make(truth[0]))
    np.testing.assert_array_equal(mfst_jax.step(params, state, make(frames[1]))[1].box, expected.box[1])
    box = follow(params, [make(frame) for frame in frames], make(truth[0]))
    np.testing.assert_array_equal(box, follow(params, frames, truth[0]))
    np.testing.assert_allclose(box, expected.box[1], atol=0.05)


def test_tensors_of_pytorch(params: Params):
    torch = pytest.importorskip("torch")
    frames, truth = video(27, frames=2)
    expected = mfst_jax.track(params, frames, truth[0]).box
    tensor, box = torch.from_numpy(frames.copy()), torch.from_numpy(truth[0])
    np.testing.assert_array_equal(mfst_jax.track(params, tensor, box).box, expected)
    np.testing.assert_array_equal(mfst_jax.track(params, tensor.float(), tuple(box)).box, expected)
    state = mfst_jax.init(params, tensor[0], box)
    later = tensor[1].clone()
    state, output = mfst_jax.step(params, state, later)
    later.zero_()  # its memory is used again at once
    np.testing.assert_array_equal(output.box, expected[1])
    learnt = tensor[0].float().requires_grad_()
    with pytest.raises(InputError, match=r"^frame: expected an array whose numbers can be read, found torch.Tensor: "):
        mfst_jax.init(params, learnt, box)
    with pytest.raises(InputError, match=r"found shape \[3, 120, 160\]; colours come last, not first"):
        mfst_jax.init(params, tensor[0].permute(2, 0, 1), box)
    with pytest.raises(InputError, match=r"expected uint8 or float32 RGB in 0\.\.255, found float16"):
        mfst_jax.init(params, tensor[0].half(), box)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_pillow_images(params: Params, mode: str):
    frames, truth = video(27, frames=2)
    images = [Image.fromarray(frame).convert(mode) for frame in frames]
    as_arrays = [np.asarray(image.convert("RGB")) for image in images]
    state = mfst_jax.init(params, images[0], truth[0])
    _, output = mfst_jax.step(params, state, images[1])
    expected = mfst_jax.track(params, np.stack(as_arrays), truth[0])
    np.testing.assert_array_equal(output.box, expected.box[1])


def saved(folder: Path, name: str, image: Image.Image, **options: Any) -> Path:
    """Path of an image that was saved with Pillow's options."""
    image.save(folder / name, **options)
    return folder / name


def test_an_open_image_is_the_frame_that_its_file_is_read_as(tmp_path: Path):
    levels = np.linspace(0, 65535, 12 * 9, dtype=np.uint16).reshape(12, 9)
    colours = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    lying = Image.Exif()
    lying[ORIENTATION] = 6
    paths = [
        saved(tmp_path, "grey.png", Image.fromarray(levels)),
        saved(tmp_path, "grey.pgm", Image.fromarray(levels.astype(np.int32)), bits=16),
        saved(tmp_path, "lying.jpg", Image.fromarray(colours), exif=lying),
        saved(tmp_path, "palette.png", Image.fromarray(colours).quantize(7), transparency=b"\0\xff\x80"),
    ]
    for path in paths:
        with Image.open(path) as image:
            np.testing.assert_array_equal(check_frame(image), read_image(path), err_msg=path.name)
    with Image.open(paths[0]) as image:
        np.testing.assert_allclose(check_frame(image)[..., 0], levels / 257, atol=0.51)
    assert read_image(paths[2]).shape == (9, 12, 3)


def test_an_open_image_that_cannot_be_decoded_is_an_error_of_one_line(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path, "cut.png", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[:2000])
    with Image.open(path) as image, pytest.raises(InputError, match=r"^frame: expected a readable image .* truncated"):
        check_frame(image)
    with pytest.raises(InputError, match=r"^frame: expected a readable image .*, found PIL.Image.Image: 32 bits per"):
        check_frame(Image.new("F", (8, 8)))


@pytest.mark.parametrize(
    ("thing", "found"),
    [
        ([[[0, 0, 0]]], "list"),
        ("frame.png", "str"),
        (None, "NoneType"),
        (jax.ShapeDtypeStruct((8, 8, 3), np.uint8), "ShapeDtypeStruct"),
    ],
)
def test_what_is_no_array_is_named(params: Params, unchecked: None, thing: Any, found: str):
    for take in (lambda: mfst_jax.init(params, thing, (1, 1, 4, 4)), lambda: mfst_jax.Tracker(params).init(thing, 0)):
        with pytest.raises(InputError, match=f"^frame: expected an array of uint8 or float32 RGB, found {found}$"):
            take()


def test_memory_that_nobody_can_reach_is_an_error_of_one_line(params: Params):
    thing = OnAnAccelerator(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(
        InputError, match=r"^frame: expected an array whose numbers can be read, found .*OnAnAccel"
    ) as e:
        mfst_jax.init(params, thing, (1, 1, 4, 4))
    assert "\n" not in str(e.value)


# Values


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (-1.0, 200.0, "found -1 to 200"),
        (0.0, 255.5, "found 0 to 255.5"),
        (0.0, np.nan, "found nan to nan"),
        (0.0, np.inf, "found 0 to inf"),
        (0.0, 0.5, r"found 0 to 0.5: 0..1 is to be times 255"),
    ],
)
@pytest.mark.parametrize("make", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_float_frames_hold_0_to_255(params: Params, make: Any, low: float, high: float, message: str):
    frames, truth = video(22, frames=2)
    good = frames.astype(np.float32)
    bad = np.full_like(good, low)
    bad[:, 5, 7, 1] = high
    with pytest.raises(InputError, match=rf"frame: expected values in 0\.\.255, {message}"):
        mfst_jax.init(params, make(bad[0]), truth[0])
    with pytest.raises(InputError, match=rf"frames: expected values in 0\.\.255, {message}"):
        mfst_jax.track(params, make(bad), truth[0])
    state = mfst_jax.init(params, make(good[0]), truth[0])
    if high == 0.5:  # a clip may fade out
        mfst_jax.step(params, state, make(bad[1]))
    else:
        with pytest.raises(InputError, match=rf"frame: expected values in 0\.\.255, {message}"):
            mfst_jax.step(params, state, make(bad[1]))


def test_whole_numbers_give_the_same_boxes_in_either_type(params: Params):
    frames, truth = video(12, frames=4, start=(118, 86))  # beside the frame's edge: the colour outside shows
    expected = mfst_jax.track(params, frames, truth[0])
    found = mfst_jax.track(params, frames.astype(np.float32), truth[0])
    np.testing.assert_array_equal(found.box, expected.box)
    np.testing.assert_array_equal(found.score, expected.score)
    state = mfst_jax.init(params, frames[0], truth[0])
    mixed, _ = mfst_jax.step(params, state, frames[1].astype(np.float32))
    np.testing.assert_array_equal(mixed.centre, mfst_jax.step(params, state, frames[1])[0].centre)
    box = follow(params, frames.astype(np.float32), truth[0])
    np.testing.assert_array_equal(box, follow(params, frames, truth[0]))
    np.testing.assert_allclose(box, expected.box[1], atol=0.05)


def test_black_with_single_grey_levels_is_no_mistake(params: Params):
    frame = np.random.default_rng(0).integers(0, 2, (64, 64, 3)).astype(np.float32)
    assert mfst_jax.init(params, frame, (20, 20, 16, 16), config=ALEXNET).scale == 1


def test_extremes_are_seen_where_they_can_be():
    array = np.float32([3, -2, 7.5])
    assert extremes(array, wait=False) == extremes(jnp.asarray(array), wait=False) == (-2, 7.5)
    assert np.isnan(extremes(np.float32([1, np.nan]), wait=False)).all()
    seen = []
    jax.jit(lambda x: (seen.append(extremes(x, wait=True)), x)[1])(array)
    assert seen == [None]
    assert [is_whole(values) for values in (np.float32([0, 3]), jnp.float32([0, 0.5]))] == [True, False]


def test_values_spread_over_devices_are_seen_where_it_is_worth_waiting():
    if jax.device_count() < 2:
        pytest.skip("one device only; XLA_FLAGS would fake a second")
    mesh = jax.make_mesh((2,), ("row",))
    spread = jax.device_put(np.float32([[1.5, 2], [3, 4]]), jax.NamedSharding(mesh, jax.P("row")))
    assert extremes(spread, wait=False) is None
    assert extremes(spread, wait=True) == (1.5, 4)
    assert not is_whole(spread)
    assert [frame.tolist() for frame in each_frame(spread)] == [[1.5, 2], [3, 4]]


# Devices


def test_what_the_caller_does_to_his_array_later_is_of_no_matter():
    array = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    on_device = to_device(array)
    array[:] = 0
    assert on_device.ravel().tolist() == list(range(12))
    assert to_device(on_device) is on_device


def test_frames_of_a_clip_go_to_its_device():
    clip = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    for device in (None, *jax.devices()[-1:]):
        found = list(each_frame(jax.device_put(clip, device)))
        np.testing.assert_array_equal(found, clip)
        assert all(frame.devices() == {device or jax.devices()[0]} for frame in found)
        assert all(frame.committed == (device is not None) for frame in found)
