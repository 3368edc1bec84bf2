"""Stand-ins for what a pickle of PyTorch names: storages, the tensors that are views of them, and dtypes.

A tensor is an offset, a size and strides, in elements of its storage. All three are checked against the storage when
the pickle asks for the tensor; the storage's bytes are fetched, and the view made, when the array is wanted.

Reference: `torch._utils` for the functions and their arguments, `torch.serialization` for what a storage is told by.
"""

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from weight_port.formats import pickled_values, pickles
from weight_port.formats.pickled_values import Function, Leaf, Unread, shown

STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
"""Storage classes of PyTorch and what they hold; numbers of other types lie in storages of bytes."""
DTYPES = {name: np.dtype(name) for name in (*STORAGES.values(), "uint16", "uint32", "uint64") if name != "bfloat16"}
DTYPES["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
"""Types of numbers by their names, which PyTorch and NumPy have in common."""


@dataclass(frozen=True)
class Storage:
    """Stand-in for a storage, or for the part of one that old files call a view.

    Attributes:
      key: Key by which the file names it.
      dtype: Type of its elements.
      numel: Number of elements of the whole storage.
      first: First element of the part.
      end: Element after the last one of the part.
      fetch: Gets the bytes of the whole storage, `nbytes`.
      swapped: Whether the bytes are in the other order than this machine's.
    """

    key: str
    dtype: np.dtype
    numel: int
    first: int
    end: int
    fetch: Callable[["Storage"], memoryview]
    swapped: bool

    @property
    def nbytes(self) -> int:
        """Size of the whole storage in bytes."""
        return self.numel * self.dtype.itemsize

    def __str__(self) -> str:
        return f"storage {self.key} of {self.numel} {self.dtype.name}"


def storage_of(identity: Any, fetch: Callable[[Storage], memoryview], *, swapped: bool) -> Storage | Unread:
    """Storage that a persistent id stands for; unread where its class is none of `STORAGES`, or a module's.

    Args:
      identity: the persistent id.
      fetch: as `Storage.fetch`.
      swapped: as `Storage.swapped`.

    Raises:
      pickle.UnpicklingError: an id of anything else.
    """
    match identity:
        case (_, Unread() as unread, *_):
            return unread
        case (kind, np.dtype() as dtype, key, _, int(numel), (_, int(first), int(count))):
            end = first + count
        case (kind, np.dtype() as dtype, key, _, int(numel)) | (kind, np.dtype() as dtype, key, _, int(numel), None):
            first, end = 0, numel
        case _:
            raise pickle.UnpicklingError("expected the type, key, place and size of a storage, found something else")
    if pickled_values.name(kind) != "storage":
        raise pickle.UnpicklingError(f"expected the word storage, found {shown(kind)}")
    if not 0 <= first <= end <= numel < 2**63:
        raise pickle.UnpicklingError(f"expected a part of {shown(numel)} elements, found {shown(first)}:{shown(end)}")
    return Storage(pickled_values.name(key), dtype, numel, first, end, fetch, swapped)


@dataclass(frozen=True)
class Tensor(Leaf):
    """Stand-in for a tensor.

    Attributes:
      storage: Storage that it is a view of.
      dtype: Type of its elements.
      shape: Shape of the tensor.
      offset: Offset in bytes.
      strides: Strides in bytes.
    """

    storage: Storage
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]

    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def array(self) -> np.ndarray:
        """Array of the tensor, a view of the storage's bytes where that is possible."""
        if 0 in self.shape:
            return np.zeros(self.shape, self.dtype)
        array = np.ndarray(self.shape, self.dtype, self.storage.fetch(self.storage), self.offset, self.strides)
        return array.byteswap() if self.storage.swapped else array


def _tensor(
    storage: Any, offset: Any, size: Any, stride: Any, *, dtype: Any = None, metadata: Any = None
) -> Tensor | Unread:
    for unread in (storage, dtype):
        if isinstance(unread, Unread):  # of a type that NumPy has not, or quantised
            return unread
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError(f"expected a tensor on a storage, found one on {shown(storage)}")
    dtype = storage.dtype if dtype is None else dtype
    if not isinstance(dtype, np.dtype) or metadata:
        raise pickle.UnpicklingError(
            "expected a tensor of plain numbers, found another type or a view that changes them"
        )
    (offset,), shape, strides = (pickled_values.extents(value) for value in ((offset,), size, stride))
    steps = [(side - 1) * step for side, step in zip(shape, strides, strict=True)]
    start = storage.first * storage.dtype.itemsize + offset * dtype.itemsize
    end = start + (1 + sum(steps)) * dtype.itemsize
    if 0 not in shape and end > storage.end * storage.dtype.itemsize:
        raise pickle.UnpicklingError(f"expected a tensor within the {storage}, found one up to byte {shown(end)}")
    strides = tuple(step * dtype.itemsize if side > 1 else 0 for side, step in zip(shape, strides, strict=True))
    return Tensor(storage, dtype, shape, start, strides)


def _from_type(function: Any, _: Any, arguments: Any, *state: Any) -> Any:
    """Tensor with attributes of its own, or of a class of its own: those are passed over."""
    if isinstance(function, Unread):
        return function
    if not isinstance(function, Function) or function.run is _from_type or not isinstance(arguments, tuple):
        raise pickle.UnpicklingError(f"refused to call {shown(function)} with {shown(arguments)}")
    return function.run(*arguments)


NAMES: dict[str, Any] = {
    **pickles.NAMES,
    **{f"torch.{name}": dtype for name, dtype in DTYPES.items()},
    **{f"torch.{name}": DTYPES[dtype] for name, dtype in STORAGES.items()},
    **{f"torch.storage.{name}": DTYPES["uint8"] for name in ("UntypedStorage", "_UntypedStorage")},
    "torch._utils._rebuild_tensor": Function(_tensor),
    "torch._utils._rebuild_tensor_v2": Function(
        lambda storage, offset, size, stride, grad, hooks, metadata=None: _tensor(
            storage, offset, size, stride, metadata=metadata
        )
    ),
    "torch._utils._rebuild_tensor_v3": Function(
        lambda storage, offset, size, stride, grad, hooks, dtype, metadata=None: _tensor(
            storage, offset, size, stride, dtype=dtype, metadata=metadata
        )
    ),
    "torch.tensor._rebuild_from_type": Function(_from_type),
    "torch._tensor._rebuild_from_type": Function(_from_type),
    "torch._tensor._rebuild_from_type_v2": Function(_from_type),
    "torch._utils._rebuild_parameter": Function(lambda data, *_: data),
    "torch._utils._rebuild_parameter_with_state": Function(lambda data, *_: data),
    "torch.Size": Function(lambda sizes=(): sizes),
    "torch.device": Function(lambda *_: None),
}
"""Stand-ins for the globals of a file: a dtype stands for itself and for the class of its storages."""
