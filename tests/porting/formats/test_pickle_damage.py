"""Damaged pickles: lengths, numbers, keys and arrays that make no sense, missing ends and noise are refused."""

import contextlib
import itertools
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pickle_programs import POINT, PROTOCOLS, PYTHON_2, REFUSAL, npy, text

from weight_port.formats import pickles
from weight_port.formats.pickled_values import Tree

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


@pytest.mark.parametrize("key", [b"U\xff" + b"\xff" * 255, b"]", b"}", POINT, b"]q\0h\0a"])
def test_keys_that_python_would_not_take_are_refused(key: bytes):
    with pytest.raises(REFUSAL, match=r"expected text|can't decode"):
        pickles.loads(b"\x80\x02}" + key + b"Ns.")


def test_keys_that_are_no_names_become_some():
    """They are never hashed or printed."""
    keys = [b"X\x00\x01\x00\x00" + b"k" * 256, b")", b"]\x85", b"cmy\nThing\n", b"T\x00\x01\x00\x00" + bytes(256)]
    array = pickle.dumps(np.ones(1), 2)[2:-1]
    tree = pickles.loads(b"\x80\x02}(" + b"".join(key + array for key in keys) + b"u.")
    assert list(tree.arrays) == ["<LongText 0>", "<tuple 1>", "<tuple 2>", "<my.Thing 3>", "<memoryview 4>"]


def test_paths_are_not_ambiguous():
    array = np.ones(1)
    for tree in ({"a/b": array, "a": {"b": array}}, {1: array, "1": array}, {None: array, "None": array}):
        with pytest.raises(pickle.UnpicklingError, match="once"):
            pickles.loads(pickle.dumps(tree, 4))


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


@pytest.mark.parametrize("code", ["O8", "V8", "S4", "U1", "M8", "m8", "c8", "f16"])
def test_arrays_of_other_things_than_numbers_are_passed_over(code: str):
    """Whatever they say of themselves."""
    dtype = b"cnumpy\ndtype\n" + text(code) + b"\x85R"
    for state in (b"(K\x01)%b\x89C\x04abcdtb", b"(K\x01J\xff\xff\xff\x7f\x85%b\x89]tb"):
        tree = pickles.loads(b"\x80\x03}K\x01" + POINT + state.replace(b"%b", dtype) + b"s.")
        assert tree.arrays == {}
        assert tree.unread["1"].startswith("array of ")


@pytest.mark.parametrize("code", ["f1", "f4,f4", "(2000000)i", "2f4", "O8,O8", "V8" + 3 * "9" + "x", "c7", "?", ""])
def test_dtypes_that_there_are_not(code: str):
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
    assert len(pickles.loads(whole).arrays) == 2
    for end in range(len(whole)):
        with pytest.raises(REFUSAL):
            pickles.loads(whole[:end])


@given(st.data())
@settings(max_examples=150)
def test_damage_is_refused_in_an_orderly_way_or_read(data: st.DataObject):
    whole = bytearray(data.draw(st.sampled_from([*(pickle.dumps(TREE, p) for p in PROTOCOLS), PYTHON_2, npy(TREE)])))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    read = pickles.loads_npy if whole.startswith(b"\x93") else pickles.loads
    try:
        found = read(bytes(whole)).arrays
    except REFUSAL:
        return
    assert all(isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in found.values())


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_noise(noise: bytes):
    for read, head in itertools.product((pickles.loads, pickles.loads_npy), (b"", b"\x80\x04", PYTHON_2[:128])):
        with contextlib.suppress(*REFUSAL):
            assert isinstance(read(head + noise), Tree)
