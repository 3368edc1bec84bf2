"""PyTorch's files made by hand, a pickle's instruction at a time, and how tests read and compare them."""

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from weight_port.formats import torch_files

REFUSAL = (pickle.UnpicklingError, ValueError, zipfile.BadZipFile)
TMP_PATH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
METADATA = {"version": 1, "note": "é" * 300}
DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1", "c8", "c16", ">f4", ">f8", ">i2", ">i8", ">c8"]
Arrays = dict[str, np.ndarray]
Meta = dict[str, Any] | None


def read(content: bytes | Path) -> tuple[Arrays, Meta]:
    """By whichever of the two readers is for it."""
    content = content.read_bytes() if isinstance(content, Path) else content
    if torch_files.is_legacy(content[:64]):
        tree, metadata = torch_files.read_legacy(content)
        return tree.arrays, metadata
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert torch_files.is_torch_zip(archive)
        tree, metadata = torch_files.read_zip(archive)
        return tree.arrays, metadata


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Bit by bit."""
    assert (found.dtype.name, found.shape) == (expected.dtype.name, expected.shape)
    assert found.tobytes() == expected.astype(expected.dtype.newbyteorder("=")).tobytes()


WRITERS = pytest.mark.parametrize("write", [torch_files.write_zip, torch_files.write_legacy])


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def tuple_of(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(kind: str = "FloatStorage", key: str = "0", numel: int = 6, tail: bytes = b"") -> bytes:
    """`tail` completes the tuple: nothing in a zip, None or a view before that."""
    module = "torch.storage" if kind.startswith("Unt") else "torch"
    return b"(%bc%b\n%b\n%b" % (
        text("storage"),
        module.encode(),
        kind.encode(),
        text(key) + text("cpu") + number(numel),
    ) + (tail + b"tQ")


def tensor(
    offset: int, size: tuple[int, ...], stride: tuple[int, ...], held: bytes | None = None, more: bytes = b"\x89N"
) -> bytes:
    view = (storage() if held is None else held) + number(offset) + tuple_of(size) + tuple_of(stride)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + view + more + b"tR"


def zipped(program: bytes, *storages: bytes, root: str = "archive", **records: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{root}/data.pkl", program)
        for key, content in enumerate(storages):
            archive.writestr(f"{root}/data/{key}", content)
        for name, content in records.items():
            archive.writestr(f"{root}/{name}", content)
    return file.getvalue()


PROLOGUE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."


def legacy(program: bytes, *storages: bytes, host: Any = {"little_endian": True}, keys: Any = None) -> bytes:  # noqa: B006
    """The storages come with their element counts."""
    keys = [str(key) for key in range(len(storages))] if keys is None else keys
    return PROLOGUE + pickle.dumps(host, 2) + program + pickle.dumps(keys, 2) + b"".join(storages)


def counted(content: bytes, count: int) -> bytes:
    return struct.pack("<q", count) + content


SIX = np.arange(6, dtype="<f4")

# OrderedDict([("w", torch.arange(1., 5.).view(2, 2).t()), (u"n", torch.tensor(7))]) by PyTorch 1.0.0 and Python 2.7
PYTHON_2 = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x01(U\x10protocol_versionq\x02M\xe9\x03U\n"
    b"type_sizesq\x03}q\x04(U\x03intq\x05K\x04U\x05shortq\x06K\x02U\x04longq\x07K\x04uU\rlittle_endianq\x08\x88u.\x80\x02"
    b"ccollections\nOrderedDict\nq\x01]q\x02(]q\x03(U\x01wctorch._utils\n_rebuild_tensor_v2\nq\x04((U\x07storageq\x05"
    b"ctorch\nFloatStorage\nq\x06U\x0e94469855212816q\x07U\x03cpuq\x08\x8a\x01\x04NtQK\x00K\x02K\x02\x86K\x01K\x02\x86"
    b"\x89h\x01]q\t\x85Rq\ntRq\x0be]q\x0c(X\x01\x00\x00\x00nh\x04((h\x05ctorch\nLongStorage\nq\rU\x0e94469852203808q\x0e"
    b"h\x08\x8a\x01\x01NtQK\x00))\x89h\x01]q\x0f\x85Rq\x10tRq\x11ee\x85Rq\x12.\x80\x02]q\x01(U\x0e94469852203808q\x02U"
    b"\x0e94469855212816q\x03e.\x01\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    b"\x00\x00\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80@"
)
