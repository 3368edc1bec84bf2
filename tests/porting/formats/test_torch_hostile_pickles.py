"""Pickles in PyTorch's files that lie about tensors or call something: refused or passed over, and nothing runs."""

import io
import itertools
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch_archives import (
    PROLOGUE,
    REFUSAL,
    SIX,
    counted,
    legacy,
    read,
    storage,
    tensor,
    text,
    zipped,
)

from weight_port.formats import pickled_values, torch_files

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
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\nN)}tR", "refused to call"),
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nFloatStorage\nN)}tR", "refused to call Float32DType"),
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nSize\nN]}tR", "refused to call Function with list"),
        (b"ctorch\nFloatStorage\nK\1\x85R", "refused to call Float32DType"),
        (b"ctorch\nFloatStorage\n)\x81", "refused to make an instance of Float32DType"),
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


@pytest.mark.parametrize(
    ("program", "what"),
    [
        (b"ctorch\nFloatTensor\n", "torch.FloatTensor"),
        (b"ctorch._utils\n_rebuild_qtensor\n(" + storage() + b"K\0)tR", "torch._utils._rebuild_qtensor"),
        (storage("QInt8Storage"), "torch.QInt8Storage"),
        (tensor(0, (6,), (1,), storage("QInt8Storage")), "torch.QInt8Storage"),
        (tensor(0, (6,), (1,), more=b"\x89Nctorch\nfloat8\n").replace(b"_v2", b"_v3"), "torch.float8"),
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(cmy\nrebuild\nN)}tR", "my.rebuild"),
    ],
)  # fmt: skip
def test_tensors_that_numpy_has_not_are_passed_over(program: bytes, what: str):
    content = zipped(b"\x80\x02](" + program + tensor(0, (6,), (1,)) + b"e.", SIX.tobytes())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        tree, _ = torch_files.read_zip(archive)
    assert tree.unread == {"0": what}
    np.testing.assert_array_equal(tree.arrays["1"], SIX)


def test_a_storage_of_unknown_size_has_others_behind_it_in_a_legacy_file():
    program = b"\x80\x02" + tensor(0, (6,), (1,), storage("QInt8Storage", tail=b"N")) + b"."
    with pytest.raises(
        pickle.UnpicklingError, match=r"refused the global torch\.QInt8Storage, whose numbers NumPy has"
    ):
        read(legacy(program, counted(b"", 6)))


def test_a_tensor_with_attributes_is_read():
    program = b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch\nTensor\n("
    program += storage() + b"K\0K\6\x85K\1\x85\x89Nt}" + text("tag") + b"K\1stR"
    np.testing.assert_array_equal(read(zipped(b"\x80\x02" + program + b".", SIX.tobytes()))[0][""], SIX)


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
    yield "os.path", b"cbuiltins\ngetattr\ncos\npath\n" + text("os") + b"\x86R"
    yield "builtins.getattr", b"cbuiltins\ngetattr\nctorch\nfloat32\n" + text("__class__") + b"\x86R"
    yield "torch._utils._rebuild_tensor_v2.__globals__", b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n"
    yield "torch.load", b"ctorch\nload\n" + touch + b"\x85R"
    yield "torch.hub.load", b"ctorch.hub\nload\n" + touch + b"\x85R"
    yield "torch.storage._load_from_bytes", b"ctorch.storage\n_load_from_bytes\nU\1.\x85R"
    yield "torch.serialization.os.system", b"\x8c\x13torch.serialization\x8c\x09os.system\x93" + touch + b"\x85R"
    yield "torch.FloatStorage.__class__", b"ctorch\nFloatStorage.__class__\n"
    yield "torch._utils._import_dotted_name", b"ctorch._utils\n_import_dotted_name\n" + text("os.system") + b"\x85R"
    yield "os.system", b"ccollections\ndefaultdict\ncos\nsystem\n\x85R"
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
