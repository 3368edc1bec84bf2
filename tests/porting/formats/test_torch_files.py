"""PyTorch's files: ours and hand-made ones are read bit by bit."""

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch_archives import (
    DTYPES,
    METADATA,
    PYTHON_2,
    SIX,
    TMP_PATH,
    WRITERS,
    Arrays,
    assert_same,
    counted,
    legacy,
    number,
    read,
    storage,
    tensor,
    text,
    tuple_of,
    zipped,
)

from weight_port.formats import torch_files

# Ours, read by ourselves

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    dtype = draw(st.sampled_from([*DTYPES, "bfloat16"]))
    if dtype == "bfloat16":
        return draw(hnp.arrays(np.uint16, SHAPES)).view(ml_dtypes.bfloat16)
    array = draw(hnp.arrays(dtype, SHAPES))
    return array.T if draw(st.booleans()) else array


@WRITERS
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), arrays(), max_size=4))
@settings(TMP_PATH, max_examples=60)
def test_ours_are_read_as_they_were(tmp_path: Path, write: Callable, tensors: Arrays):
    write(tmp_path / "x", tensors, METADATA)
    found, metadata = read(tmp_path / "x")
    assert (list(found), metadata) == (list(tensors), METADATA)
    for name, array in tensors.items():
        assert_same(found[name], array)


@WRITERS
def test_the_same_arrays_give_the_same_file(tmp_path: Path, write: Callable):
    tensors = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array(3)}
    fortran = {"b": np.asfortranarray(tensors["b"]), "a": np.array(3)}
    for name, contents in (("x.pt", tensors), ("another name.pth", fortran)):
        write(tmp_path / name, contents, METADATA)
    assert (tmp_path / "x.pt").read_bytes() == (tmp_path / "another name.pth").read_bytes()


@WRITERS
@pytest.mark.parametrize("metadata", [{}, {"a": [1, None, "é"]}])
def test_metadata(tmp_path: Path, write: Callable, metadata: dict):
    write(tmp_path / "x", {}, metadata)
    assert read(tmp_path / "x") == ({}, metadata)


def test_records_are_aligned(tmp_path: Path):
    torch_files.write_zip(tmp_path / "x", {f"layer{i}": np.ones(i, np.float32) for i in range(20)}, METADATA)
    content = (tmp_path / "x").read_bytes()
    with zipfile.ZipFile(tmp_path / "x") as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            name, extra = struct.unpack_from("<HH", content, info.header_offset + 26)
            start = info.header_offset + 30 + name + extra
            assert start % 64 == 0
            assert content[start : start + info.file_size] == archive.read(info)


@WRITERS
def test_a_dtype_without_a_storage_class_is_refused(tmp_path: Path, write: Callable):
    with pytest.raises(ValueError, match=r"^a\.b: expected one of float64, .*, found uint16$"):
        write(tmp_path / "x", {"a.b": np.ones(2, np.uint16)}, {})


# By hand

VIEWS = {
    "all": (0, (2, 3), (3, 1), [[0, 1, 2], [3, 4, 5]]),
    "transposed": (0, (3, 2), (1, 3), [[0, 3], [1, 4], [2, 5]]),
    "end": (4, (2,), (1,), [4, 5]),
    "steps": (1, (2,), (3,), [1, 4]),
    "overlapping": (0, (3, 3), (1, 1), [[0, 1, 2], [1, 2, 3], [2, 3, 4]]),
    "expanded": (5, (2, 2), (0, 0), [[5, 5], [5, 5]]),
    "number": (3, (), (), 3),
    "one, with any stride": (5, (1, 1), (2**62, 2**63 - 1), [[5]]),
    "none": (0, (0, 3), (3, 1), np.zeros((0, 3))),
    "none, from anywhere": (100, (2, 0), (7, 2**40), np.zeros((2, 0))),
}


@pytest.mark.parametrize("old", [False, True])
def test_views_of_one_storage(old: bool):
    tail = b"N" if old else b""
    items = [text(name) + tensor(*view[:3], storage(tail=tail)) for name, view in VIEWS.items()]
    program = b"\x80\x02}(" + b"".join(items) + b"u."
    content = legacy(program, counted(SIX.tobytes(), 6)) if old else zipped(program, SIX.tobytes())
    found, metadata = read(content)
    assert (list(found), metadata) == (list(VIEWS), None)
    for name, view in VIEWS.items():
        assert_same(found[name], np.array(view[3], np.float32))


