"""MATLAB's MAT-files of version 5 (`save -v6` and `-v7`): numbers, text, cells and structs, read and written.

A reader of our own, because SciPy's makes room for all the cells that a file claims before it looks at what follows,
and unpacks whatever there is. Here every size is held against the bytes that are there. A writer of our own, because
SciPy's puts the time into each file: ours gives the same bytes for the same values.

Numbers are arrays, with MATLAB's two dimensions at least; text is `str`; a cell array is a tuple in MATLAB's order
(columns first) and a struct array a list of dictionaries, both without their shape. All else is None: function handles,
objects, sparse matrices.

Reference: MathWorks, "MAT-File Format".
"""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Value = Any
"""Value of a variable, as the top of this file describes it."""

_MATRIX, _COMPRESSED = 14, 15
_INT8, _UINT16, _INT32, _UINT32 = 1, 4, 5, 6
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Elements that hold numbers, by type. An array may be stored in a smaller type than its own."""
_ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
"""Elements that hold text, by type."""
_CELL, _STRUCT, _OBJECT, _CHAR, _UINT8, _OPAQUE = 1, 2, 3, 4, 9, 17
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", _UINT8: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""Arrays of numbers, by class."""
_LOGICAL, _COMPLEX = 0x200, 0x800
_HEADER = "116s8xH2s"
_DEEPEST = 32
_MOST_SIDES = 64
_MOST_VALUES = 100_000


def read(path: Path, *, limit: int = 2**30) -> dict[str, Value]:
    """Variables of a file by name.

    Raises:
      ValueError, zlib.error: it is damaged, of another version, or unpacks to more than `limit` bytes.
    """
    data = memoryview(path.read_bytes())
    order = {b"IM": "<", b"MI": ">"}.get(bytes(data[126:128]))
    if order is None:
        raise ValueError(f"expected the header of a MAT-file, found {bytes(data[:128])!r:.60}")
    _, version, _ = struct.unpack(order + _HEADER, data[:128])
    if version == 0x0200:
        raise ValueError("expected a MAT-file of version 5, found one of version 7.3: save it with -v7 in MATLAB")
    if version != 0x0100:
        raise ValueError(f"expected a MAT-file of version 0x0100, found {version:#06x}")
    return dict(_Reader(order, limit).variables(data[128:]))


class _Reader:
    """Reader of the elements of one file, in its byte order, which keeps count of the bytes that they take."""

    def __init__(self, order: str, limit: int):
        self._order = order
        self._limit = limit
        self._unpacked = 0
        self._values = 0

    def variables(self, data: memoryview) -> Iterator[tuple[str, Value]]:
        """Variables in a file's body."""
        while data:
            kind, content, data = self._element(data, aligned=False)
            if kind == _COMPRESSED:
                kind, content = self._unpack(content)
            if kind != _MATRIX:
                raise ValueError(f"expected a variable, found an element of type {kind}")
            yield self._matrix(content, 0)

    def _unpack(self, content: memoryview) -> tuple[int, memoryview]:
        """Type and content of a compressed element, unpacked as far as its own size says, which must be all of it."""
        unpacker = zlib.decompressobj()
        head = unpacker.decompress(content, 8)
        if len(head) < 8:
            raise ValueError(f"expected a compressed element of at least 8 bytes, found {len(head)}")
        kind, size = struct.unpack(f"{self._order}II", head)
        self._count(size)
        body = unpacker.decompress(unpacker.unconsumed_tail, size) if size else b""
        rest = unpacker.decompress(unpacker.unconsumed_tail, 1)
        if len(body) < size or rest or not unpacker.eof:
            raise ValueError(f"expected {size} compressed bytes, found {'more' if rest else len(body)}")
        return kind, memoryview(body)

    def _count(self, size: int) -> None:
        self._unpacked += size
        if self._unpacked > self._limit:
            raise ValueError(f"it unpacks to more than {self._limit} bytes")

    def _element(self, data: memoryview, *, aligned: bool = True) -> tuple[int, memoryview, memoryview]:
        """Type and content of the first element, and what follows it. Elements are `aligned` but at the top."""
        if len(data) < 8:
            raise ValueError(f"expected an element of at least 8 bytes, found {len(data)}")
        kind, size = struct.unpack(f"{self._order}II", data[:8])
        start, end = 8, 8 + size + (-size % 8 if aligned else 0)
        if kind >> 16:  # a small element: its size, its type and its content in eight bytes
            kind, size = kind & 0xFFFF, kind >> 16
            start, end = 4, 8
        if start + size > min(end, len(data)):
            raise ValueError(f"expected an element of {size} bytes, found {min(end, len(data)) - start}")
        return kind, data[start : start + size], data[end:]

    def _matrix(self, content: memoryview, depth: int) -> tuple[str, Value]:
        """Name, "" but at the top, and value of a variable, a cell or a field."""
        self._values += 1
        if self._values > _MOST_VALUES or depth > _DEEPEST:
            raise ValueError(f"expected at most {_MOST_VALUES} values in {_DEEPEST} levels, found more")
        if not content:
            return "", np.zeros((0, 0))  # MATLAB's []
        flags, rest = self._integers(content, _UINT32)
        if len(flags) != 2:
            raise ValueError(f"expected two words of flags, found {len(flags)}")
        array_class = flags[0] & 0xFF
        if array_class == _OPAQUE:
            return self._text(rest)[0], None
        sides, rest = self._integers(rest, _INT32)
        if min(sides, default=0) < 0:
            raise ValueError(f"expected sides of an array, found {sides}")
        name, rest = self._text(rest)
        if array_class in _NUMBERS:
            return name, self._numbers(_NUMBERS[array_class], flags[0], sides, rest)
        if array_class == _CHAR:
            return name, self._text(rest)[0]
        if array_class == _CELL:
            return name, tuple(self._matrices(rest, math.prod(sides), depth))
        if array_class in (_STRUCT, _OBJECT):
            if array_class == _OBJECT:
                _, rest = self._text(rest)  # the name of its class
            return name, self._struct(rest, math.prod(sides), depth)
        return name, None

    def _numbers(self, dtype: str, flags: int, sides: list[int], data: memoryview) -> np.ndarray | None:
        if flags & _COMPLEX:
            return None
        kind, content, _ = self._element(data)
        if kind not in _STORED:
            raise ValueError(f"expected numbers, found an element of type {kind}")
        stored = np.dtype(self._order + _STORED[kind])
        if math.prod(sides) * stored.itemsize != len(content):
            raise ValueError(f"expected the bytes of {stored}{sides}, found {len(content)}")
        if not np.can_cast(stored, dtype, "same_kind"):
            raise ValueError(f"expected {dtype} or a smaller type, found {stored}")
        self._count(max(0, np.dtype(dtype).itemsize - stored.itemsize) * math.prod(sides))
        with np.errstate(over="ignore"):
            array = np.frombuffer(content, stored).astype(np.bool_ if flags & _LOGICAL else dtype)
        return array.reshape(sides, order="F")

    def _struct(self, data: memoryview, count: int, depth: int) -> list[dict[str, Value]]:
        width, data = self._integers(data, _INT32)
        kind, names, data = self._element(data)
        if kind != _INT8 or len(width) != 1 or width[0] < 1 or len(names) % width[0]:
            raise ValueError(f"expected names of fields of equal width, found {width} and {len(names)} bytes")
        starts = range(0, len(names), width[0])
        if len(starts) > _MOST_VALUES:
            raise ValueError(f"expected at most {_MOST_VALUES} fields, found {len(starts)}")
        fields = [bytes(names[i : i + width[0]]).split(b"\0")[0].decode("latin-1") for i in starts]
        if not fields:
            count = 0
        values = self._matrices(data, count * len(fields), depth)
        return [{field: next(values) for field in fields} for _ in range(count)]

    def _matrices(self, data: memoryview, count: int, depth: int) -> Iterator[Value]:
        """Values of `count` cells or fields."""
        for _ in range(count):
            kind, content, data = self._element(data)
            if kind != _MATRIX:
                raise ValueError(f"expected a value, found an element of type {kind}")
            yield self._matrix(content, depth + 1)[1]

    def _integers(self, data: memoryview, expected: int) -> tuple[list[int], memoryview]:
        kind, content, rest = self._element(data)
        if kind != expected or len(content) % 4 or len(content) > 4 * _MOST_SIDES:
            raise ValueError(f"expected integers (type {expected}), found {len(content)} bytes of type {kind}")
        return np.frombuffer(content, self._order + _STORED[kind]).tolist(), rest

    def _text(self, data: memoryview) -> tuple[str, memoryview]:
        kind, content, rest = self._element(data)
        if kind not in _ENCODINGS:
            raise ValueError(f"expected text, found an element of type {kind}")
        encoding = _ENCODINGS[kind]
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if self._order == "<" else "-be"
        return bytes(content).decode(encoding), rest


