"""Checks of callers' input: shapes and types always, values wherever no JAX transformation hides them."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mfst_jax.arrays import as_array, concrete, extremes, is_whole
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.fast import AnyParams
from mfst_jax.params import Contents, resolve_config, uses_se
from mfst_jax.state import State

SMALLEST_SIDE, LARGEST_SIDE = 1e-3, 1_000_000
"""Least and greatest side of a box, in pixels: between them, float32 has no trouble with any area."""

Numbers = np.ndarray | jax.Array
"""Arrays that a check returns: of NumPy as long as nothing asks for JAX, so that checking moves nothing to a device."""


def check_frames(frames: Any, expected: tuple[int, ...] | None = None) -> Numbers:
    """Clip as an array [T, H, W, 3] of uint8, or of float32 in 0..255, with at least one frame.

    Args:
      frames: an array of any library.
      expected: the shape of the track's first frame, where this is not the first clip.

    Raises:
      InputError: no array, one of another shape or dtype, or values outside 0..255. Those on an accelerator are looked
        at in the first clip alone, since the host would wait for them.
    """
    frames = _image("frames", frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError(f"frames: expected [T, H, W, 3] with at least one frame, found {_shape(frames)}")
    if expected is not None and frames.shape[1:] != expected:
        raise InputError(f"frames: expected frames of the first one's shape {list(expected)}, found {_shape(frames)}")
    _check_values("frames", frames, first=expected is None)
    return frames


def check_frame(frame: Any, expected: tuple[int, ...] | None = None) -> Numbers:
    """Frame as an array [H, W, 3] of uint8, or of float32 in 0..255.

    Args:
      frame: an array of any library, or a Pillow image.
      expected: the shape of the first frame; None where this is the first.

    Raises:
      InputError: no array, one of another shape or dtype, or values outside 0..255. Those on an accelerator are looked
        at in the first frame alone, since the host would wait for them.
    """
    frame = _image("frame", frame)
    if frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
        raise InputError(f"frame: expected [H, W, 3], found {_shape(frame)}")
    if expected is not None and frame.shape != expected:
        raise InputError(f"frame: expected the first frame's shape {list(expected)}, found {_shape(frame)}")
    _check_values("frame", frame, first=expected is None)
    return frame


def check_picture(name: str, picture: Any) -> np.ndarray:
    """Picture to draw on or to write, [height, width, 3] uint8 in NumPy.

    Args:
      name: what messages call it.
      picture: an array of any library.

    Raises:
      InputError: no array, or one of another shape or dtype.
    """
    array = as_array(name, picture)
    if array is None:
        raise InputError(f"{name}: expected an array of uint8 RGB, found {type(picture).__name__}")
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise InputError(f"{name}: expected uint8 RGB [height, width, 3], found {array.dtype} of {_shape(array)}")
    return np.asarray(array)


def check_frame_size(frame_size: Any, frame_shape: tuple[int, ...]) -> Numbers:
    """Size of the real part of a frame, [2] int32 (height, width); the whole frame where it is None.

    Raises:
      InputError: no two whole numbers, or a size beyond the frame's.
    """
    if frame_size is None:
        return np.array(frame_shape[:2], np.int32)
    frame_size = _vector("frame_size", frame_size, "two whole numbers (height, width)", 2, jnp.integer)
    values = concrete(frame_size)
    if values is not None and not all(1 <= values[axis] <= frame_shape[axis] for axis in (0, 1)):
        raise InputError(
            f"frame_size: expected (height, width) from (1, 1) to {frame_shape[:2]}, found {tuple(values.tolist())}"
        )
    return frame_size.astype(np.int32)


def check_box(box: Any, frame_size: Any, *, name: str = "box") -> Numbers:
    """Box as [4] float32 (x, y, w, h): finite, of positive size, and with some of it in the frame.

    Args:
      box: four numbers.
      frame_size: (height, width) of the frame, in pixels.
      name: what error messages call the box.

    Raises:
      InputError: the box is anything else.
    """
    box = _vector(name, box, "four numbers (x, y, w, h)", 4, jnp.number)
    values, size = concrete(box), concrete(frame_size)
    if values is not None:
        found = tuple(values.tolist())
        if not np.all(np.isfinite(values)):
            raise InputError(f"{name}: expected finite numbers, found {found}")
        x, y, width, height = found
        if width <= 0 or height <= 0:
            raise InputError(f"{name}: expected a width and height above 0, found {found}")
        if min(width, height) < SMALLEST_SIDE or max(width, height) > LARGEST_SIDE:
            raise InputError(f"{name}: expected sides of {SMALLEST_SIDE} to {LARGEST_SIDE:,} pixels, found {found}")
        if size is not None and not (x < size[1] and y < size[0] and x + width > 0 and y + height > 0):
            raise InputError(f"{name}: expected it to overlap the frame of {size[1]} x {size[0]} pixels, found {found}")
    return box.astype(np.float32)


def check_boxes_shape(boxes: Any) -> np.ndarray:
    """Boxes as [n, 4] float32, at least one; their values are not checked.

    Raises:
      InputError: they are no such array.
    """
    try:
        rows = np.asarray(jax.device_get(boxes if (array := as_array("boxes", boxes)) is None else array))
        sound = np.issubdtype(rows.dtype, np.integer) or np.issubdtype(rows.dtype, np.floating)
    except (TypeError, ValueError):  # rows of different lengths
        raise _no_boxes(boxes) from None
    if rows.ndim != 2 or rows.shape[1] != 4 or not len(rows) or not sound:
        raise _no_boxes(boxes)
    return rows.astype(np.float32)


def _no_boxes(found: Any) -> InputError:
    return InputError(f"boxes: expected [n, 4], (x, y, w, h) each, found {' '.join(repr(found).split()):.80}")


def check_state(state: Any) -> State:
    """State that a caller hands in, checked to be a `State`; raises `InputError` where it is anything else."""
    if isinstance(state, State):
        return state
    if isinstance(state, tuple) and state and isinstance(state[0], State):
        raise InputError("state: expected a State, found a tuple that begins with one: step returns (state, output)")
    found = "None" if state is None else f"a {type(state).__name__}"
    raise InputError(
        f"state: expected a State, as mfst_jax.init and step return it, found {found}; Orbax restores one as "
        "load(path, like), where like is a State of the same configuration, from init"
    )


def check_params(params: Any, expected: Contents | None = None) -> AnyParams:
    """Weights that a caller hands in, checked to be plain or prepared weights, and to hold what is `expected`.

    Raises:
      InputError: something else, or other contents than those expected.
    """
    if not isinstance(params, AnyParams):
        raise InputError(f"params: expected what mfst_jax.load returns, found {type(params).__name__}")
    if expected is not None and replace(params.contents, config=None) != replace(expected, config=None):
        raise InputError(
            f"params: expected weights like those of the state ({expected.describe()}), "
            f"found {params.contents.describe()}"
        )
    return params


def check_step_config(made_with: Config, config: Config | None, contents: Contents) -> Config:
    """Configuration of a step: the one that the state was made with, or another one that its exemplar can serve.

    Args:
      made_with: the configuration that the state was made with.
      config: the one that is asked for; None for `made_with`.
      contents: of the weights.

    Raises:
      InputError: the weights or the exemplar lack what `config` needs, or it changes a field that the exemplar depends
        on.
    """
    if config is None or config == made_with:
        return made_with
    config = resolve_config(contents, config)
    for model in config.models:
        missing = [layer for layer in config.layers(model) if layer not in made_with.layers(model)]
        if missing:
            missing = ", ".join(missing)
            raise InputError(f"config: expected layers that the state's exemplar holds, found {model} {missing}")
        if uses_se(contents, config, model) != uses_se(contents, made_with, model):
            raise InputError(f"config.se: expected {made_with.se} as in the state, found {config.se}")
    for name in ("se_statistics", "context"):
        expected, found = getattr(made_with, name), getattr(config, name)
        if found != expected:
            raise InputError(f"config.{name}: expected {expected!r} as in the state, found {found!r}")
    for name in ("filter_share", "recent_share"):
        if (found := getattr(config, name)) and not getattr(made_with, name):
            raise InputError(f"config.{name}: expected 0 as in the state, which has learned nothing, found {found!r}")
    return config


def _vector(name: str, value: Any, words: str, length: int, kind: Any) -> Numbers:
    """`value` as one array of `length` numbers of a `kind`. It may be a sequence, and may be traced or hold tracers."""
    array = as_array(name, value)
    try:
        if array is None:
            items = [item if isinstance(item, jax.Array) else np.asarray(item) for item in value]
            array = jnp.stack([jnp.asarray(item) for item in items]) if concrete(items) is None else np.asarray(value)
    except (TypeError, ValueError):
        raise InputError(f"{name}: expected {words}, found {value!r:.80}") from None
    real = not jnp.issubdtype(array.dtype, jnp.complexfloating) and jnp.issubdtype(array.dtype, kind)
    if array.shape != (length,) or not real:
        raise InputError(f"{name}: expected {words}, found {value!r:.80}")
    return array


def _image(name: str, image: Any) -> Numbers:
    array = as_array(name, image)
    if array is None:
        raise InputError(f"{name}: expected an array of uint8 or float32 RGB, found {type(image).__name__}")
    if array.dtype not in (np.uint8, np.float32):
        raise InputError(f"{name}: expected uint8 or float32 RGB in 0..255, found {array.dtype}")
    return array


def _check_values(name: str, image: Numbers, *, first: bool) -> None:
    """Raises `InputError` for a float32 image with values outside 0..255, or in a track's first frame with 0..1 alone.

    Values are checked as far as they can be seen. Only in a first frame is it worth waiting for those on an accelerator
    (`arrays.extremes`).
    """
    if image.dtype != np.float32 or (found := extremes(image, wait=first)) is None:
        return
    low, high = found
    if not (low >= 0 and high <= 255):  # NaN is neither
        raise InputError(f"{name}: expected values in 0..255, found {low:g} to {high:g}")
    if first and 0 < high <= 1 and not is_whole(image):
        raise InputError(f"{name}: expected values in 0..255, found {low:g} to {high:g}: 0..1 is to be times 255")


def _shape(image: Numbers) -> str:
    first = image.ndim > 2 and image.shape[-3] == 3 and image.shape[-1] != 3
    return f"shape {list(image.shape)}" + "; colours come last, not first" * first
