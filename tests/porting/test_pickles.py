"""Pickled trees of arrays: what NumPy pickles is read bit by bit under every protocol, and no pickle runs."""

import contextlib
import copyreg
import io
import itertools
import pickle
import struct
import subprocess
import sys
import time
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weight_port import pickle_machine, pickled_values, pickles

PROTOCOLS = (2, 3, 4, 5)
REFUSAL = (pickle.UnpicklingError, ValueError)
NUMBERS = st.sampled_from([order + code for order in "<>" for code in ("f2", "f4", "f8", "i2", "i4", "i8", "u2", "u8")])
DTYPES = NUMBERS | st.sampled_from(["i1", "u1", "b1"])


def text(value: str | Path) -> bytes:
    return b"X" + struct.pack("<I", len(str(value))) + str(value).encode()


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Bit by bit."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


# What NumPy pickles


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Of any layout in memory."""
    array = draw(hnp.arrays(draw(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
    layout = draw(st.sampled_from(["C", "F", "transposed", "strided"]))
    if layout == "transposed":
        return array.transpose(draw(st.permutations(range(array.ndim))))
    if layout == "strided" and array.ndim:
        return array[::2]
    return np.asarray(array, order="F" if layout == "F" else "C")


@given(arrays(), st.sampled_from(PROTOCOLS), st.booleans())
@settings(max_examples=200, deadline=None)
def test_arrays_of_every_kind(array: np.ndarray, protocol: int, old: bool):
    data = pickle.dumps({"a": array}, protocol)
    if old and protocol < 4:  # where names are lines and have no length
        data = data.replace(b"numpy._core", b"numpy.core")
    assert_same(pickles.loads(data)["a"], array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_paths(protocol: int):
    one, two, three, four = (np.full(3, number, np.float32) for number in range(1, 5))
    tree = {
        "a": {"b": one},
        "list": [two, 5, ({"deep": three},)],
        7: OrderedDict(x=four),
        "passed over": [1, -2.5, None, True, "text", b"bytes", 2**70, np.float64(0.5), np.int8(3), "x" * 1000],
        None: {0.5: "text"},
    }
    found = pickles.loads(pickle.dumps(tree, protocol))
    assert list(found) == ["a/b", "list/0", "list/2/0/deep", "7/x"]
    for array, expected in zip(found.values(), (one, two, three, four), strict=True):
        assert_same(array, expected)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_large_array(protocol: int):
    """Whose bytes are no short text, nor all below 128 where they are text."""
    array = np.arange(70_000, dtype=np.uint16)
    assert_same(pickles.loads(pickle.dumps([array], protocol))["0"], array)


def test_an_array_alone_has_no_path():
    assert list(pickles.loads(pickle.dumps(np.ones(2)))) == [""]


def test_the_dictionaries_of_python_2():
    """`OrderedDict([("conv.weight", 1), (u"u", 2**40)])` with attributes, as Python 2.7 pickled it; an array put in."""
    array = pickle.dumps(np.arange(3, dtype=np.float32), 2)[2:-1]
    program = (
        b"\x80\x02ccollections\nOrderedDict\n](](U\x0bconv.weight" + array + b"e](X\x01\x00\x00\x00uI1099511627776\nee"
        b"\x85R}U\t_metadata}U\x01v\x8a\x01\x01ssb."
    )
    found = pickles.loads(program)
    assert list(found) == ["conv.weight"]
    np.testing.assert_array_equal(found["conv.weight"], [0, 1, 2])


# .npy files


# numpy.save("x.npy", {"c": [numpy.arange(2, dtype="f4"), numpy.array(1, "i4")]}) by NumPy 1.16 and Python 2.7
PYTHON_2 = (
    b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }" + b" " * 63 + b"\n"
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03(K\x01)cnumpy\n"
    b"dtype\nq\x04U\x02O8K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]q\x06}q\x07U\x01"
    b"c]q\x08(h\x01h\x02K\x00\x85U\x01b\x87Rq\t(K\x01K\x02\x85h\x04U\x02f4K\x00K\x01\x87Rq\n(K\x03U\x01<NNNJ\xff\xff\xff"
    b"\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00\x00\x00\x00\x00\x80?tbh\x01h\x02K\x00\x85U\x01b\x87Rq\x0b(K\x01)h"
    b"\x04U\x02i4K\x00K\x01\x87Rq\x0c(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x01\x00\x00\x00"
    b"tbesatb."
)


def npy(value: Any, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(value), version)
    return file.getvalue()


def test_npy_of_python_2():
    found = pickles.loads_npy(PYTHON_2)
    assert list(found) == ["c/0", "c/1"]
    assert_same(found["c/0"], np.array([0, 1], np.float32))
    assert_same(found["c/1"], np.array(1, np.int32))


@pytest.mark.filterwarnings("ignore:Stored array in format 2.0", "ignore:Stored array in format 3.0")
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy(version: tuple[int, int]):
    weights, bias = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3, np.float32)
    found = pickles.loads_npy(npy({"conv1": [weights, bias]}, version))
    assert list(found) == ["conv1/0", "conv1/1"]
    assert_same(found["conv1/0"], weights)
    assert_same(found["conv1/1"], bias)


@pytest.mark.parametrize(
    "data",
    [
        npy(np.ones(3)),
        npy(np.array([{}, {}])),
        npy({}).replace(b"'shape': ()", b"'shape': (1,)"),
        npy({}).replace(b"'|O'", b"open('x')"),
        npy({})[:30],
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + npy({})[10:],
        b"\x93NUMPY",
        b"",
    ],
)
def test_other_npy_headers_are_refused(data: bytes):
    with pytest.raises(ValueError, match="expected the header of one pickled object"):
        pickles.loads_npy(data)


def test_an_array_of_objects_is_that_of_an_npy_and_no_other():
    header = npy({})[:128]
    assert pickles.loads_npy(header + pickle.dumps({"a": np.ones(1)})).keys() == {"a"}
    objects = np.array([{"a": np.ones(1)}], dtype=object)
    with pytest.raises(pickle.UnpicklingError, match=r"expected the dtype of numbers, found '.O8'"):
        pickles.loads(pickle.dumps({"x": objects}, 4))
    with pytest.raises(pickle.UnpicklingError, match="expected one pickled object"):
        pickles.loads_npy(header + pickle.dumps(np.array([1, 2], dtype=object), 4))


# Nothing runs


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


# Nothing grows


COUNTED = {b"X": "<I", b"\x8c": "<B", b"\x8d": "<Q", b"B": "<I", b"C": "<B", b"\x8e": "<Q", b"\x96": "<Q", b"T": "<i"}


@pytest.mark.parametrize(("opcode", "layout"), [*COUNTED.items(), (b"U", "<B"), (b"\x8a", "<B")])
def test_lengths_beyond_the_end(opcode: bytes, layout: str):
    largest = 2 ** (8 * struct.calcsize(layout) - layout[1].islower()) - 1
    for length in {100, largest}:
        with pytest.raises(pickle.UnpicklingError, match=f"expected {length} more bytes, found 3"):
            pickles.loads(b"\x80\x04" + opcode + struct.pack(layout, length) + b"ab.")


@pytest.mark.parametrize(
    "program", [b"T\xff\xff\xff\xff.", b"\x8b\xff\xff\xff\x7f.", b"I" + b"9" * 10**5 + b"\n.", b"Ia\n."]
)
def test_numbers_that_are_none(program: bytes):
    with pytest.raises(REFUSAL):
        pickles.loads(b"\x80\x02" + program)


def quickly(program: bytes, reason: str) -> None:
    """Refused, in little time and memory."""
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(REFUSAL, match=reason):
            pickles.loads(program)
        assert tracemalloc.get_traced_memory()[1] < 1e7
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 5


def laughs(levels: int, leaf: bytes = b"N") -> bytes:
    """A list of twice the list before, and so on: 2**levels leaves."""
    return leaf + b"".join(b"q%c](h%ch%ce" % (level, level, level) for level in range(levels))


ARRAY = pickle.dumps(np.zeros(1000, np.float32), 3)[2:-1]
POINT = b"cnumpy.core.multiarray\n_reconstruct\n)R"


def test_what_multiplies_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pickled_values, "_MOST_ENTRIES", 10_000)
    monkeypatch.setattr(pickled_values, "_MOST_ARRAYS", 1_000)
    quickly(b"\x80\x02" + laughs(30) + b".", "expected at most 10000 entries")
    quickly(b"\x80\x02" + laughs(30, ARRAY) + b".", "expected at most 1000 arrays")
    monkeypatch.setattr(pickled_values, "LIMIT", 100 * 4000)
    pickles.loads(b"\x80\x02](" + ARRAY + b"r\x00\x01\x00\x00" + 99 * b"j\x00\x01\x00\x00" + b"e.")
    program = b"\x80\x02](" + ARRAY + b"r\x00\x01\x00\x00" + 100 * b"j\x00\x01\x00\x00" + b"e."
    quickly(program, "expected at most 400000 bytes of arrays")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (POINT + b"(K\x01h~NNNtb.", "expected a tuple of at most 64 sizes, found another list"),
        (POINT + b"(K\x01)h~NC\x00tb.", "expected the dtype of an array, found list"),
        (POINT + b"h~b.", "expected the state of an array, found list"),
        (b"cnumpy\ndtype\nh~\x85R.", "expected text of at most 255 bytes, found list"),
        (b"cnumpy\ndtype\nh~Nh~\x87Rh~b.", "expected text of at most 255 bytes, found list"),
        (b"cnumpy.core.numeric\n_frombuffer\n(NNNh~tR.", "expected the order of an array, found list"),
        (b"c_codecs\nencode\nh~h~\x86R.", "expected bytes as Latin-1, found list"),
        (b"}h~Ns.", "expected text of at most 255 bytes, found list"),
        (b"h~NNs.", "expected a dictionary to fill, found list"),
        (b"h~)R.", "refused to call list with tuple"),
        (b"h~Nb.", "refused a state for list"),
        (b"h~h~\x93.", "expected text of at most 255 bytes, found list"),
    ],
)
def test_messages_do_not_print_what_multiplies(program: bytes, reason: str):
    quickly(b"\x80\x04" + laughs(60) + b"q~" + program, reason)


def test_what_contains_itself_is_refused():
    for program in (b"]q\x00h\x00a.", b"}q\x00K\x01h\x00s.", b"]q\x00(h\x00h\x00h\x00e.", b"]q\x00h\x00\x85a."):
        quickly(b"\x80\x02" + program, "expected at most 32 levels")


def in_a_process_of_its_own(programs: list[bytes], folder: Path) -> list[tuple[str, float]]:
    """What refuses each program after how many seconds, unless they crash the process or take a gigabyte of memory."""
    files = [folder / str(number) for number in range(len(programs))]
    for file, program in zip(files, programs, strict=True):
        file.write_bytes(program)
    code = """