def dumps(variables: Mapping[str, Value]) -> bytes:
    """File with these variables, uncompressed. One-dimensional arrays become columns.

    Raises:
      ValueError: an array of a type that MATLAB has not.
    """
    text = b"MATLAB 5.0 MAT-file, written by mfst_jax".ljust(116)
    header = struct.pack("<" + _HEADER, text, 0x0100, b"IM")
    return header + b"".join(_dump_matrix(name, value) for name, value in variables.items())


def _dump_matrix(name: str, value: Value) -> bytes:
    flags = 0
    match value:
        case str():
            octets = value.encode("utf-16-le")
            array_class, sides = _CHAR, (1, len(octets) // 2)
            content = _dump_element(_UINT16, octets)
        case tuple():
            array_class, sides = _CELL, (1, len(value))
            content = b"".join(_dump_matrix("", item) for item in value)
        case list():
            array_class, sides = _STRUCT, (1, len(value))
            fields = list(value[0])
            names = b"".join(field.encode().ljust(32, b"\0") for field in fields)
            content = _dump_element(_INT32, struct.pack("<i", 32)) + _dump_element(_INT8, names)
            content += b"".join(_dump_matrix("", element[field]) for element in value for field in fields)
        case _:
            array = np.asarray(value)
            sides = array.shape + (1,) * (2 - array.ndim)
            while len(sides) > 2 and sides[-1] == 1:  # as MATLAB has it
                sides = sides[:-1]
            flags = _LOGICAL if array.dtype == np.bool_ else 0
            dtype = "u1" if flags else f"{array.dtype.kind}{array.dtype.itemsize}"
            if dtype not in _NUMBERS.values():
                raise ValueError(f"{name}: expected a type that MATLAB has, found {array.dtype}")
            array_class = next(key for key, known in _NUMBERS.items() if known == dtype)
            kind = next(key for key, known in _STORED.items() if known == dtype)
            content = _dump_element(kind, array.astype(f"<{dtype}").tobytes("F"))
    return _dump_element(
        _MATRIX,
        _dump_element(_UINT32, struct.pack("<II", array_class | flags, 0))
        + _dump_element(_INT32, struct.pack(f"<{len(sides)}i", *sides))
        + _dump_element(_INT8, name.encode())
        + content,
    )


def _dump_element(kind: int, content: bytes) -> bytes:
    if 0 < len(content) <= 4:
        return struct.pack("<HH4s", kind, len(content), content)
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)
