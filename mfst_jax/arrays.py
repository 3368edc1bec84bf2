"""Arrays of any library: as arrays of NumPy or JAX, their values where they can be seen, and their way to a device."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from mfst_jax import padding
from mfst_jax.compilation import is_traced
from mfst_jax.errors import InputError, reason

_DLPACK_CPU = 1, 3
"""Device numbers of DLPack for memory that the host can read: its own, and what it pinned for a CUDA device."""


@runtime_checkable
class SupportsArray(Protocol):
    """Object that NumPy can read by `__array__`: a PyTorch tensor on the CPU, a TensorFlow tensor, an HDF5 data set."""

    def __array__(self, *arguments: Any, **options: Any) -> Any: ...


@runtime_checkable
class SupportsArrayInterface(Protocol):
    """Object that NumPy can read by the older `__array_interface__`, such as a Pillow image."""

    @property
    def __array_interface__(self) -> Any: ...


@runtime_checkable
class SupportsDLPack(Protocol):
    """Array of another library that knows DLPack, such as a PyTorch or CuPy array on an accelerator."""

    def __dlpack__(self, *arguments: Any, **options: Any) -> Any: ...


AnyArray: TypeAlias = ArrayLike | SupportsArray | SupportsArrayInterface | SupportsDLPack
"""Types that `init`, `step` and `track` take frames as."""
AnyNumbers: TypeAlias = AnyArray | Sequence[AnyArray]
"""Types that `init` and `track` take a box or a frame's size as."""


def as_array(name: str, value: Any) -> np.ndarray | jax.Array | None:
    """Array of NumPy, or of JAX where `value` is one or lies on an accelerator; None where it is no array.

    Nothing is copied that need not be. A Pillow image becomes what `mfst_jax.media.read_image` makes of its file.

    Raises:
      InputError: `value` is an array of a library that will not hand out its numbers, or a Pillow image that cannot be
        decoded.
    """
    if isinstance(value, jax.Array | np.ndarray):
        return value
    # Of the class, since to ask an image for its `__array_interface__` decodes it.
    if hasattr(type(value), "__array_interface__") and hasattr(value, "convert"):
        return _image(name, value)
    try:
        if hasattr(value, "__dlpack_device__") and value.__dlpack_device__()[0] not in _DLPACK_CPU:
            # The copy is complete when this returns, since the other library may use its memory again.
            return jax.block_until_ready(jnp.array(jnp.from_dlpack(value), copy=True))
        if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
            return np.asarray(value)
        return np.from_dlpack(value) if hasattr(value, "__dlpack__") else None
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        found = _failed(value, error)
        raise InputError(f"{name}: expected an array whose numbers can be read, found {found}") from None


def _image(name: str, image: Any) -> np.ndarray:
    """Pixels of a Pillow image, which may decode its file only now."""
    from mfst_jax.pillow_images import as_rgb

    try:
        with warnings.catch_warnings(action="ignore"):
            return as_rgb(image)
    except Exception as error:  # a decoder of a damaged file may raise anything
        found = _failed(image, error)
        raise InputError(f"{name}: expected a readable image of 8 or 16 bits, found {found}") from None


def _failed(value: Any, error: Exception) -> str:
    return f"{type(value).__module__}.{type(value).__name__}: {reason(error)}"


def concrete(value: Any) -> np.ndarray | None:
    """Numbers of an array or sequence in NumPy; None where a JAX transformation hides them."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
        return None
    return np.asarray(jax.device_get(value))


def extremes(array: Any, *, wait: bool) -> tuple[float, float] | None:
    """Least and greatest number of an array, NaN where it holds a NaN; None where they cannot be seen.

    Args:
      array: of NumPy or JAX.
      wait: whether to look at what lies on an accelerator too, which waits until all its work so far is done.
    """
    if isinstance(array, jax.core.Tracer):
        return None
    if isinstance(array, jax.Array) and not lies_on_host(array):
        if not wait or is_traced(()) or not array.is_fully_addressable:
            return None
        low, high = jax.device_get(_extremes(array))
        return float(low), float(high)
    array = np.asarray(array)
    return float(np.min(array)), float(np.max(array))


def is_whole(array: Any) -> bool:
    """Whether all numbers of an array are whole. Its values must be visible."""
    if isinstance(array, jax.Array) and not lies_on_host(array):
        return bool(jax.device_get(_is_whole(array)))
    return bool(np.all(np.asarray(array) % 1 == 0))


@jax.jit
def _extremes(array: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jnp.min(array), jnp.max(array)


@jax.jit
def _is_whole(array: jax.Array) -> jax.Array:
    return jnp.all(array % 1 == 0)


def lies_on_host(array: jax.Array) -> bool:
    """Whether NumPy can read an array where it is: all of it lies on one device that is a CPU."""
    devices = array.devices()
    return len(devices) == 1 and next(iter(devices)).platform == "cpu"


def each_frame(frames: np.ndarray | jax.Array) -> Iterator[jax.Array]:
    """Frames of a clip one by one as arrays of JAX, on the clip's device if it has one.

    Frames in a CPU's memory are taken from where they are, so that nothing compiles for the clip's length. On an
    accelerator they are sliced from the clip there. The frames of a clip that is spread over several devices pass
    through the host.
    """
    device = None
    if isinstance(frames, jax.Array) and len(frames.devices()) == 1:
        (own,) = frames.devices()
        if own.platform != "cpu":
            for index in range(len(frames)):
                yield _take(frames, jax.device_put(np.int32(index)))
            return
        device = own if frames.committed else None
    for frame in np.asarray(jax.device_get(frames)):
        yield to_device(frame, device)


@jax.jit
def _take(frames: jax.Array, index: jax.Array) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(frames, index, keepdims=False)


def to_device(array: np.ndarray | jax.Array, device: jax.Device | None = None) -> jax.Array:
    """Array of JAX that nobody else can change: `array` itself, or a copy of an array of NumPy.

    The transfer is an explicit one, which `jax.transfer_guard("disallow")` allows.

    Args:
      array: of NumPy or JAX.
      device: where the copy of an array of NumPy goes; None leaves it to JAX. An array of JAX stays where it is.
    """
    if isinstance(array, jax.Array):
        return array
    if is_traced(()):
        return jnp.array(array)
    buffer = padding.empty(array.shape, array.dtype)
    buffer[...] = array
    return jax.device_put(buffer, device)