def test_big_endian_zips():
    """Also of the types that NumPy knows no other order of, and of those that lie in storages of bytes."""
    numbers = {"FloatStorage": ">f4", "LongStorage": ">i8", "ByteStorage": "u1", "ComplexFloatStorage": ">c8"}
    arrays = [np.arange(3).astype(dtype) for dtype in numbers.values()]
    parts = [text(kind) + tensor(0, (3,), (1,), storage(kind, str(key), 3)) for key, kind in enumerate(numbers)]
    bfloat16 = np.array([1, -2, 3], ml_dtypes.bfloat16)
    parts.append(text("bfloat16") + tensor(1, (2,), (1,), storage("BFloat16Storage", "4", 3)))
    view = storage("UntypedStorage", "5", 6) + number(0) + tuple_of((3,)) + tuple_of((1,))
    parts.append(text("uint16") + b"ctorch._utils\n_rebuild_tensor_v3\n(" + view + b"\x89Nctorch\nuint16\ntR")
    storages = [*(array.tobytes() for array in arrays), b"\x3f\x80\xc0\x00\x40\x40", b"\0\1\0\2\1\0"]
    content = zipped(b"\x80\x02}(" + b"".join(parts) + b"u.", *storages, byteorder=b"big")
    found, _ = read(content)
    for kind, array in zip(numbers, arrays, strict=True):
        assert_same(found[kind], array)
        assert found[kind].dtype.isnative
    assert_same(found["bfloat16"], bfloat16[1:])
    assert_same(found["uint16"], np.array([1, 2, 256], np.uint16))


def test_big_endian_machines_wrote_legacy_files_in_little_endian_but_for_the_counts():
    program = b"\x80\x02}" + text("x") + tensor(0, (6,), (1,), storage(tail=b"N")) + b"s."
    for count in (b"\6" + bytes(7), bytes(7) + b"\6"):
        found, _ = read(legacy(program, count + SIX.tobytes(), host={"little_endian": False}))
        assert_same(found["x"], SIX)
    with pytest.raises(ValueError, match=f"found {6 << 56} elements"):
        read(legacy(program, bytes(7) + b"\6" + SIX.tobytes()))


def test_a_file_of_python_2():
    found, metadata = read(PYTHON_2)
    assert (list(found), metadata) == (["w", "n"], None)
    assert_same(found["w"], np.array([[1, 3], [2, 4]], np.float32))
    assert_same(found["n"], np.array(7))


def test_views_of_storages_in_legacy_files():
    part = storage(tail=b"(" + text("v") + number(2) + number(3) + b"t")
    program = b"\x80\x02}" + text("x") + tensor(1, (2,), (1,), part) + b"s."
    assert_same(read(legacy(program, counted(SIX.tobytes(), 6)))[0]["x"], SIX[3:5])
    beyond = b"\x80\x02}" + text("x") + tensor(1, (3,), (1,), part) + b"s."
    with pytest.raises(pickle.UnpicklingError, match="expected a tensor within the storage 0 of 6 float32"):
        read(legacy(beyond, counted(SIX.tobytes(), 6)))


def test_wrappers():
    """What training scripts put around weights, in the words of `torch.save`."""
    one = tensor(0, (6,), (1,))
    hooks = b"ccollections\nOrderedDict\n)R"
    items = {
        "epoch": b"K\3",
        "state_dict": hooks + b"(" + text("conv.weight") + one + b"u}" + text("_metadata") + hooks + b"sb",
        "optimizer": b"}(" + text("state") + b"}K\0}" + text("exp_avg") + one + b"ss" + text("lr") + b"K\1u",
        "scheduler": b"}" + text("milestones") + b"ccollections\nCounter\n}K\nK\1s\x85Rs",
        "parameter": b"ctorch._utils\n_rebuild_parameter\n" + one + b"\x88" + hooks + b"\x87R",
        "with state": b"ctorch._utils\n_rebuild_parameter_with_state\n(" + one + b"\x88" + hooks + b"}tR",
        "version 1": b"ctorch._utils\n_rebuild_tensor\n(" + storage() + b"K\0K\6\x85K\1\x85tR",
        "sized": b"ctorch._utils\n_rebuild_tensor\n(" + storage() + b"K\0ctorch\nSize\nK\2\x85\x85RK\1\x85tR",
        "args": b"](" + text("--lr") + b"Nctorch\nfloat32\nctorch\ndevice\n" + text("cuda") + b"\x85Re",
        "storage": storage(),
        "best": b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n" + text("f8") + b"\x85RU\10" + bytes(8) + b"\x86R",
        "list": b"]" + one + b"a",
    }  # fmt: skip
    program = b"\x80\x02}(" + b"".join(text(name) + item for name, item in items.items()) + b"u."
    found, _ = read(zipped(program, SIX.tobytes()))
    expected = ["state_dict/conv.weight", "optimizer/state/0/exp_avg", "parameter", "with state", "version 1", "sized"]
    assert list(found) == [*expected, "list/0"]
    for name, array in found.items():
        assert_same(array, SIX[:2] if name == "sized" else SIX)
