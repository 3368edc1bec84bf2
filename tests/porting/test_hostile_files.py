"""Hostile files: what calls, lies, multiplies or is damaged gives our error, and nothing in it runs."""

import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources import AUTHORS, authors_names, lpips_names, lpips_tree, write_npz, write_pickle, write_sdist, write_wheel

import weight_port
from mfst_jax import checkpoints, json_files
from mfst_jax.checkpoints import weight_names
from weight_port import containers
from weight_port.formats import pickles, tf1_bundles
from weight_port.reading import is_zero


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments: object):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("function", [os.system, eval, exec, getattr])
def test_a_pickle_that_calls_is_refused_by_name(tmp_path: Path, protocol: int, function: Callable):
    witness = tmp_path / "witness"
    code = f"touch {witness}" if function is os.system else f"open({str(witness)!r}, 'w').close()"
    tree = {"payload": Calls(function, code), "AlexNet_0": {"Conv_0": {"bias": np.ones(2, np.float32)}}}
    with pytest.raises(weight_port.SourceError) as error:
        weight_port.read(write_pickle(tmp_path / "x", tree, protocol))
    module = "__builtin__" if protocol == 2 and function is not os.system else function.__module__
    assert f"refused the global {module}.{function.__name__}" in str(error.value)
    assert not witness.exists()


def test_old_opcodes_are_refused_by_name_too():
    for program in (b"\x80\x02(cos\nsystem\nX\x02\x00\x00\x00lso.", b"\x80\x02(X\x02\x00\x00\x00lsios\nsystem\n."):
        with pytest.raises(pickle.UnpicklingError, match=r"os\.system"):
            pickles.loads(program)


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"


@pytest.mark.parametrize(
    "program",
    [
        RECONSTRUCT + b")R.",  # no content
        RECONSTRUCT + b"(X\x02\x00\x00\x00osK\x07tR.",  # nonsense as arguments
        RECONSTRUCT + b")RNb.",  # nothing as a state
        RECONSTRUCT + b")R(K\x01)NK\x00C\x00tb.",  # no dtype
        RECONSTRUCT + b")R(K\x01K\x05cnumpy\ndtype\n(X\x02\x00\x00\x00f4tRK\x00C\x00tb.",  # a number as the shape
        RECONSTRUCT + b")R(K\x01J\xff\xff\xff\xff\x85cnumpy\ndtype\n(X\x02\x00\x00\x00f4tRK\x00C\x00tb.",  # negative
        RECONSTRUCT + b")R(K\x01J\xff\xff\xff\x7f\x85cnumpy\ndtype\n(X\x02\x00\x00\x00f4tRK\x00C\x00tb.",  # 8 GiB
        RECONSTRUCT + b")R(K\x01)cnumpy\ndtype\n(X\x02\x00\x00\x00O8tRK\x00C\x00tb.",  # objects
        b"cnumpy\ndtype\n(X\x09\x00\x00\x00(2000000)itR.",  # a structure
        b"cnumpy\ndtype\n(X\x02\x00\x00\x00f4tR(K\x03X\x01\x00\x00\x00?tb.",  # an unknown byte order
        b"cnumpy\nndarray\nK\x05\x85R.",  # the class itself, called
        b"cnumpy\nndarray\n)\x81.",  # the class itself, instantiated
        RECONSTRUCT + b"}X\x08\x00\x00\x00__call__K\x01sb.",  # a state for the function
        b"K\x05.",  # a number
        b"]K\x01a.",  # a list
        b"}K\x01}s.",  # a key that is no text
        b"}X\x01\x00\x00\x00aNs.",  # nothing as a leaf
        b"}q\x00X\x01\x00\x00\x00ah\x00s.",  # itself as a leaf
        b"}r\xff\xff\xff\x7f.",  # a memo index that would need 16 GiB
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # more bytes than there are
        b"\x81.",  # an empty stack
        b"",
    ],
)
def test_pickles_that_make_no_sense(tmp_path: Path, program: bytes):
    (tmp_path / "x").write_bytes(b"\x80\x04" + program)
    with pytest.raises(weight_port.SourceError) as error:
        weight_port.read(tmp_path / "x")
    assert "\n" not in str(error.value)


def test_a_pickle_that_multiplies_is_refused():
    tree: dict = {str(i): np.ones(1, np.float32) for i in range(30)}
    for _ in range(6):
        tree = {str(i): tree for i in range(30)}
    with pytest.raises(pickle.UnpicklingError, match="at most"):
        pickles.loads(pickle.dumps(tree, 4))


@pytest.mark.parametrize(
    ("shape", "reason"), [((), r"refused the global posix\.system"), ((1,), r"not read: arr_0 \(array of objects\)")]
)
def test_a_pickle_inside_an_npz_runs_nothing(tmp_path: Path, shape: tuple[int, ...], reason: str):
    witness = tmp_path / "witness"
    array = np.empty(shape, object)
    array[...] = Calls(os.system, f"touch {witness}")
    np.savez(tmp_path / "x.npz", array)
    with pytest.raises(weight_port.SourceError, match=reason):
        weight_port.read(tmp_path / "x.npz")
    assert not witness.exists()


