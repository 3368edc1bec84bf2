"""MAT-files: all that they hold comes back, those made by hand are read, and malice is refused."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weight_port.formats import mat5, matconvnet

NUMBERS = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]


def element(kind: int, content: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(
    kind: int, sides: tuple[int, ...], *content: bytes, name: str = "", flags: int = 0, order: str = "<"
) -> bytes:
    head = element(6, struct.pack(f"{order}II", kind | flags, 0), order)
    head += element(5, struct.pack(f"{order}{len(sides)}i", *sides), order)
    return element(14, head + element(1, name.encode(), order) + b"".join(content), order)


def packed(element: bytes) -> bytes:
    content = zlib.compress(element)
    return struct.pack("<II", 15, len(content)) + content


def mat_file(*elements: bytes, order: str = "<", version: int = 0x0100) -> bytes:
    mark = b"IM" if order == "<" else b"MI"
    return b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + struct.pack(f"{order}H", version) + mark + b"".join(elements)


def compressed(data: bytes) -> bytes:
    """Each variable deflated, as `save -v7` does."""
    elements, at = [], 128
    while at < len(data):
        end = at + 8 + struct.unpack_from("<4xI", data, at)[0]
        elements.append(packed(data[at:end]))
        at = end
    return data[:128] + b"".join(elements)


def load(tmp_path: Path, *elements: bytes, order: str = "<", limit: int = 2**30) -> dict[str, Any]:
    path = tmp_path / "x.mat"
    path.write_bytes(mat_file(*elements, order=order))
    return mat5.read(path, limit=limit)


# Round trips


values = st.recursive(
    st.sampled_from(NUMBERS).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=3))
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.lists(st.text("abc", min_size=1, max_size=3), unique=True, min_size=1, max_size=3).flatmap(
            lambda fields: st.lists(st.fixed_dictionaries(dict.fromkeys(fields, inner)), min_size=1, max_size=3)
        )
    ),
    max_leaves=8,
)


def assert_equal(found: Any, expected: Any) -> None:
    """As far as MATLAB tells things apart: it drops the last sides where they are 1."""
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        shape = expected.shape
        while len(shape) > 2 and shape[-1] == 1:
            shape = shape[:-1]
        assert (found.dtype, found.shape, found.tobytes()) == (expected.dtype, shape, expected.tobytes())
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_equal(found[key], expected[key])
    elif isinstance(expected, tuple | list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    else:
        assert found == expected


@given(variables=st.dictionaries(st.text("xyz", min_size=1, max_size=3), values, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_all_that_mat_files_hold(tmp_path: Path, variables: dict[str, Any]):
    path = tmp_path / "x.mat"
    path.write_bytes(mat5.dumps(variables))
    assert_equal(mat5.read(path), variables)
    path.write_bytes(compressed(path.read_bytes()))
    assert_equal(mat5.read(path), variables)


@pytest.mark.parametrize("dtype", ["f2", "c8", "datetime64[s]"])
def test_types_that_matlab_has_not(dtype: str):
    with pytest.raises(ValueError, match="expected a type that MATLAB has"):
        mat5.dumps({"x": np.zeros(2, dtype)})


# Files made by hand


@pytest.mark.parametrize("order", ["<", ">"])
def test_byte_orders_and_smaller_types(tmp_path: Path, order: str):
    def text(value: str) -> bytes:
        return matrix(
            4,
            (1, len(value)),
            element(4, value.encode("utf-16-le" if order == "<" else "utf-16-be"), order),
            order=order,
        )

    value = matrix(7, (2, 2), element(7, struct.pack(f"{order}4f", 1, 2, 3, 4), order), order=order)
    fields = element(5, struct.pack(f"{order}i", 8), order) + element(1, b"name\0\0\0\0value\0\0\0", order)
    params = matrix(2, (1, 1), fields, text("bn1x"), value, name="params", order=order)
    small = matrix(6, (1, 3), element(2, b"\1\2\3", order), name="double", order=order)
    word = struct.pack(f"{order}HH" if order == ">" else "<HH", *((2, 4) if order == ">" else (4, 2)))
    short = matrix(11, (1, 1), word + struct.pack(f"{order}Hxx", 7), name="short", order=order)
    found = load(tmp_path, params, small, short, order=order)
    assert_equal(found["double"], np.array([[1.0, 2, 3]]))
    assert_equal(found["short"], np.array([[7]], np.uint16))
    np.testing.assert_array_equal(matconvnet.read(tmp_path / "x.mat")[0]["bn1x"], [[1, 3], [2, 4]])


def test_what_is_not_numbers_is_none(tmp_path: Path):
    handle = matrix(16, (1, 1), matrix(4, (1, 1), element(2, b"f")), name="handle")
    opaque = element(
        14, element(6, struct.pack("<II", 17, 0)) + b"".join(element(1, word) for word in (b"o", b"MCOS", b"C"))
    )
    sparse = matrix(5, (1, 1), element(5, b""), name="sparse")
    complex_numbers = matrix(7, (1, 1), element(7, bytes(4)), element(7, bytes(4)), name="complex", flags=0x800)
    names = element(5, struct.pack("<i", 2)) + element(1, b"a\0")
    old = matrix(3, (1, 1), element(1, b"inline"), names, element(14, b""), name="old")
    found = load(tmp_path, handle, opaque, sparse, complex_numbers, old)
    assert {name: value for name, value in found.items() if name != "old"} == dict.fromkeys(
        ["handle", "o", "sparse", "complex"]
    )
    assert_equal(found["old"], [{"a": np.zeros((0, 0))}])


def test_a_net_that_is_an_object(tmp_path: Path):
    opaque = (
        element(6, struct.pack("<II", 17, 0)) + element(1, b"net") + element(1, b"MCOS") + element(1, b"dagnn.DagNN")
    )
    (tmp_path / "x.mat").write_bytes(mat_file(element(14, opaque)))
    with pytest.raises(ValueError, match=r"found an object: save net\.saveobj\(\)"):
        matconvnet.read(tmp_path / "x.mat")


def test_other_versions(tmp_path: Path):
    for data, message in (
        (mat_file(version=0x0200), "found one of version 7.3: save it with -v7"),
        (mat_file(version=0x0300), "expected a MAT-file of version 0x0100, found 0x0300"),
        (b"MATLAB 5.0", "expected the header of a MAT-file"),
        (bytes(200), "expected the header of a MAT-file"),
    ):
        (tmp_path / "x.mat").write_bytes(data)
        with pytest.raises(ValueError, match=message):
            matconvnet.read(tmp_path / "x.mat")


# Malice


def test_every_truncation_is_found(tmp_path: Path):
    (tmp_path / "x.mat").write_bytes(mat5.dumps({"params": [{"name": "a", "value": np.ones((3, 2))}]}))
    data = (tmp_path / "x.mat").read_bytes()
    for whole in (data, compressed(data)):
        for length in (*range(128), *range(129, len(whole))):
            (tmp_path / "x.mat").write_bytes(whole[:length])
            with pytest.raises((ValueError, zlib.error)):
                matconvnet.read(tmp_path / "x.mat")


NUMBER = element(9, struct.pack("<d", 1))


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ([matrix(7, (2**31 - 1, 2**31 - 1), NUMBER)], "expected the bytes of float64"),
        ([matrix(6, (2, 1), NUMBER)], r"expected the bytes of float64\[2, 1\], found 8"),
        ([matrix(6, (-1, -1), NUMBER)], "expected sides of an array"),
        ([matrix(6, (1,) * 65, NUMBER)], "expected integers"),
        ([matrix(10, (1, 1), NUMBER)], "expected i2 or a smaller type, found float64"),
        ([matrix(6, (1, 1), element(16, b"x"))], "expected numbers, found an element of type 16"),
        ([matrix(6, (0, 2**31 - 1, 2**31 - 1, 2**31 - 1), element(9, b""))], "too big"),
        ([matrix(1, (2**31 - 1, 2**31 - 1))], "expected an element of at least 8 bytes, found 0"),
        ([matrix(2, (2**20, 2**20), element(5, b"\5\0\0\0"), element(1, b"name\0"))], "at least 8 bytes, found 0"),
        ([matrix(2, (1, 1), element(5, bytes(4)), element(1, b"name"))], "expected names of fields"),
        ([matrix(2, (1, 1), element(5, b"\1\0\0\0"), element(1, b"x" * 100_001))], "at most 100000 fields"),
        ([matrix(1, (1, 100_001), element(14, b"") * 100_001)], "at most 100000 values"),
        ([struct.pack("<II", 14, 2**32 - 1) + bytes(64)], "expected an element of 4294967295 bytes, found 64"),
        ([struct.pack("<HHI", 5, 9, 0)], "expected at most 4|expected an element of 9 bytes, found 4"),
        ([element(9, bytes(8))], "expected a variable, found an element of type 9"),
        ([packed(element(9, bytes(8)))], "expected a variable, found an element of type 9"),
        ([packed(packed(matrix(6, (1, 1), NUMBER)))], "expected .* compressed bytes|expected a variable"),
        ([packed(b"short")], "expected a compressed element of at least 8 bytes, found 5"),
        ([packed(struct.pack("<II", 14, 100) + bytes(99))], "expected 100 compressed bytes, found 99"),
        ([packed(struct.pack("<II", 14, 100) + bytes(101))], "expected 100 compressed bytes, found more"),
        ([packed(struct.pack("<II", 14, 2**31) + bytes(8))], "unpacks to more than 1073741824 bytes"),
    ],
)
def test_hostile_elements(tmp_path: Path, elements: list[bytes], message: str):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, *elements)


def test_bombs(tmp_path: Path):
    zeros = packed(matrix(9, (1, 10**6), element(2, bytes(10**6)), name="a"))
    assert len(zeros) < 2000
    assert load(tmp_path, zeros, limit=10**6 + 100)["a"].size == 10**6
    for elements in ([zeros], [zeros, zeros]):
        with pytest.raises(ValueError, match="unpacks to more than"):
            load(tmp_path, *elements, limit=10**6 * len(elements))
    doubles = matrix(6, (1, 10**4), element(2, bytes(10**4)))
    with pytest.raises(ValueError, match="unpacks to more than 69999 bytes"):
        load(tmp_path, doubles, limit=7 * 10**4 - 1)


def test_the_deepest(tmp_path: Path):
    value: Any = "x"
    for _ in range(33):
        value = (value,)
    with pytest.raises(ValueError, match="32 levels"):
        load(tmp_path, mat5.dumps({"x": value})[128:])
    assert load(tmp_path, mat5.dumps({"x": value[0]})[128:])["x"] == value[0]