import pathlib, resource, sys, time
from weight_port import pickles
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    started = time.process_time()
    try:
        reason = repr(pickles.loads(pathlib.Path(path).read_bytes()))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    print(time.process_time() - started, reason)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20, "more than a gigabyte"
"""
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [
        (reason, float(seconds)) for seconds, _, reason in (line.partition(" ") for line in done.stdout.splitlines())
    ]


def test_depth_and_length_are_no_matter(tmp_path: Path):
    """Neither while it is read nor when it is thrown away; as a key it would have to be hashed, which recurses."""
    count = 120_000
    deep = {
        "tuple": b"N" + b"\x85" * count,
        "list": b"]" * count + b"a" * (count - 1),
        "both": b"N" + b"]\x86" * count,
        "dict": b"}K\x01" * count + b"N" + b"s" * count,
        "_Array": POINT + (b"(K\x01)N\x89" + POINT) * 40_000 + b"tb" * 40_000,
    }
    levels, key = "UnpicklingError: expected at most 32 levels", "UnpicklingError: expected text of at most 255 bytes"
    length = "UnpicklingError: expected at most 500000 opcodes"
    expected = [
        *((b"\x80\x02" + program + b".", levels) for name, program in deep.items() if name != "_Array"),
        (b"\x80\x02" + deep["_Array"] + b".", "UnpicklingError: expected the dtype of an array, found None"),
        *((b"\x80\x02}" + deep[name] + b"Ns.", f"{key}, found {name}") for name in ("tuple", "_Array")),
        *((b"\x80\x04" + 500_000 * opcode + b".", length) for opcode in (b"(", b"C\x00")),
        (b"\x80\x02" + laughs(30) + b".", "UnpicklingError: expected at most 500000 entries"),
        (b"\x80\x02" + laughs(30, ARRAY) + b".", "UnpicklingError: expected at most 10000 arrays"),
    ]
    found = in_a_process_of_its_own([program for program, _ in expected], tmp_path)
    for (reason, seconds), (_, start) in zip(found, expected, strict=True):
        assert reason.startswith(start)
        assert seconds < 5


def test_the_length_of_a_program_is_limited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pickle_machine, "_MOST_OPCODES", 1000)
    for opcode in (b"N", b"(", b"\x95" + bytes(8)):
        quickly(b"\x80\x04" + opcode * 1000 + b".", "expected at most 1000 opcodes")
    assert pickles.loads(b"\x80\x04" + b"N" * 998 + b".") == {}


def test_memo_indices_cost_nothing():
    assert pickles.loads(b"\x80\x02]r\xff\xff\xff\x7fj\xff\xff\xff\x7f.") == {}


def test_text_is_decoded_only_where_it_is_needed():
    """One character of four bytes in ASCII would make all of it four times as large."""
    utf8 = b"a" * 10**7 + "\U0001f600".encode()
    long = b"X" + struct.pack("<I", len(utf8)) + utf8
    quickly(b"\x80\x02}" + long + b"Ns.", "expected text of at most 255 bytes, found LongText")
    shape, dtype = b"J" + struct.pack("<i", 10**7 + 1) + b"\x85", b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R"
    program = b"\x80\x02" + POINT + b"(K\x01" + shape + dtype + b"\x89" + long + b"tb."
    quickly(program, "expected one character for a byte")


@pytest.mark.parametrize("key", [b"X\x00\x01\x00\x00" + b"k" * 256, b"U\xff" + b"\xff" * 255, b")", b"]"])
def test_keys_are_short_text(key: bytes):
    with pytest.raises(REFUSAL, match=r"expected text|can't decode"):
        pickles.loads(b"\x80\x02}" + key + b"Ns.")


def test_paths_are_not_ambiguous():
    array = np.ones(1)
    for tree in ({"a/b": array, "a": {"b": array}}, {1: array, "1": array}, {None: array, "None": array}):
        with pytest.raises(pickle.UnpicklingError, match="once"):
            pickles.loads(pickle.dumps(tree, 4))


# Damage


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (b"K\x01K\x05%bNC\x00", "expected a tuple of at most 64 sizes, found another 5"),
        (b"K\x01J\xff\xff\xff\xff\x85%b\x89C\x00", "expected a tuple of at most 64 sizes"),
        (b"K\x01\x88\x85%b\x89C\x04abcd", "expected a tuple of at most 64 sizes"),  # True
        (b"K\x01(" + b"K\x01" * 65 + b"t%b\x89C\x04abcd", "expected a tuple of at most 64 sizes"),
        (b"K\x01K\x02\x85%b\x89C\x04abcd", "expected 8 bytes for shape \\(2,\\), found 4"),
        (b"K\x01)%b\x89C\x05abcde", "expected 4 bytes for shape \\(\\), found 5"),
        (b"K\x01)%b\x89N", "expected the bytes of an array, found None"),
        (b"K\x01)%b\x89]", "expected the bytes of an array, found list"),
        (b"K\x01)N\x89C\x04abcd", "expected the dtype of an array, found None"),
        (b"K\x01)%b", "expected the state of an array, found tuple"),
    ],
)
def test_arrays_that_lie(state: bytes, reason: str):
    program = b"\x80\x03" + POINT + b"(" + state.replace(b"%b", b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R") + b"tb."
    with pytest.raises(REFUSAL, match=reason):
        pickles.loads(program)


@pytest.mark.parametrize(
    "code", ["O8", "V8", "S4", "U1", "M8", "c8", "f16", "f1", "f4,f4", "(2000000)i", "2f4", "?", ""]
)
def test_dtypes_of_no_numbers(code: str):
    dtype = b"cnumpy\ndtype\n" + text(code) + b"\x85R"
    with pytest.raises(pickle.UnpicklingError, match="expected the dtype of numbers"):
        pickles.loads(b"\x80\x03" + POINT + b"(K\x01)" + dtype + b"\x89C\x04abcdtb.")
    order = text("f4") + b"\x85R(K\x03" + text(code or "!") + b"tb"
    with pytest.raises(pickle.UnpicklingError, match="expected the dtype of numbers"):
        pickles.loads(b"\x80\x03" + POINT + b"(K\x01)cnumpy\ndtype\n" + order + b"\x89C\x04abcdtb.")


TREE = {"a": [np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)), np.int8(3)], "b": np.ones(1)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_beginning_is_refused(protocol: int):
    whole = pickle.dumps(TREE, protocol)
    assert len(pickles.loads(whole)) == 2
    for end in range(len(whole)):
        with pytest.raises(REFUSAL):
            pickles.loads(whole[:end])


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_is_refused_in_an_orderly_way_or_read(data: st.DataObject):
    whole = bytearray(data.draw(st.sampled_from([*(pickle.dumps(TREE, p) for p in PROTOCOLS), PYTHON_2, npy(TREE)])))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    read = pickles.loads_npy if whole.startswith(b"\x93") else pickles.loads
    try:
        found = read(bytes(whole))
    except REFUSAL:
        return
    assert all(isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in found.values())


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_noise(noise: bytes):
    for read, head in itertools.product((pickles.loads, pickles.loads_npy), (b"", b"\x80\x04", PYTHON_2[:128])):
        with contextlib.suppress(*REFUSAL):
            assert isinstance(read(head + noise), dict)
