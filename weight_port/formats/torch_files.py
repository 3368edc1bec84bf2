"""PyTorch's files, read and written without PyTorch: the zip of 1.6 and later, and the older sequence of pickles.

Both hold one pickle, whose tensors are views of storages. The storages lie apart: in records of the zip named by their
keys, or after a list of their keys at the end of the older file.

Reference: `torch.serialization`; the elements of the older file are little-endian wherever it was written, as
`THPStorage_(writeFileRaw)` has it.
"""

import functools
import json
import math
import pickle
import pickletools
import re
import struct
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from weight_port.formats import pickle_machine, pickled_values, pickles
from weight_port.formats.pickled_values import Function, LongText, Tree, Unread, shown
from weight_port.formats.torch_tensors import NAMES, STORAGES, Storage, storage_of

Loaded = tuple[Tree, dict[str, Any] | None]
"""Content of a file, by `pickled_values.collect`, and our own metadata, None where there are none."""

_METADATA = "mfst_jax.json"
_MOST_METADATA = 2**20
_ALIGNMENT = 64
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_PROLOGUE = re.compile(  # both, each in a pickle of its own, which protocol 4 has in a frame
    rb"\x80.(\x95.{8})?\x8a\x0a%b\.\x80.(\x95.{8})?M%b\."
    % (re.escape(_MAGIC.to_bytes(10, "little")), re.escape(_VERSION.to_bytes(2, "little"))),
    re.DOTALL,
)
_MOST_PICKLED = 10_000
"""Greatest number of storages in a pickle by Python's own `pickle`."""


def is_torch_zip(archive: zipfile.ZipFile) -> bool:
    """Whether `torch.save` wrote a zip."""
    return bool(_roots(archive))


def read_zip(archive: zipfile.ZipFile) -> Loaded:
    """Tensors of a file of PyTorch 1.6 or later.

    Raises:
      pickle.UnpicklingError: as by `pickle_machine.load`, or a tensor beyond its storage.
      ValueError: records that are missing, there twice, of another size than the tensors say, or too large.
      Exception: whatever `zipfile` raises on damage.
    """
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    if sum(sizes.values()) > pickled_values.LIMIT:
        raise ValueError(f"expected at most {pickled_values.LIMIT} bytes, found {sum(sizes.values())} once unpacked")
    if len(sizes) != len(archive.infolist()):
        raise ValueError("expected every record once, found one twice")
    if len(_roots(archive)) != 1:
        raise ValueError(f"expected one record data.pkl, found {len(_roots(archive))}")
    (root,) = _roots(archive)

    @functools.cache
    def read(record: str) -> memoryview:
        content = memoryview(archive.read(f"{root}/{record}"))
        if len(content) != sizes[f"{root}/{record}"]:
            raise ValueError(f"expected {sizes[f'{root}/{record}']} bytes in the record {record}, found {len(content)}")
        return content

    def fetch(storage: Storage) -> memoryview:
        record = f"data/{storage.key}"
        found = sizes.get(f"{root}/{record}")
        if found != storage.nbytes:
            raise ValueError(f"expected {storage.nbytes} bytes in the record {record}, found {found or 'none'}")
        return read(record)

    order = read("byteorder") if f"{root}/byteorder" in sizes else b"little"
    if order not in (b"little", b"big"):
        raise ValueError("expected little or big as the byte order, found something else")
    swapped = order != sys.byteorder.encode()
    top, _ = pickle_machine.load(
        read("data.pkl"),
        NAMES,
        persistent=lambda identity: storage_of(identity, fetch, swapped=swapped),
    )
    metadata = LongText(read(_METADATA)) if f"{root}/{_METADATA}" in sizes else None
    return pickled_values.collect(top), _parse(metadata)


def is_legacy(head: bytes) -> bool:
    """Whether a file that starts with `head`, 64 bytes or more of it, is one of PyTorch before 1.6."""
    return _PROLOGUE.match(head) is not None


def read_legacy(source: Path | bytes) -> Loaded:
    """Tensors of a file of PyTorch before 1.6, or of a later one told to write those; from its path or its content.

    Raises:
      pickle.UnpicklingError: as by `pickle_machine.load`, or a tensor beyond its storage.
      ValueError: storages that are missing, cut off, or of another size than the tensors say; a tar archive, which
        still older versions wrote.
    """
    top, metadata = _load_legacy(memoryview(source if isinstance(source, bytes) else source.read_bytes()))
    return pickled_values.collect(top), _parse(metadata)


