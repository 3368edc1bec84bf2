"""MatConvNet's files: ours are read bit by bit, also by SciPy and Octave; theirs are read; malice is refused."""

import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weight_port import mat5, matconvnet

Arrays = dict[str, np.ndarray]
NUMBERS = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]
FILTERS = [(11, 11, 3, 6), (5, 5, 3, 4), (3, 3, 4, 8), (3, 3, 4, 8), (3, 3, 4, 2)]
METADATA = {"version": 1, "provenance": {"name": "a näme", "sources": []}}


def siamfc(seed: int = 0, *, biased: bool = True, adjusted: bool = True, channels: int = 3) -> Arrays:
    """All that MatConvNet has of SiamFC, with fewer filters, and the variances."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for number, shape in enumerate(FILTERS, start=1):
        shape = (*shape[:2], channels, shape[3]) if number == 1 else shape
        arrays[f"conv{number}f"] = rng.standard_normal(shape, np.float32)
        if biased or number == 5:
            arrays[f"conv{number}b"] = rng.standard_normal(shape[3:], np.float32)
        if number < 5:
            variances = rng.lognormal(0, 3, shape[3:]).astype(np.float32)
            means = rng.standard_normal(shape[3:], np.float32)
            arrays[f"bn{number}m"], arrays[f"bn{number}b"] = rng.standard_normal((2, *shape[3:]), np.float32)
            arrays[f"bn{number}x"] = np.stack([means, matconvnet.deviation(variances)], axis=1)
            arrays[f"bn{number}v"] = variances
    if adjusted:
        arrays |= {"adjust_f": np.full((1, 1, 1, 1), 1e-3, np.float32), "adjust_b": np.zeros(1, np.float32)}
    return arrays


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


def without_variances(arrays: Arrays) -> Arrays:
    return {name: array for name, array in arrays.items() if not name.endswith("v")}


# Round trips


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip(tmp_path: Path, biased: bool, adjusted: bool, channels: int):
    arrays = siamfc(biased=biased, adjusted=adjusted, channels=channels)
    matconvnet.write(tmp_path / "net.mat", arrays, METADATA)
    found, metadata = matconvnet.read(tmp_path / "net.mat")
    assert metadata == METADATA
    assert_same(found, arrays)
    before = (tmp_path / "net.mat").read_bytes()
    matconvnet.write(tmp_path / "net.mat", found, metadata)
    assert (tmp_path / "net.mat").read_bytes() == before


def test_single_filters_keep_their_four_sides(tmp_path: Path):
    arrays = siamfc() | {"conv5f": np.ones((3, 3, 4, 1), np.float32), "conv5b": np.ones(1, np.float32)}
    matconvnet.write(tmp_path / "net.mat", arrays, {})
    assert_same(matconvnet.read(tmp_path / "net.mat")[0], arrays)


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
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
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


# Moments


@given(hnp.arrays(np.float32, 20, elements=st.floats(0, 2**99, width=32)))
def test_deviations(variances: np.ndarray):
    deviations = matconvnet.deviation(variances)
    assert deviations.dtype == np.float32
    back = matconvnet.variance(deviations)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back.astype(np.float64) + 1e-6, variances.astype(np.float64) + 1e-6, rtol=3e-7)


def test_deviations_out_of_range():
    odd = np.array([np.nan, np.inf, -1, 3e38], np.float32)
    np.testing.assert_array_equal(matconvnet.deviation(odd)[:3], [np.nan, np.inf, np.nan])
    np.testing.assert_array_equal(matconvnet.variance(odd), np.array([np.nan, np.inf, 1 - 1e-6, np.inf], np.float32))


def test_a_changed_deviation_counts(tmp_path: Path):
    path = tmp_path / "net.mat"
    arrays = siamfc()
    matconvnet.write(path, arrays, METADATA)
    variables = mat5.read(path)
    params = {param["name"]: param for param in variables["net"][0]["params"]}
    params["bn2x"]["value"][2, 1] *= 2
    params["bn3x"]["value"] = params["bn3x"]["value"][:5]
    path.write_bytes(mat5.dumps(variables))
    found, _ = matconvnet.read(path)
    expected = arrays | {name: found[name] for name in ("bn2x", "bn3x")}
    expected["bn2v"][2] = matconvnet.variance(arrays["bn2x"][2:3, 1] * 2)[0]
    del expected["bn3v"]
    assert_same(found, expected)


# The files of others


def cells(items: list[Any]) -> np.ndarray:
    """As SciPy writes cell arrays: an array of objects."""
    array = np.empty((1, len(items)), object)
    array[0] = items
    return array


def struct_array(items: list[dict[str, Any]]) -> np.ndarray:
    array = np.empty((1, len(items)), [(name, object) for name in items[0]])
    for i, item in enumerate(items):
        array[0, i] = tuple(item.values())
    return array


def theirs(arrays: Arrays) -> list[dict[str, Any]]:
    return [
        {"name": name, "value": array[:, None] if array.ndim == 1 else array, "learningRate": 1.0}
        for name, array in without_variances(arrays).items()
    ]


NESTINGS: dict[str, Callable[[list[dict[str, Any]]], dict[str, Any]]] = {
    "struct": lambda params: {"net": {"params": struct_array(params), "meta": {}, "layers": cells([])}},
    "cell": lambda params: {"net": {"params": cells(params)}},
    "columns": lambda params: {"net": {"params": {key: cells([p[key] for p in params]) for key in ("name", "value")}}},
    "deeper": lambda params: {"net": {"net": {"params": {"params": struct_array(params)}}}, "stats": np.ones((2, 2))},
    "on top": lambda params: {"params": struct_array(params), "other": "text"},
}


@pytest.mark.parametrize("do_compression", [False, True])
@pytest.mark.parametrize("nesting", NESTINGS)
def test_files_of_scipy(tmp_path: Path, nesting: str, do_compression: bool):
    arrays = siamfc(channels=1)
    scipy.io.savemat(tmp_path / "net.mat", NESTINGS[nesting](theirs(arrays)), do_compression=do_compression)
    found, metadata = matconvnet.read(tmp_path / "net.mat")
    assert metadata is None
    assert_same(found, without_variances(arrays))


def test_rows_and_columns_are_the_same(tmp_path: Path):
    params = [{"name": "conv1b", "value": np.ones((1, 3), np.float32)}, {"name": "bn1m", "value": np.zeros((0, 0))}]
    scipy.io.savemat(tmp_path / "net.mat", {"params": struct_array(params)})
    assert {name: array.shape for name, array in matconvnet.read(tmp_path / "net.mat")[0].items()} == {
        "conv1b": (3,),
        "bn1m": (0,),
    }


def test_scipy_reads_ours(tmp_path: Path):
    arrays = siamfc()
    matconvnet.write(tmp_path / "net.mat", arrays, METADATA)
    variables = scipy.io.loadmat(tmp_path / "net.mat", simplify_cells=True)
    net = variables["net"]
    assert [param["name"] for param in net["params"]][:6] == ["conv1f", "conv1b", "bn1m", "bn1b", "bn1x", "conv2f"]
    for param in net["params"]:
        np.testing.assert_array_equal(param["value"], arrays[param["name"]].squeeze())
    layers = {layer["name"]: layer for layer in net["layers"]}
    assert [*layers][:5] == ["a_conv1", "a_bn1", "a_relu1", "a_pool1", "a_conv2"]
    assert [*layers][-3:] == ["b_conv5", "xcorr", "adjust"]
    assert layers["b_conv2"]["params"].tolist() == ["conv2f", "conv2b"]
    assert layers["b_conv2"]["block"]["size"].tolist() == [5, 5, 3, 4]
    assert layers["a_conv1"]["block"]["stride"].tolist() == [2, 2]
    assert layers["a_conv1"]["inputs"] == "exemplar"
    assert layers["xcorr"]["inputs"].tolist() == ["a_feat", "b_feat"]
    sources = {name for layer in net["layers"] for name in np.atleast_1d(layer["inputs"])}
    targets = {layer["outputs"] for layer in net["layers"]}
    assert sources - targets == {"exemplar", "instance"}
    assert targets - sources == {"score"}
    assert {var["name"] for var in net["vars"]} == sources | targets
    np.testing.assert_array_equal(variables["mfst_jax"]["variance_bn1"], arrays["bn1v"])


@pytest.mark.skipif(shutil.which("octave") is None, reason="Octave is not installed")
def test_octave_reads_ours_and_we_read_its(tmp_path: Path):
    arrays = siamfc()
    matconvnet.write(tmp_path / "net.mat", arrays, METADATA)
    script = """
        load net.mat
        printf("%s %s ", net.params(3).name, class(net.params(3).value));
        printf("%d ", size(net.params(1).value), islogical(net.layers(1).block.hasBias));
        save -v7 v7.mat net mfst_jax
        save -v6 v6.mat net mfst_jax
    """
    run = subprocess.run(
        ["octave", "--no-gui", "--quiet", "--eval", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["bn1m", "single", "11", "11", "3", "6", "1"]
    for name in ("v6.mat", "v7.mat"):
        found, metadata = matconvnet.read(tmp_path / name)
        assert metadata == METADATA
        assert_same(found, arrays)


# Files made by hand


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


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"net": [{"layers": ()}]}, "expected a DagNN, found a SimpleNN"),
        ({"stats": "x", "opts": "y"}, "expected a variable net or params, found stats, opts"),
        ({"net": [{"layers": [{"name": "x"}]}]}, "expected structs with name and value, found layers"),
        ({"net": "text"}, "expected structs with name and value, found str"),
        ({"params": [{"name": "a", "value": "b"}]}, "found 'a' with str"),
        ({"params": [{"name": 1.0, "value": np.ones(2)}]}, r"found array\(\[\[1.\]\]\) with ndarray"),
        ({"params": [{"name": "a", "value": np.ones(2)}] * 2}, "expected parameters of different names"),
        ({"params": [{"name": ("a", "b"), "value": (np.ones(2),)}]}, "zip"),
        ({"params": (), "mfst_jax": "x"}, "expected our metadata"),
        ({"params": (), "mfst_jax": [{"metadata": "[]"}]}, "expected our metadata"),
        ({"params": (), "mfst_jax": [{"metadata": " " * 2**20 + "{}"}]}, "expected our metadata"),
        ({"params": (), "mfst_jax": [{"metadata": "{"}]}, "Expecting property name"),
    ],
)
def test_other_mat_files(tmp_path: Path, variables: dict[str, Any], message: str):
    (tmp_path / "x.mat").write_bytes(mat5.dumps(variables))
    with pytest.raises(ValueError, match=message):
        matconvnet.read(tmp_path / "x.mat")


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv3f": None}, "conv3f: expected this parameter of SiamFC, found none"),
        ({"bn4x": None}, "bn4x: expected this parameter"),
        ({"fc6f": np.ones(2)}, "expected the parameters of SiamFC, found fc6f"),
        ({"bn5v": np.ones(2)}, "expected the parameters of SiamFC, found bn5v"),
    ],
)
def test_writing_something_else(tmp_path: Path, change: dict[str, np.ndarray | None], message: str):
    arrays = {name: array for name, array in (siamfc() | change).items() if array is not None}
    with pytest.raises(ValueError, match=message):
        matconvnet.write(tmp_path / "net.mat", arrays, {})


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
