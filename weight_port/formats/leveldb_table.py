"""LevelDB tables, the sorted key-value files that index TensorFlow's bundles, as far as those use them.

A table is data blocks, an empty metaindex block, an index block (the last key of each data block -> where it lies) and
a footer. A block is entries, each without the prefix that its key shares with the one before, the offsets of those
whose keys are whole, and the number of these; a byte for the kind of compression and a checksum follow it.

Reference: doc/table_format.md of LevelDB.
"""

import struct
from collections.abc import Iterator, Mapping

from weight_port.formats import crc32c, protobuf

MAGIC = bytes.fromhex("57fb808b247547db")
"""Last bytes of every table."""
FOOTER = 48
"""Bytes of the footer: the handles of the metaindex and of the index, padded, and the magic."""
_TRAILER = 5
_LONGEST_KEY = 4096
_MOST_ENTRIES = 10_000


def loads(data: bytes) -> dict[bytes, bytes]:
    """Entries of a table, in its order.

    Raises:
      ValueError: it is damaged, compressed, or larger than any index of weights.
    """
    if len(data) < FOOTER or not data.endswith(MAGIC):
        raise ValueError(f"expected a table that ends in {MAGIC.hex()}, found the end {data[-8:].hex()}")
    footer = memoryview(data)[-FOOTER:]
    _, at = _handle(footer, 0)
    index, _ = _handle(footer, at)
    entries: dict[bytes, bytes] = {}
    last = None
    end = 0
    for _, encoded in _entries(_block(data, index)):
        handle, _ = _handle(encoded, 0)
        if handle[0] < end:  # otherwise a small file could have one block read any number of times
            raise ValueError(f"expected blocks one after the other, found one at {handle[0]} before {end}")
        end = sum(handle)
        for key, value in _entries(_block(data, handle)):
            if last is not None and key <= last:
                raise ValueError(f"expected keys in order, found {key!r:.60} after {last!r:.60}")
            if len(entries) == _MOST_ENTRIES:
                raise ValueError(f"expected at most {_MOST_ENTRIES} entries, found more")
            entries[key], last = bytes(value), key
    return entries


def dumps(entries: Mapping[bytes, bytes]) -> bytes:
    """Table that holds `entries` in the order of their keys, in one block."""
    data = bytearray()
    content = _append_block(data, entries)
    metaindex = _append_block(data, {})
    index = _append_block(data, {max(entries, default=b""): content})
    return bytes(data) + (metaindex + index).ljust(FOOTER - len(MAGIC), b"\0") + MAGIC


def _append_block(data: bytearray, entries: Mapping[bytes, bytes]) -> bytes:
    """Adds a block, with every key whole so that each entry can be found by its offset, and returns its handle."""
    block = bytearray()
    offsets = []
    for key, value in sorted(entries.items()):
        offsets.append(len(block))
        block += b"\0" + protobuf.dump_varint(len(key)) + protobuf.dump_varint(len(value)) + key + value
    offsets = offsets or [0]
    block += struct.pack(f"<{len(offsets) + 1}I", *offsets, len(offsets))
    handle = protobuf.dump_varint(len(data)) + protobuf.dump_varint(len(block))
    block += b"\0"  # not compressed
    data += block + struct.pack("<I", crc32c.masked(block))
    return handle


def _handle(data: memoryview, at: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where the next handle begins."""
    offset, at = protobuf.load_varint(data, at)
    size, at = protobuf.load_varint(data, at)
    return (offset, size), at


def _block(data: bytes, handle: tuple[int, int]) -> memoryview:
    """Content of a block, checked."""
    offset, size = handle
    end = offset + size + _TRAILER
    if end > len(data) - FOOTER:
        raise ValueError(f"expected blocks within {len(data)} bytes, found one of {size} bytes at {offset}")
    compression, expected = struct.unpack("<BI", data[end - _TRAILER : end])
    crc32c.verify(f"the block at {offset}", data[offset : end - _TRAILER + 1], expected)
    if compression != 0:
        raise ValueError(f"expected an uncompressed table, as TensorFlow writes them, found compression {compression}")
    return memoryview(data)[offset : end - _TRAILER]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Entries of a block one after the other, without the offsets at its end."""
    count = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (count + 1)
    if end < 0:
        raise ValueError(f"expected the offsets of entries in a block of {len(block)} bytes, found {count}")
    at, key = 0, b""
    while at < end:
        shared, at = protobuf.load_varint(block, at)
        rest, at = protobuf.load_varint(block, at)
        size, at = protobuf.load_varint(block, at)
        if shared > len(key) or shared + rest > _LONGEST_KEY or at + rest + size > end:
            raise ValueError(f"expected entries of a block of {end} bytes, found lengths {shared}, {rest}, {size}")
        key = key[:shared] + block[at : at + rest]
        yield key, block[at + rest : at + rest + size]
        at += rest + size
