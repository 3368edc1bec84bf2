"""Pickles that call something: none is run, and what is not a tree of arrays is refused."""

import copyreg
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from pickle_programs import REFUSAL, text

from weight_port import pickles


def calls(witness: Path) -> dict[str, bytes]:
    """Programs that leave a witness behind where pickles run."""
    touch, write = text(f"touch {witness}"), text(f"open({str(witness)!r}, 'w').close()")
    system, importer = text("system"), b"cimportlib\nimport_module\n"
    short = struct.Struct("<B").pack(len(f"touch {witness}"))
    return {
        "os.system": b"\x80\x02cos\nsystem\n" + touch + b"\x85R.",
        "posix.system": b"\x80\x02cposix\nsystem\n(" + touch + b"tR.",
        "__builtin__.eval": b"\x80\x02c__builtin__\neval\n" + write + b"\x85R.",
        "builtins.exec": b"\x80\x03cbuiltins\nexec\n" + write + b"\x85R.",
        "os.path.os.system": b"\x80\x04\x8c\x02os\x8c\x0epath.os.system\x93" + touch + b"\x85R.",
        "importlib.import_module": b"\x80\x02cbuiltins\ngetattr\n" + importer + text("os") + b"\x85R" + system
        + b"\x86R" + touch + b"\x85R.",
        "subprocess.getoutput": b"\x80\x02csubprocess\ngetoutput\n" + touch + b"\x85R.",
        "numpy.memmap": b"\x80\x02cnumpy\nmemmap\n(" + text(witness) + text("uint8") + text("w+") + b"K\x00K\x01tR.",
        "INST": b"\x80\x02(" + touch + b"ios\nsystem\n.",
        "OBJ": b"\x80\x02(cos\nsystem\n" + touch + b"o.",
        "EXT1": b"\x80\x02\x82\xf0" + touch + b"\x85R.",
        "EXT2": b"\x80\x02\x83\xf0\x00" + touch + b"\x85R.",
        "a framed name": b"\x80\x04\x95" + struct.pack("<Q", 14 + len(short) + len(touch))
        + b"\x8c\x05posix\x8c\x06system\x93" + touch + b"\x85R.",
        "inside a tree": b"\x80\x02}" + text("a") + b"]cos\nsystem\n" + touch + b"\x85Ras.",
        "behind an array": pickle.dumps(np.ones(2), 2)[:-1] + b"cos\nsystem\n" + touch + b"\x85R.",
        "as the arguments of an array": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncos\nsystem\n" + touch
        + b"\x85R\x85R.",
    }  # fmt: skip


@pytest.mark.parametrize("kind", calls(Path()))
def test_calls_are_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch):
    """Each program is live: `pickle` itself runs it."""
    witness = tmp_path / "witness"
    program = calls(witness)[kind]
    copyreg.add_extension("os", "system", 240)
    try:
        with pytest.raises(pickle.UnpicklingError, match=r"^refused "):
            pickles.loads(program)
        assert not witness.exists()
        try:
            pickle.loads(program)  # noqa: S301
        except (TypeError, ValueError):
            assert kind == "as the arguments of an array"
        assert witness.exists()
    finally:
        copyreg.remove_extension("os", "system", 240)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.", "refused the global numpy.core.multiarray._recons"),
        (b"cnumpy\ndtype.__class__\n.", "refused the global numpy.dtype.__class__"),
        (b"\x8c\x05numpy]\x93.", "expected text of at most 255 bytes, found list"),
        (b"cnumpy\nndarray\n)\x81.", "refused the opcode b'\\\\x81'"),  # NEWOBJ
        (b"cnumpy\nndarray\n)}\x92.", "refused the opcode b'\\\\x92'"),  # NEWOBJ_EX
        (b"(inumpy\nndarray\n.", "refused to make an instance"),
        (b"(cnumpy\nndarray\no.", "refused the opcode b'o'"),
        (b"\x84\xf0\x00\x00\x00.", "refused the opcode b'\\\\x84'"),  # EXT4
        (b"\x97.", "refused the opcode b'\\\\x97'"),  # NEXT_BUFFER
        (b"Pstorage\n.", "refused the opcode b'P'"),
        (b"K\x01Q.", "refused a persistent id"),
        (b"cnumpy\nndarray\nK\x05\x85R.", "refused to call None with tuple"),
        (b"X\x03\x00\x00\x00str)R.", "refused to call 'str' with tuple"),
        (b"]]R.", "refused to call list with list"),
        (b"ccollections\nOrderedDict\n}R.", "refused to call Function with dict"),
        (b"ccollections\nOrderedDict\n}X\x03\x00\x00\x00runNsb.", "refused a state for Function"),
        (b"]}X\x08\x00\x00\x00__call__Nsb.", "refused a state for list"),
        (
            b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R}X\x04\x00\x00\x00codeX\x01\x00\x00\x00Osb.",
            "expected the state of a dtype",
        ),
        (b"cnumpy.core.multiarray\n_reconstruct\n)R}X\x05\x00\x00\x00arrayNsb.", "expected the state of an array"),
        (b"}]a.", "expected a list to extend, found dict"),
        (b"cnumpy\nndarray\n(K\x01e.", "expected a list to extend, found None"),
        (b"cnumpy.core.multiarray\n_reconstruct\n)RK\x01K\x02s.", "expected a dictionary to fill, found _Array"),
        (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "expected bytes as Latin-1"),
        (b"cnumpy\ndtype\n)R.", "expected an intact pickle, found damage"),
    ],
)
def test_tricks_are_refused(program: bytes, reason: str):
    with pytest.raises(REFUSAL, match=reason):
        pickles.loads(b"\x80\x04" + program)


def test_stand_ins_keep_nothing_from_one_file_to_the_next():
    before = repr(pickles.NAMES)
    pickles.loads(b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00aK\x01sN\x86.")
    assert pickles.loads(b"\x80\x02ccollections\nOrderedDict\n)RN\x86.") == {}
    assert repr(pickles.NAMES) == before