def read_pickled(data: bytes) -> Tree:
    """Tensors in a pickle by Python's own `pickle`, where each storage is a file of PyTorch before 1.6.

    Raises:
      pickle.UnpicklingError, ValueError: as `pickles.loads` and `read_legacy`.
    """
    loaded: dict[int, tuple[Any, Storage]] = {}

    def load(content: Any) -> Storage:
        if id(content) not in loaded:
            if len(loaded) == _MOST_PICKLED:
                raise pickle.UnpicklingError(f"expected at most {_MOST_PICKLED} storages, found more")
            storage, _ = _load_legacy(memoryview(pickles.raw(content)))
            if not isinstance(storage, Storage):
                raise pickle.UnpicklingError(f"expected a storage of PyTorch, found {shown(storage)}")
            loaded[id(content)] = content, storage  # holding the content keeps its id from being given to another
        return loaded[id(content)][1]

    return pickles.loads(data, {**NAMES, "torch.storage._load_from_bytes": Function(load)})


def _load_legacy(data: memoryview) -> tuple[Any, Any]:
    """Content of the main pickle of a file before 1.6, and the text of our metadata, None where there are none."""
    prologue = _PROLOGUE.match(data)
    if prologue is None:
        tar = "a tar archive, as the first versions wrote them: load it with PyTorch and save it again"
        found = tar if data[257:262] == b"ustar" else "something else"
        raise ValueError(f"expected the magic number and version {_VERSION} of PyTorch, found {found}")
    host, end = pickle_machine.load(data, {}, start=prologue.end(), unread=False)
    if not isinstance(host, dict):
        raise pickle.UnpicklingError(f"expected a dictionary on the machine of origin, found {shown(host)}")
    storages: dict[str, Storage] = {}
    contents: dict[str, memoryview] = {}

    def fetch(storage: Storage) -> memoryview:
        if storage.key not in contents:
            raise ValueError(f"expected the {storage}, found none")
        return contents[storage.key]

    def refer(identity: Any) -> Storage | Unread:
        storage = storage_of(identity, fetch, swapped=sys.byteorder == "big")
        if isinstance(storage, Unread):
            if pickled_values.name(identity[0]) == "storage":  # its size is not known, nor where the next one begins
                raise pickle.UnpicklingError(f"refused the global {storage.what}, whose numbers NumPy has not")
            return storage
        first = storages.setdefault(storage.key, storage)
        if (first.dtype, first.numel) != (storage.dtype, storage.numel):
            raise ValueError(f"expected the {first} wherever it is named, found the {storage}")
        return storage

    top, end = pickle_machine.load(data, NAMES, start=end, persistent=refer)
    keys, end = pickle_machine.load(data, {}, start=end, unread=False)
    if not isinstance(keys, list) or not all(pickled_values.name(key) in storages for key in keys):
        raise pickle.UnpicklingError(f"expected a list of the keys of storages, found another {shown(keys)}")
    order = [storages[pickled_values.name(key)] for key in keys]
    contents |= _cut(data[end:], order, big_endian=host.get("little_endian") is False)
    return top, host.get(_METADATA)


def _cut(data: memoryview, storages: list[Storage], *, big_endian: bool) -> dict[str, memoryview]:
    """Bytes of storages in a row, each after its number of elements, which some machines wrote big-endian."""
    contents, end = {}, 0
    for storage in storages:
        start, end = end + 8, end + 8 + storage.nbytes
        count = int.from_bytes(data[start - 8 : start], "little")
        if count != storage.numel and big_endian:
            count = int.from_bytes(data[start - 8 : start], "big")
        if count != storage.numel or end > len(data):
            raise ValueError(
                f"expected the {storage}, found {count} elements, {len(data) - start} bytes before the end"
            )
        contents[storage.key] = data[start:end]
    return contents


def _roots(archive: zipfile.ZipFile) -> list[str]:
    """Folders at the top of a zip that have a pickle."""
    return [name[:-9] for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]


