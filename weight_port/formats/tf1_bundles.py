"""TensorFlow's checkpoints, `model.ckpt-N.index` and its data files, read and written without TensorFlow.

The index is a LevelDB table. Its empty key leads to a BundleHeaderProto, each tensor's name to a BundleEntryProto:
type, shape, where the numbers lie in the data files, and their checksum.

Reference: tensor_bundle.proto, tensor_shape.proto and types.proto of TensorFlow.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from weight_port.formats import crc32c, leveldb_table, protobuf

_DTYPES = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    8: np.dtype(np.complex64),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    14: np.dtype(jnp.bfloat16),
    17: np.dtype(np.uint16),
    18: np.dtype(np.complex128),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}
_CODES = {dtype.name: code for code, dtype in _DTYPES.items()}
_NO_NUMBERS = (7, 20, 21)
"""Types that are no numbers: strings, resources and variants."""
LATEST = "checkpoint"
"""Name of the file in which TensorFlow keeps the list of a folder's bundles."""
_VERSION = 1
_LARGEST_INDEX = 2**22
_PART = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
"""Suffix that tells the files of a bundle apart. TensorFlow 1 puts the graph, `.meta`, beside them."""


@dataclass(frozen=True)
class _Header:
    """Header of a bundle."""

    shards: int
    big_endian: bool


@dataclass(frozen=True)
class _Entry:
    """Tensor, and where it lies.

    Attributes:
      crc: Masked checksum.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int


def is_index(path: Path) -> bool:
    """Whether a file is the index of a bundle, by its last bytes."""
    if not path.is_file() or path.stat().st_size < leveldb_table.FOOTER:
        return False
    with path.open("rb") as file:
        file.seek(-len(leveldb_table.MAGIC), 2)
        return file.read() == leveldb_table.MAGIC


def locate(path: Path) -> Path | None:
    """Index of the bundle that `path` stands for, None where it stands for none.

    Args:
      path: any of its files, what their names begin with (`model.ckpt-0`), or the folder that it is the one bundle of,
        which may be that of a SavedModel.

    Raises:
      ValueError: a folder with several bundles.
    """
    if path.is_dir():
        found = sorted(file for file in path.glob("*.index") if is_index(file))
        found = found or [file for file in (path / "variables" / "variables.index",) if is_index(file)]
        if len(found) > 1:
            raise ValueError(f"expected one bundle in this folder, found {', '.join(file.name for file in found):.200}")
        return found[0] if found else None
    if is_index(path):
        return path
    if path.is_file() and not _PART.search(path.name):
        return None
    index = index_of(path.with_name(prefix_of(path)))
    return index if is_index(index) else None


def prefix_of(path: Path) -> str:
    """Beginning of the names of a bundle's files, of which `path` may be one: `model.ckpt-0`."""
    return _PART.sub("", path.name)


def index_of(prefix: Path) -> Path:
    """Path of the index of the bundle whose files' names begin with `prefix`."""
    return prefix.with_name(f"{prefix.name}.index")


def files(index: Path) -> list[Path]:
    """Files of a bundle: the index, then the data files in order.

    Raises:
      ValueError: the index is damaged, or a data file is missing.
    """
    return [index, *_shards(index, _read_index(index)[0])]


def read(index: Path, *, limit: int = 2**30) -> dict[str, np.ndarray]:
    """Tensors of a bundle by name. Those that hold no numbers are left out.

    Raises:
      ValueError: the bundle is damaged, incomplete, of more than `limit` bytes, without numbers, or partitioned.
    """
    header, entries = _read_index(index)
    if not entries:
        raise ValueError("expected tensors of numbers, found none")
    if (total := sum(entry.size for entry in entries)) > limit:
        raise ValueError(f"expected at most {limit} bytes of tensors, found {total}")
    for entry in entries:
        if entry.shard >= header.shards:
            raise ValueError(f"{entry.name}: expected one of {header.shards} data files, found number {entry.shard}")
    arrays: dict[str, np.ndarray] = {}
    for number, path in enumerate(_shards(index, header)):
        held = [entry for entry in entries if entry.shard == number]
        arrays.update(_read_shard(path, held, big_endian=header.big_endian))
    return {entry.name: arrays[entry.name] for entry in entries}


