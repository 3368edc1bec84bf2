"""TensorFlow bundles by a writer of its own, straight from the documents: bits one by one, several blocks and files."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
TYPES: dict[str, int] = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "complex64": 8, "int64": 9, "bool": 10,
    "bfloat16": 14, "uint16": 17, "complex128": 18, "float16": 19, "uint32": 22, "uint64": 23,
}  # fmt: skip
EXAMPLE = {
    "conv1/weights": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "conv1/BatchNorm/beta": np.linspace(-1, 1, 5, dtype=np.float32),
    "global_step": np.array(332499, np.int64),
    "nothing": np.zeros((0, 3), np.float32),
}


def assert_same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype.name, found[name].shape) == (array.dtype.name, array.shape), name
        native = array.astype(array.dtype.newbyteorder("="))
        assert found[name].tobytes() == native.tobytes(), name


def crc(data: bytes) -> int:
    """Masked."""
    register = 0xFFFFFFFF
    for octet in data:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    register ^= 0xFFFFFFFF
    return ((register >> 15 | register << 17) + 0xA282EAD8) % 2**32


def varint(value: int) -> bytes:
    value %= 2**64
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + varint(value // 128)


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[bytes, bytes]], interval: int = 3) -> bytes:
    content, restarts, last = b"", [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % interval == 0:
            restarts.append(len(content))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    restarts = restarts or [0]
    return content + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def table(entries: list[tuple[bytes, bytes]], per_block: int = 4, compression: int = 0) -> bytes:
    data, handles = b"", []

    def append(content: bytes) -> bytes:
        nonlocal data
        handle = varint(len(data)) + varint(len(content))
        content += bytes([compression])
        data += content + struct.pack("<I", crc(content))
        return handle

    for start in range(0, len(entries), per_block):
        part = entries[start : start + per_block]
        handles.append((part[-1][0] + b"\xff", append(block(part))))
    footer = append(block([])) + append(block(handles, interval=1))
    return data + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


@dataclass(frozen=True)
class Entry:
    """What an index says of a tensor."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    more: bytes = b""

    def dumps(self) -> bytes:
        shape = b"".join(field(2, field(1, side)) for side in self.shape)
        start = field(1, self.dtype) + field(2, shape) + field(3, self.shard) + field(4, self.offset)
        return start + field(5, self.size) + varint(6 << 3 | 5) + struct.pack("<I", self.crc) + self.more


def write_bundle(
    folder: Path, arrays: Mapping[str, np.ndarray], *, shards: int = 1, big_endian: bool = False, **changes: Any
) -> Path:
    """`changes` are fields of the entry of `conv1/weights`; returns the index."""
    header = field(1, shards) + field(2, int(big_endian)) + field(3, field(1, 1))
    entries = [(b"", header)]
    contents = [b""] * shards
    for i, (name, array) in enumerate(sorted(arrays.items())):
        data = array.tobytes()
        if big_endian:
            data = array.view(f"u{array.itemsize}").byteswap().tobytes()
        entry = Entry(TYPES[array.dtype.name], array.shape, i % shards, len(contents[i % shards]), len(data), crc(data))
        contents[i % shards] += data
        if name == "conv1/weights":
            entry = replace(entry, **changes)
        entries.append((name.encode(), entry.dumps()))
    for number, content in enumerate(contents):
        (folder / f"model.ckpt-0.data-{number:05}-of-{shards:05}").write_bytes(content)
    index = folder / "model.ckpt-0.index"
    index.write_bytes(table(entries))
    return index