def _parse(text: Any) -> dict[str, Any] | None:
    """Our metadata, None where there are none."""
    if text is None:
        return None
    utf8 = text.utf8 if isinstance(text, LongText) else pickled_values.name(text).encode()
    if len(utf8) > _MOST_METADATA:
        raise ValueError(f"expected at most {_MOST_METADATA} bytes of metadata, found {len(utf8)}")
    try:
        metadata = json.loads(bytes(utf8))
    except RecursionError as error:
        raise ValueError("expected metadata of some levels, found too many") from error
    if not isinstance(metadata, dict):
        raise pickle.UnpicklingError(f"expected a JSON object as metadata, found {shown(metadata)}")
    return metadata


def write_zip(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Writes a state dict as `torch.save` does, with `metadata` as JSON in a record of its own, which PyTorch ignores.

    The same arrays give the same file. Its records are aligned like PyTorch's own, so it can be memory-mapped too.

    Raises:
      ValueError: an array of a type that no storage class of PyTorch is for.
    """
    records = {"data.pkl": _program(arrays, pickle.TUPLE), "byteorder": b"little"}
    records |= {f"data/{key}": content for key, content in enumerate(_contents(arrays))}
    records |= {"version": b"3\n", _METADATA: json.dumps(dict(metadata)).encode()}
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in records.items():
            info = zipfile.ZipInfo(f"archive/{name}")
            padding = -(file.tell() + 30 + len(info.filename) + 4) % _ALIGNMENT  # a local header, the name, this field
            info.extra = struct.pack("<2sH", b"FB", padding) + padding * b"Z"
            info.create_system = 0
            archive.writestr(info, content)


def write_legacy(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Writes a state dict as PyTorch before 1.6 did. The same arrays give the same file.

    The JSON of `metadata` is one more entry of the dictionary on the writing machine, which PyTorch reads and ignores.

    Raises:
      ValueError: an array of a type that no storage class of PyTorch is for.
    """
    host = {
        "protocol_version": _VERSION,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
        _METADATA: json.dumps(dict(metadata)),
    }
    with path.open("wb") as file:
        for part in (_MAGIC, _VERSION, host):
            file.write(pickle.dumps(part, 2))
        file.write(_program(arrays, pickle.NONE + pickle.TUPLE))
        file.write(pickle.dumps([str(key) for key in range(len(arrays))], 2))
        for array, content in zip(arrays.values(), _contents(arrays), strict=True):
            file.write(struct.pack("<q", array.size) + content)


def _contents(arrays: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    """Storage of each array: row-major, little-endian."""
    for array in arrays.values():
        big = array.dtype.byteorder == ">" or (array.dtype.isnative and sys.byteorder == "big")
        yield (array.byteswap() if big else array).tobytes()


def _program(arrays: Mapping[str, np.ndarray], end: bytes) -> bytes:
    """Pickle of the state dict; `end` completes the tuple that names a storage."""
    empty = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    parts = [pickle.PROTO + b"\2", empty, pickle.MARK]
    for key, (name, array) in enumerate(arrays.items()):
        strides = [math.prod(max(side, 1) for side in array.shape[axis + 1 :]) for axis in range(array.ndim)]
        parts += [_plain(name), _global("torch._utils", "_rebuild_tensor_v2"), pickle.MARK]
        parts += [pickle.MARK, _plain("storage"), _global("torch", _storage_class(name, array.dtype))]
        parts += [_plain(str(key)), _plain("cpu"), _plain(array.size), end, pickle.BINPERSID]
        parts += [_plain(0), _plain(array.shape), _plain(tuple(strides)), pickle.NEWFALSE, empty]
        parts += [pickle.TUPLE, pickle.REDUCE]
    return b"".join([*parts, pickle.SETITEMS, pickle.STOP])


def _storage_class(name: str, dtype: np.dtype) -> str:
    for storage, held in STORAGES.items():
        if held == dtype.name:
            return storage
    raise ValueError(f"{name}: expected one of {', '.join(STORAGES.values())}, found {dtype.name}")


def _plain(value: str | int | tuple[int, ...]) -> bytes:
    """Opcodes that push a value."""
    return pickletools.optimize(pickle.dumps(value, 2))[2:-1]  # between the protocol and the stop


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()
