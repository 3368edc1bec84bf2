"""MatConvNet's networks: ours are read bit by bit, also by SciPy and Octave; theirs are read; others are refused."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weight_port.formats import mat5, matconvnet

Arrays = dict[str, np.ndarray]
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
    "with options": lambda params: {
        "opts": {"numEpochs": 50.0, "gpus": np.zeros((0, 0)), "train": {"solver": "sgd", "sets": cells(["a", "b"])}},
        "net": {"meta": {"opts": {"rate": np.logspace(-2, -5, 50)}}, "params": struct_array(params)},
        "stats": struct_array([{"train": {"objective": 0.5}}, {"train": {"objective": 0.4}}]),
        "state": cells([np.ones((11, 11, 3, 6), np.float32), np.ones((6, 1))]),
    },
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
