"""What the tracker's callers may hand in: shapes and types always, values where no transformation hides them."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.fast import Compiled
from mfst_jax.params import Contents, Params, resolve_config, uses_se

SMALLEST_SIDE, LARGEST_SIDE = 1e-3, 1_000_000
"""Of a box, in pixels: between them, float32 has no trouble with any area."""


def check_frames(frames: Any) -> Any:
    """[T, H, W, 3] uint8 with at least one frame."""
    _check_image_type("frames", frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError(f"frames: expected [T, H, W, 3] with at least one frame, found {_shape(frames)}")
    return frames


def check_frame(frame: Any, expected: tuple[int, ...] | None = None) -> jax.Array:
    """[H, W, 3] uint8, of the `expected` shape where there is one. A copy, so that the caller may reuse its buffer."""
    check_image(frame, expected)
    return frame if isinstance(frame, jax.Array) else jnp.array(frame)


def check_image(frame: Any, expected: tuple[int, ...] | None = None) -> None:
    """The same, where it is."""
    _check_image_type("frame", frame)
    if frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
        raise InputError(f"frame: expected [H, W, 3], found {_shape(frame)}")
    if expected is not None and frame.shape != expected:
        raise InputError(f"frame: expected the first frame's shape {list(expected)}, found {_shape(frame)}")


def check_frame_size(frame_size: Any, frame_shape: tuple[int, ...]) -> jax.Array:
    """[2] int32 (height, width), within the frame; the whole frame where it is None."""
    if frame_size is None:
        return jnp.asarray(frame_shape[:2], jnp.int32)
    frame_size = _vector("frame_size", frame_size, "two whole numbers (height, width)", 2, jnp.integer)
    values = concrete(frame_size)
    if values is not None and not all(1 <= values[axis] <= frame_shape[axis] for axis in (0, 1)):
        raise InputError(
            f"frame_size: expected (height, width) from (1, 1) to {frame_shape[:2]}, found {tuple(values.tolist())}"
        )
    return jnp.asarray(frame_size, jnp.int32)


def check_box(box: Any, frame_size: jax.Array) -> jax.Array:
    """[4] float32 (x, y, w, h): finite, of positive size, and with some of it in the frame."""
    box = _vector("box", box, "four numbers (x, y, w, h)", 4, jnp.number)
    values, size = concrete(box), concrete(frame_size)
    if values is not None:
        found = tuple(values.tolist())
        if not np.all(np.isfinite(values)):
            raise InputError(f"box: expected finite numbers, found {found}")
        x, y, width, height = found
        if width <= 0 or height <= 0:
            raise InputError(f"box: expected a width and height above 0, found {found}")
        if min(width, height) < SMALLEST_SIDE or max(width, height) > LARGEST_SIDE:
            raise InputError(f"box: expected sides of {SMALLEST_SIDE} to {LARGEST_SIDE:,} pixels, found {found}")
        if size is not None and not (x < size[1] and y < size[0] and x + width > 0 and y + height > 0):
            raise InputError(f"box: expected it to overlap the frame of {size[1]} x {size[0]} pixels, found {found}")
    return jnp.asarray(box, jnp.float32)


def check_params(params: Any, expected: Contents | None = None) -> Params | Compiled:
    """Weights that know what they hold, and that hold what is `expected`."""
    if not isinstance(params, Params | Compiled):
        raise InputError(f"params: expected what mfst_jax.load returns, found {type(params).__name__}")
    if expected is not None and replace(params.contents, config=None) != replace(expected, config=None):
        raise InputError(
            f"params: expected weights like those of the state ({expected.describe()}), "
            f"found {params.contents.describe()}"
        )
    return params


def check_step_config(made_with: Config, config: Config | None, contents: Contents) -> Config:
    """The configuration of a step: the one that the state was made with, or another that its exemplar can serve."""
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
    baked_in = ("se_statistics", "context", "scale_search")
    if made_with.scale_search == "exemplar":
        baked_in += ("scale_step", "scale_count")
    for name in baked_in:
        expected, found = getattr(made_with, name), getattr(config, name)
        if found != expected:
            raise InputError(f"config.{name}: expected {expected!r} as in the state, found {found!r}")
    return config


def concrete(value: Any) -> np.ndarray | None:
    """The numbers of an array or sequence; None where a JAX transformation hides them."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
        return None
    return np.asarray(value)


def _vector(name: str, value: Any, words: str, length: int, kind: Any) -> Any:
    """`value` as one array of `length` numbers of a `kind`; it may be a sequence, and may be traced or hold what is."""
    try:
        if not isinstance(value, jax.Array):
            items = [item if isinstance(item, jax.Array) else np.asarray(item) for item in value]
            value = jnp.stack([jnp.asarray(item) for item in items]) if concrete(items) is None else np.asarray(value)
    except (TypeError, ValueError):
        raise InputError(f"{name}: expected {words}, found {value!r:.80}") from None
    real = not jnp.issubdtype(value.dtype, jnp.complexfloating) and jnp.issubdtype(value.dtype, kind)
    if value.shape != (length,) or not real:
        raise InputError(f"{name}: expected {words}, found {value!r:.80}")
    return value


def _check_image_type(name: str, image: Any) -> None:
    if not hasattr(image, "dtype") or not hasattr(image, "shape"):
        raise InputError(f"{name}: expected an array of uint8 RGB, found {type(image).__name__}")
    if image.dtype != jnp.uint8:
        raise InputError(f"{name}: expected uint8 RGB in 0..255, found {image.dtype}")


def _shape(value: Any) -> str:
    return f"shape {list(np.shape(value))}"
