"""Pickles that call something: none is run, whether it is refused or passed over unread."""

import argparse
import collections
import contextlib
import copyreg
import datetime
import decimal
import functools
import io
import pickle
import random
import struct
import types
from pathlib import Path

import numpy as np
import pytest
from pickle_programs import REFUSAL, text

from weight_port.formats import pickles
from weight_port.formats.pickled_values import Tree


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
        (b"cnumpy\nndarray\n)\x81.", "refused to make an instance of None"),  # NEWOBJ
        (b"cnumpy\nndarray\n)}\x92.", "refused to make an instance of None"),  # NEWOBJ_EX
        (b"(inumpy\nndarray\n.", "refused to make an instance"),
        (b"(cnumpy\nndarray\no.", "refused to make an instance of None"),
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
        (b"cbuiltins\ngetattr\n]X\x01\x00\x00\x00a\x86R.", "refused the global builtins.getattr"),
        (b"}]a.", "expected a list to extend, found dict"),
        (b"](\x90.", "expected a set to add to, found list"),  # ADDITEMS
        (b"ccollections\nOrderedDict\n(K\x01t\x85R.", "expected a list of pairs, found tuple"),
        (b"cnumpy\nndarray\n(K\x01e.", "expected a list to extend, found None"),
        (b"cnumpy.core.multiarray\n_reconstruct\n)RK\x01K\x02s.", "expected a dictionary to fill, found _Array"),
        (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "expected bytes as Latin-1"),
        (b"cnumpy\ndtype\n)R.", "expected an intact pickle, found damage"),
    ],
)
def test_tricks_are_refused(program: bytes, reason: str):
    with pytest.raises(REFUSAL, match=reason):
        pickles.loads(b"\x80\x04" + program)


class Witness:
    """Pickles as a call, or as an object whose class leaves a witness behind when it is made or given its state."""

    path: Path

    def __new__(cls, *arguments: object):
        cls.path.touch()
        return super().__new__(cls)

    @classmethod
    def make(cls):
        cls.path.touch()

    def __setstate__(self, state: object):
        self.path.touch()

    def __setitem__(self, key: object, value: object):
        self.path.touch()

    def append(self, value: object):
        self.path.touch()

    extend = add = append


OBJECT = b"ctest_pickle_calls\nWitness\n"
ITEM = text("key") + pickle.dumps(np.arange(3), 2)[2:-1]


@pytest.mark.parametrize(
    "program",
    [
        OBJECT + b")R",
        OBJECT + b")\x81",
        OBJECT + b")}\x92",
        b"(" + OBJECT + b"K\x01o",
        b"(K\x01itest_pickle_calls\nWitness\n",
        OBJECT + b")\x81}" + text("a") + b"K\x01sb",
        OBJECT + b")\x81(K\x01K\x02e",
        OBJECT + b")\x81K\x01a",
        OBJECT + b")\x81(K\x01\x90",
        OBJECT + b")\x81(" + text("a") + b"K\x01u",
        b"cbuiltins\ngetattr\n" + OBJECT + text("make") + b"\x86R)R",
        text("test_pickle_calls") + text("Witness.make") + b"\x93)R",
        OBJECT + b")\x81(K\x000" + b"00" + OBJECT + b")\x81",  # the first ones are dropped again
    ],
)
def test_objects_are_passed_over_and_never_made(program: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each program is live: `pickle` makes the object."""
    monkeypatch.setattr(Witness, "path", tmp_path / "witness", raising=False)
    whole = b"\x80\x04}(" + text("object") + program + ITEM + b"u."
    tree = pickles.loads(whole)
    assert not (tmp_path / "witness").exists()
    assert list(tree.arrays) == ["key"]
    np.testing.assert_array_equal(tree.arrays["key"], [0, 1, 2])
    assert tree.unread in ({"object": "test_pickle_calls.Witness"}, {"object": "test_pickle_calls.Witness.make"})
    with contextlib.suppress(TypeError):  # what has been made need not be of use
        pickle.loads(whole)  # noqa: S301
    assert (tmp_path / "witness").exists()


@pytest.mark.parametrize(
    "value",
    [
        argparse.Namespace(rate=0.1, out=Path("/weights")),
        datetime.datetime(2020, 1, 2),
        datetime.timedelta(1),
        decimal.Decimal("1.5"),
        functools.partial(max, 1),
        types.SimpleNamespace(a=1),
        np.random.RandomState(0),
        np.random.default_rng(0),
        np.ma.array([1.0, 2.0], mask=[0, 1]),
        Path("/weights"),
        ValueError("text"),
        io.BytesIO(b"bytes"),
        pytest.ExitCode.OK,
        collections.ChainMap({}),
        np.array(["a", "b"]),
        np.array([1, "a", None], dtype=object),
        np.zeros(2, [("a", "f4"), ("b", "i4")]),
        np.array(["2020-01-01"], "M8[D]"),
        np.ones(2, np.complex64),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_programs_keep_beside_their_arrays(value: object, protocol: int):
    tree = pickles.loads(pickle.dumps({"before": np.ones(1), "value": value, "after": np.ones(2)}, protocol))
    assert list(tree.arrays) == ["before", "after"]
    if type(value).__module__ != "builtins":
        assert list(tree.unread) == ["value"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_are_no_word_worth_and_containers_are_read(protocol: int):
    array = np.arange(3)
    plain = [{1, 2}, frozenset("a"), 1j, slice(1, 2), range(3), bytearray(b"a"), int, 10**400, random.getstate()]
    tree = {
        "plain": plain,
        "keys": {(1, 2): 3, "x" * 300: 4, Path("a"): array, frozenset("a"): 5},
        "defaultdict": collections.defaultdict(list, {1: [array]}),
        "deque": collections.deque([array], 5),
    }
    found = pickles.loads(pickle.dumps(tree, protocol))
    keys = f"{type(Path()).__module__}.{type(Path()).__name__}"  # Python 3.13 has it in pathlib._local
    assert list(found.arrays) == [f"keys/<{keys} 2>", "defaultdict/1/0", "deque/0"]
    assert found.unread == {}
    for read in found.arrays.values():
        np.testing.assert_array_equal(read, array)


def test_what_is_in_a_dictionary_of_a_class_of_its_own_is_read():
    class_of_a_dictionary = b"cmy.config\nDict\n)\x81}" + text("state") + b"K\x01sb(" + ITEM + b"u"
    tree = pickles.loads(b"\x80\x02}" + text("weights") + class_of_a_dictionary + b"s.")
    assert list(tree.arrays) == ["weights/key"]
    assert tree.unread == {"weights": "my.config.Dict"}


def test_of_very_many_objects_only_the_first_are_named():
    program = b"}(" + b"".join(text(number) + b"cmy\nThing\n" for number in range(3000)) + ITEM + b"u."
    tree = pickles.loads(b"\x80\x02" + program)
    assert list(tree.arrays) == ["key"]
    assert len(tree.unread) == 1000


def test_stand_ins_keep_nothing_from_one_file_to_the_next():
    before = repr(pickles.NAMES)
    pickles.loads(b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00aK\x01sN\x86.")
    assert pickles.loads(b"\x80\x02ccollections\nOrderedDict\n)RN\x86.") == Tree({}, {})
    assert repr(pickles.NAMES) == before
