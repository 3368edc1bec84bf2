"""Pickled trees of arrays: what NumPy pickles and what is in .npy files is read bit by bit under every protocol."""

import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pickle_programs import PROTOCOLS, PYTHON_2, npy

from weight_port.formats import pickles
from weight_port.formats.pickled_values import Tree

NUMBERS = st.sampled_from([order + code for order in "<>" for code in ("f2", "f4", "f8", "i2", "i4", "i8", "u2", "u8")])
DTYPES = NUMBERS | st.sampled_from(["i1", "u1", "b1"])


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
@settings(max_examples=200)
def test_arrays_of_every_kind(array: np.ndarray, protocol: int, old: bool):
    data = pickle.dumps({"a": array}, protocol)
    if old and protocol < 4:  # where names are lines and have no length
        data = data.replace(b"numpy._core", b"numpy.core")
    assert_same(pickles.loads(data).arrays["a"], array)


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
    found = pickles.loads(pickle.dumps(tree, protocol)).arrays
    assert list(found) == ["a/b", "list/0", "list/2/0/deep", "7/x"]
    for array, expected in zip(found.values(), (one, two, three, four), strict=True):
        assert_same(array, expected)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_large_array(protocol: int):
    """Whose bytes are no short text, nor all below 128 where they are text."""
    array = np.arange(70_000, dtype=np.uint16)
    assert_same(pickles.loads(pickle.dumps([array], protocol)).arrays["0"], array)


def test_an_array_alone_has_no_path():
    assert list(pickles.loads(pickle.dumps(np.ones(2))).arrays) == [""]


def test_the_dictionaries_of_python_2():
    """`OrderedDict([("conv.weight", 1), (u"u", 2**40)])` with attributes, as Python 2.7 pickled it; an array put in."""
    array = pickle.dumps(np.arange(3, dtype=np.float32), 2)[2:-1]
    program = (
        b"\x80\x02ccollections\nOrderedDict\n](](U\x0bconv.weight" + array + b"e](X\x01\x00\x00\x00uI1099511627776\nee"
        b"\x85R}U\t_metadata}U\x01v\x8a\x01\x01ssb."
    )
    found = pickles.loads(program).arrays
    assert list(found) == ["conv.weight"]
    np.testing.assert_array_equal(found["conv.weight"], [0, 1, 2])


# .npy files


def test_npy_of_python_2():
    found = pickles.loads_npy(PYTHON_2).arrays
    assert list(found) == ["c/0", "c/1"]
    assert_same(found["c/0"], np.array([0, 1], np.float32))
    assert_same(found["c/1"], np.array(1, np.int32))


@pytest.mark.filterwarnings("ignore:Stored array in format 2.0", "ignore:Stored array in format 3.0")
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy(version: tuple[int, int]):
    weights, bias = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3, np.float32)
    found = pickles.loads_npy(npy({"conv1": [weights, bias]}, version)).arrays
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
    assert pickles.loads_npy(header + pickle.dumps({"a": np.ones(1)})).arrays.keys() == {"a"}
    objects = np.array([{"a": np.ones(1)}], dtype=object)
    assert pickles.loads(pickle.dumps({"x": objects}, 4)) == Tree({}, {"x": "array of objects"})
    with pytest.raises(pickle.UnpicklingError, match="expected one pickled object"):
        pickles.loads_npy(header + pickle.dumps(np.array([1, 2], dtype=object), 4))
