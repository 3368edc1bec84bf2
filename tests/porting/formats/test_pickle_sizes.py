"""Pickles that would take a lot of memory, time or depth are refused, in little of each."""

import pickle
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pickle_programs import POINT, REFUSAL, text

from weight_port.formats import pickle_machine, pickled_values, pickles
from weight_port.formats.pickled_values import Tree


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
        (b"h~)\x81.", "refused to make an instance of list"),
        (b"h~(\x90.", "expected a set to add to, found list"),
        (b"cbuiltins\ngetattr\nh~h~\x86R.", "refused the global builtins.getattr"),
        (b"ccollections\nOrderedDict\nh~\x85R.", "expected text of at most 255 bytes, found list"),
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
from weight_port.formats import pickles
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


@pytest.mark.slow
def test_depth_and_length_are_no_matter(tmp_path: Path):
    """Neither while it is read nor when it is thrown away; as a key it would be hashed by Python, which recurses."""
    count = 80_000
    deep = {
        "tuple": b"N" + b"\x85" * count,
        "list": b"]" * count + b"a" * (count - 1),
        "both": b"N" + b"]\x86" * count,
        "dict": b"}K\x01" * count + b"N" + b"s" * count,
        "_Array": POINT + (b"(K\x01)N\x89" + POINT) * 40_000 + b"tb" * 40_000,
    }
    nothing = "Tree(arrays={}, unread={})"
    thing = b"cmy\nThing\n)\x81"
    levels, key = "UnpicklingError: expected at most 32 levels", "UnpicklingError: expected text of at most 255 bytes"
    length = "UnpicklingError: expected at most 500000 opcodes"
    expected = [
        *((b"\x80\x02" + program + b".", levels) for name, program in deep.items() if name != "_Array"),
        (b"\x80\x02" + deep["_Array"] + b".", "UnpicklingError: expected the dtype of an array, found None"),
        (b"\x80\x02}" + deep["_Array"] + b"Ns.", f"{key}, found _Array"),
        (b"\x80\x02}" + deep["tuple"] + b"Ns.", nothing),
        *((b"\x80\x02}K\x01" + thing + deep[name] + b"bs.", "Tree(arrays={}, unread={'1': ") for name in deep),
        *(
            (b"\x80\x02}K\x01cmy\nThing\n" + deep[name] + b"\x85Rs.", "Tree(arrays={}, unread={'1': ")
            for name in ("tuple", "dict")
        ),
        (b"\x80\x02" + (thing + b"K\x01") * 40_000 + b"N" + b"s" * 40_000 + b".", levels),
        (b"\x80\x04" + (thing + b"0") * 80_000 + b"N.", nothing),
        *((b"\x80\x04" + 500_000 * opcode + b".", length) for opcode in (b"(", b"C\x00")),
        (b"\x80\x02" + laughs(30) + b".", "UnpicklingError: expected at most 500000 entries"),
        (b"\x80\x02" + laughs(30, ARRAY) + b".", "UnpicklingError: expected at most 10000 arrays"),
    ]
    found = in_a_process_of_its_own([program for program, _ in expected], tmp_path)
    for (reason, seconds), (_, start) in zip(found, expected, strict=True):
        assert reason.startswith(start)
        assert seconds < 5


def test_what_is_made_of_one_list_over_and_over_takes_no_time_or_room(monkeypatch: pytest.MonkeyPatch):
    """Copies of it would be as many numbers as the squared length of the file."""
    monkeypatch.setattr(pickled_values, "_MOST_ENTRIES", 10_000)
    pairs = b"](" + b"".join(b"](" + text(number) + b"Ne" for number in range(500)) + b"eq\x00"
    expected = {"OrderedDict": "expected an intact pickle, found damage", "deque": "expected at most 10000 entries"}
    for name, reason in expected.items():
        program = b"]ccollections\n%b\nq\x02" % name.encode() + pairs + b"00" + b"h\x02h\x00\x85Ra" * 2_000
        quickly(b"\x80\x02" + program + b".", reason)


def test_the_length_of_a_program_is_limited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pickle_machine, "_MOST_OPCODES", 1000)
    for opcode in (b"N", b"(", b"\x95" + bytes(8)):
        quickly(b"\x80\x04" + opcode * 1000 + b".", "expected at most 1000 opcodes")
    assert pickles.loads(b"\x80\x04" + b"N" * 998 + b".") == Tree({}, {})


def test_memo_indices_cost_nothing():
    assert pickles.loads(b"\x80\x02]r\xff\xff\xff\x7fj\xff\xff\xff\x7f.") == Tree({}, {})


def test_text_is_decoded_only_where_it_is_needed():
    """One character of four bytes in ASCII would make all of it four times as large."""
    utf8 = b"a" * 10**7 + "\U0001f600".encode()
    long = b"X" + struct.pack("<I", len(utf8)) + utf8
    quickly(b"\x80\x02}" + long + b"Nsa.", "expected an intact pickle, found damage")
    shape, dtype = b"J" + struct.pack("<i", 10**7 + 1) + b"\x85", b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R"
    program = b"\x80\x02" + POINT + b"(K\x01" + shape + dtype + b"\x89" + long + b"tb."
    quickly(program, "expected one character for a byte")