def write(prefix: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes `<prefix>.index`, its data file, and the file `checkpoint`, by which TensorFlow finds the folder's latest.

    Raises:
      ValueError: a tensor has no name, or is of a type that has no place in a bundle.
    """
    producer = protobuf.dump_integer(1, _VERSION)
    table = {b"": protobuf.dump_integer(1, 1) + protobuf.dump_bytes(3, producer)}
    offset = 0
    with _shard(prefix, 0, 1).open("wb") as file:
        for name in sorted(arrays, key=str.encode):
            array = np.asarray(arrays[name])
            if not name or array.dtype.name not in _CODES:
                raise ValueError(f"{name!r}: expected a name and a type of numbers, found {array.dtype.name}")
            native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
            words = native.reshape(-1).view(f"=u{_width(native.dtype)}")
            words = words.astype(words.dtype.newbyteorder("<"), copy=False)
            shape = b"".join(protobuf.dump_bytes(2, protobuf.dump_integer(1, side)) for side in array.shape)
            table[name.encode()] = (
                protobuf.dump_integer(1, _CODES[array.dtype.name])
                + protobuf.dump_bytes(2, shape)
                + protobuf.dump_integer(4, offset)
                + protobuf.dump_integer(5, words.nbytes)
                + protobuf.dump_fixed32(6, crc32c.masked(words))
            )
            file.write(words.data)
            offset += words.nbytes
    index_of(prefix).write_bytes(leveldb_table.dumps(table))
    name = json.dumps(prefix.name, ensure_ascii=False)
    latest = f"model_checkpoint_path: {name}\nall_model_checkpoint_paths: {name}\n"
    prefix.with_name(LATEST).write_text(latest, encoding="utf-8")


def latest(folder: Path) -> str | None:
    """Name of the bundle that TensorFlow takes for the latest of a folder; "" where that cannot be told.

    It is None where the folder has no list of its bundles, so that TensorFlow finds none.
    """
    path = folder / LATEST
    if not path.exists():
        return None
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            text = file.read(2**12).decode(errors="replace")
        found = re.match(r'\s*model_checkpoint_path:\s*("(?:[^"\\]|\\.)*")', text)
        return Path(json.loads(found[1])).name if found else ""
    except (OSError, ValueError):
        return ""


def _shard(prefix: Path, number: int, count: int) -> Path:
    return prefix.with_name(f"{prefix.name}.data-{number:05}-of-{count:05}")


def _shards(index: Path, header: _Header) -> list[Path]:
    """Data files, all of which are there."""
    prefix = index.with_name(prefix_of(index))
    paths = []
    for number in range(header.shards):
        path = _shard(prefix, number, header.shards)
        if not path.is_file():
            raise ValueError(f"expected the data file {path.name} beside the index, found none")
        paths.append(path)
    return paths


def _read_index(index: Path) -> tuple[_Header, list[_Entry]]:
    """Header of a bundle, and the entries of all its tensors of numbers."""
    if (size := index.stat().st_size) > _LARGEST_INDEX:
        raise ValueError(f"expected an index of at most {_LARGEST_INDEX} bytes, found {size}")
    table = leveldb_table.loads(index.read_bytes())
    if b"" not in table:
        raise ValueError("expected the index of a TensorFlow bundle, found another LevelDB table")
    header = protobuf.loads(table.pop(b""))
    for version in protobuf.messages(header, 3):
        if (consumer := protobuf.integer(version, 2)) > _VERSION:
            raise ValueError(f"expected a bundle of version {_VERSION}, found one for readers of version {consumer}")
    entries = [
        entry
        for key, value in table.items()
        if not key.startswith(b"\0")  # pieces of a partitioned variable, which is refused by its own entry
        if (entry := _parse_entry(key.decode(), value)) is not None
    ]
    return _Header(protobuf.integer(header, 1), bool(protobuf.integer(header, 2))), entries


def _parse_entry(name: str, value: bytes) -> _Entry | None:
    """Entry of a tensor; None for one that holds no numbers."""
    entry = protobuf.loads(value)
    if 7 in entry:
        raise ValueError(f"{name}: expected variables in one piece, found a partitioned one")
    code = protobuf.integer(entry, 1)
    if code in _NO_NUMBERS:
        return None
    if code not in _DTYPES:
        raise ValueError(f"{name}: expected one of TensorFlow's types {sorted(_DTYPES)}, found {code}")
    sides = [side for shape in protobuf.messages(entry, 2) for side in protobuf.messages(shape, 2)]
    shape = tuple(protobuf.integer(side, 1) for side in sides)
    size = protobuf.integer(entry, 5)
    if math.prod(shape) * _DTYPES[code].itemsize != size:
        raise ValueError(f"{name}: expected the bytes of {_DTYPES[code]}{list(shape)}, found {size}")
    shard, offset, crc = (protobuf.integer(entry, field) for field in (3, 4, 6))
    return _Entry(name, _DTYPES[code], shape, shard, offset, size, crc)


def _read_shard(path: Path, entries: Sequence[_Entry], *, big_endian: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Tensors in a data file, in the order in which they lie."""
    length = path.stat().st_size
    end = 0
    with path.open("rb") as file:
        for entry in sorted(entries, key=lambda entry: (entry.offset, entry.size)):
            if entry.offset < end or entry.offset + entry.size > length:
                where = f"between {end} and {length} of {path.name}"
                raise ValueError(f"{entry.name}: expected bytes {where}, found {entry.size} at {entry.offset}")
            end = entry.offset + entry.size
            file.seek(entry.offset)
            octets = np.fromfile(file, np.uint8, entry.size)
            crc32c.verify(f"the tensor {entry.name}", octets, entry.crc)
            words = octets.view(f"{'>' if big_endian else '<'}u{_width(entry.dtype)}")
            words = words.astype(words.dtype.newbyteorder("="), copy=False)
            array = words.astype(np.bool_) if entry.dtype == np.bool_ else words.view(entry.dtype)
            yield entry.name, array.reshape(entry.shape)


def _width(dtype: np.dtype) -> int:
    """Number of bytes that a byte order applies to."""
    return dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