def test_an_sdist_of_very_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(containers, "_MOST_MEMBERS", 10)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        for number in range(12):
            archive.addfile(tarfile.TarInfo(f"{number}"))
    with pytest.raises(weight_port.SourceError, match="expected at most 10 files"):
        weight_port.read(tmp_path / "x.tar.gz")


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_npz(tmp_path / "x.npz", {"AlexNet_0.Conv_0.bias": np.zeros(10**6, np.float32)}, zipfile.ZIP_DEFLATED)
    write_wheel(tmp_path / "x.whl", bytes(10**6))
    write_sdist(tmp_path / "x.tar.gz", bytes(10**6))
    monkeypatch.setattr(containers, "LIMIT", 10**5)
    for name in ("x.npz", "x.tar.gz", "x.whl"):
        with pytest.raises(weight_port.SourceError, match="unpacks to"):
            weight_port.read(tmp_path / name)
    (tmp_path / "large").write_bytes(bytes(10**5 + 1))
    with pytest.raises(weight_port.SourceError, match="expected at most"):
        weight_port.read(tmp_path / "large")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_an_archive_with_a_header_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes
):
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, 10**6
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(10**6)))
    monkeypatch.setattr(containers, "LIMIT", 10**5)
    with pytest.raises(weight_port.SourceError, match="unpacks to more than 100000 bytes"):
        weight_port.read(tmp_path / "x.tar.gz")


def test_a_file_of_very_many_tensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = [f"{number}.conv1.weight" for number in range(12)]
    safetensors.numpy.save_file(dict.fromkeys(names, np.zeros(1, np.float32)), tmp_path / "x")
    monkeypatch.setattr(containers, "_MOST_TENSORS", 10)
    with pytest.raises(weight_port.SourceError, match="expected at most 10 tensors, found 12"):
        weight_port.read(tmp_path / "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_what_lies_beside_a_bundle_in_the_place_of_our_metadata_is_read_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tf1_bundles.write(tmp_path / "x", {"alex_branch/conv1b": np.zeros(1, np.float32)})
    beside = tmp_path / "x.mfst_jax.json"
    os.mkfifo(beside)  # of which reading would not end
    with pytest.raises(weight_port.SourceError, match="a device or a pipe"):
        weight_port.read(tmp_path / "x")
    beside.unlink()
    beside.write_text(" " * 1000)
    monkeypatch.setattr(json_files, "LARGEST", 999)
    with pytest.raises(weight_port.SourceError, match="1000 bytes, more than 999"):
        weight_port.read(tmp_path / "x")


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One of each kind of file, with tensors of a few numbers: shapes are not the readers' business."""
    folder = tmp_path_factory.mktemp("small")
    tiny = {name: np.arange(4, dtype=np.float32) for name in weight_names.expected(AUTHORS)}
    metadata = {"version": 1, "config": None, "provenance": {}, "sha256": checkpoints.digest(tiny)}
    safetensors.numpy.save_file(tiny, folder / "x.safetensors", metadata={"mfst_jax": json.dumps(metadata)})
    write_sdist(folder / "x.tar.gz", pickle.dumps(lpips_tree(tiny), 4))
    return [
        write_npz(folder / "authors.npz", authors_names(tiny, convolutional_se=False)),
        write_npz(folder / "compressed.npz", lpips_names(tiny), zipfile.ZIP_DEFLATED),
        write_pickle(folder / "3.ckpt", lpips_tree(tiny), 3),
        write_pickle(folder / "4.ckpt", lpips_tree(tiny), 4),
        folder / "x.safetensors",
        folder / "x.tar.gz",
    ]


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_give_our_error_or_are_read(small_files: list[Path], tmp_path: Path, data: st.DataObject):
    content = bytearray(data.draw(st.sampled_from(small_files)).read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    (tmp_path / "damaged").write_bytes(content)
    try:
        source = weight_port.read(tmp_path / "damaged")
    except weight_port.SourceError:
        return
    assert all(array.dtype == np.float32 for array in source.arrays.values())


def test_the_small_files_are_sound(small_files: list[Path]):
    assert all(weight_port.read(path).arrays for path in small_files)


END, END_64 = b"PK\x05\x06", b"PK\x06\x06"
"""First bytes of the last record of a zip, and of the one that a zip64 has before it."""


@pytest.mark.parametrize("comment", [b"", b"a comment"])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("disguise", [None, END, END_64])
def test_a_zip_of_a_million_entries_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool, disguise: bytes | None, comment: bytes
):
    """Also where a field of its last records, a place in the file, looks like the beginning of such a record."""
    path = tmp_path / "x.npz"
    with monkeypatch.context() as patch, zipfile.ZipFile(path, "w") as archive:
        if large:
            patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 100)  # beyond it, zip64
        archive.comment = comment
        for number in range(12_000):
            archive.writestr(f"{number:060}", b"")
        archive.close()
    if disguise is not None:
        content = bytearray(path.read_bytes())
        field = content.rindex(END_64) + 64 if large else content.rindex(END) + 16
        content[field : field + 4] = disguise
        path.write_bytes(content)
    found = "expected a directory of at most 1048576 bytes, found"
    if disguise is not None:  # releases of Python differ in what they take for a zip at all
        found += "|the beginning of a zip archive|BadZipFile"
    with pytest.raises(weight_port.SourceError, match=found):
        weight_port.read(path)


def test_pytorch_files_from_before_its_pickles(tmp_path: Path):
    with tarfile.open(tmp_path / "x.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("sys_info"), io.BytesIO())
    with pytest.raises(weight_port.SourceError, match="tar"):
        weight_port.read(tmp_path / "x.pth")


def test_numbers_that_are_none_are_not_zero_and_cause_no_warning():
    signalling = np.array([0x7FA00001, 0], np.uint32).view(np.float32)
    assert not is_zero(signalling)
    assert not is_zero(np.array([0, np.nan], np.float32))
    assert is_zero(np.zeros(3, np.float32))
