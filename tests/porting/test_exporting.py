"""Exporting: every way back is bitwise, in every direction; what a layout has no place for is told."""

import dataclasses
import errno
import tempfile
import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sources import AUTHORS, BOTH, A, Arrays, S, assert_same, random_arrays

import weight_port
from mfst_jax import checkpoints
from mfst_jax.checkpoints import weight_names
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.params import Contents, Params
from mfst_jax.whole_files import working_folder
from weight_port import containers, exporting, name_tables, rules
from weight_port.exporting import Layout
from weight_port.formats import matconvnet, tf1_bundles, torch_files

FULL = Contents(True, "torchvision", siamfc_se=True, alexnet_se=True)
BIASED = dataclasses.replace(S, siamfc_bias=True)
GREY = dataclasses.replace(S, siamfc_grey=True)
NAMES = {
    "torch-siamfc": "out.pth",
    "torchvision-alexnet": "out.pth",
    "tf1": "model.ckpt-0",
    "matconvnet": "out.mat",
    "safetensors": "out.safetensors",
}


def write(path: Path, contents: Contents, arrays: Arrays) -> Path:
    checkpoints.save(Params(weight_names.nest(arrays), contents), path)
    return path


def positive_variances(arrays: Arrays) -> Arrays:
    return {name: np.abs(array) if name.endswith("/var") else array for name, array in arrays.items()}


def there_and_back(path: Path, to: Layout, out: str = "", **options: bool) -> Params:
    there = path.with_name(out or NAMES[to])
    weight_port.export(path, there, to, **options)
    return weight_port.convert([there], path.with_name("back.safetensors"))


@pytest.mark.parametrize(
    ("to", "contents"),
    [
        ("torch-siamfc", S),
        ("torch-siamfc", BIASED),
        ("torch-siamfc", GREY),
        ("torchvision-alexnet", A),
        ("tf1", S),
        ("tf1", A),
        ("tf1", AUTHORS),
        ("tf1", FULL),
        ("matconvnet", S),
        ("matconvnet", BIASED),
        ("matconvnet", GREY),
        ("safetensors", FULL),
    ],
    ids=lambda value: value if isinstance(value, str) else value.describe(),
)
def test_there_and_back(tmp_path: Path, to: Layout, contents: Contents):
    arrays = positive_variances(random_arrays(contents))
    path = write(tmp_path / "in.safetensors", contents, arrays)
    params = there_and_back(path, to)
    assert params.contents == contents
    assert_same(params, arrays)


@pytest.mark.parametrize(("to", "contents"), [("torch-siamfc", S), ("torchvision-alexnet", A)])
@pytest.mark.parametrize(("name", "legacy"), [("x.pth", False), ("x.pth", True), ("x.safetensors", False)])
def test_every_container_of_pytorch(tmp_path: Path, to: Layout, contents: Contents, name: str, legacy: bool):
    arrays = positive_variances(random_arrays(contents))
    assert_same(there_and_back(write(tmp_path / "in", contents, arrays), to, name, legacy=legacy), arrays)


ODD = [0.0, -0.0, 1e-45, 1e-38, 3e-7, 1e-6, 1.0000001e-6, 0.1, 1 / 3, 1e10, 3e38]


@pytest.mark.parametrize("to", ["torch-siamfc", "tf1", "matconvnet"])
@given(data=st.data())
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_number_comes_back(tmp_path: Path, to: Layout, data: st.DataObject):
    arrays = random_arrays(S, data.draw(st.integers(0, 2**32 - 1)))
    scale = data.draw(st.sampled_from([1e-30, 1e-7, 1.0, 1e6]))
    for name, array in arrays.items():
        array *= np.float32(scale)
        array.flat[: len(ODD)] = np.abs(ODD) if name.endswith("/var") else ODD
    arrays = positive_variances(arrays)
    assert_same(there_and_back(write(tmp_path / "in.safetensors", S, arrays), to), arrays)


@pytest.mark.parametrize("to", ["torch-siamfc", "torchvision-alexnet", "tf1", "matconvnet"])
def test_their_files_come_back_too(tmp_path: Path, to: Layout):
    """Theirs -> ours -> theirs: the same tensors, bit by bit, those that MFST has no place for too."""
    arrays = positive_variances(random_arrays(AUTHORS if to == "tf1" else BOTH))
    first = tmp_path / "first" / NAMES[to]
    weight_port.export(write(tmp_path / "in.safetensors", AUTHORS if to == "tf1" else BOTH, arrays), first, to)
    theirs = containers.read(first).arrays
    kept = [name for name in theirs if name.startswith(("adjust", "detection", "global_step"))]
    for position, name in enumerate(kept):
        theirs[name] = np.full_like(theirs[name], 7 + position)
    changed = tmp_path / "changed" / NAMES[to]
    changed.parent.mkdir()
    rewrite(to, changed, theirs)
    weight_port.convert([changed], tmp_path / "ours")
    weight_port.convert([tmp_path / "ours"], tmp_path / "again.safetensors")  # the way back may be a long one
    weight_port.export(tmp_path / "again.safetensors", tmp_path / "second" / NAMES[to], to)
    back = containers.read(tmp_path / "second" / NAMES[to]).arrays
    assert back.keys() == theirs.keys()
    for name, array in theirs.items():
        assert (back[name].dtype, back[name].tobytes()) == (array.dtype, array.tobytes()), name


def rewrite(to: str, path: Path, arrays: Arrays) -> None:
    if to == "tf1":
        tf1_bundles.write(path, arrays)
    elif to == "matconvnet":
        matconvnet.write(path, arrays, {"version": 1, "config": None, "provenance": {}})
    else:
        torch_files.write_zip(path, arrays, {"version": 1, "config": None, "provenance": {}})


@pytest.mark.parametrize("prefix", ["", "model/"])
def test_the_bias_of_siamfcs_response_in_tensorflow(tmp_path: Path, prefix: str):
    """SiamFC has one there, where MFST has one for each of its layers."""
    arrays = positive_variances(random_arrays(S))
    names, _ = rules.invert(name_tables.TF1, arrays)
    names |= {"detection/biases": np.full(1, 0.25, np.float32), "global_step": np.array(332499)}
    theirs = {prefix + name: array for name, array in names.items()}
    tf1_bundles.write(tmp_path / "model.ckpt-1", theirs | {"beta1_power": np.float32(0.9)})
    params, provenance = weight_port.merge([tmp_path / "model.ckpt-1"])
    assert_same(params, arrays)
    [source] = provenance["sources"]
    assert source["kept"] == {"detection/biases": [0.25], "global_step": [332499]}
    assert source["notes"] == ["set aside what is not of the network: beta1_power"]
    weight_port.export(tmp_path / "model.ckpt-1", tmp_path / "back" / "model.ckpt-1", "tf1")
    back = containers.read(tmp_path / "back").arrays
    for name, array in names.items():
        assert (back[name].shape, back[name].tobytes()) == (array.shape, array.tobytes()), name
    assert not any(back[name].any() for name in back.keys() - names.keys())  # the biases that MFST has


@pytest.mark.parametrize("to", get_args(Layout))
def test_provenance_goes_along(tmp_path: Path, to: Layout):
    config = Config(scale_step=1.03)
    contents = dataclasses.replace(BOTH, config=config)
    path = write(tmp_path / "in.safetensors", contents, positive_variances(random_arrays(BOTH)))
    weight_port.export(path, tmp_path / NAMES[to], to)
    source = weight_port.read(tmp_path / NAMES[to])
    assert source.config == config
    [origin] = source.provenance["sources"]
    assert origin["name"] == "in.safetensors"
    assert origin["sha256"] == containers.read(path).sha256


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["sources", "kept", "global_step"]), inner),
)


@given(sources=JSON, kept=JSON | st.dictionaries(st.just("global_step"), JSON | st.lists(st.integers() | st.floats())))
@example(sources=["my own file"], kept=None)
@example(sources=[{"kept": {"global_step": [10**400]}}], kept={"global_step": [float("nan"), -(2**63)]})
@settings(max_examples=20, deadline=None)
def test_any_provenance_goes_along(sources: object, kept: object):
    """A user may have given any JSON to `save`."""
    contents, provenance = dataclasses.replace(A, config=None), {"sources": sources, "kept": kept}
    source = weight_port.reading.Source("x", random_arrays(contents), dict.fromkeys(random_arrays(contents), "y"), {})
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        weight_port.export(dataclasses.replace(source, provenance=provenance), Path(folder, "model.ckpt-0"), "tf1")
        assert containers.read(Path(folder, "model.ckpt-0")).arrays["global_step"].shape == ()


def test_what_has_no_place_is_told(tmp_path: Path):
    path = write(tmp_path / "in.safetensors", FULL, positive_variances(random_arrays(FULL)))
    notes = weight_port.export(path, tmp_path / "out.mat", "matconvnet")
    assert notes == [
        f"left out {branch}: the layout has no place for it"
        for branch in ("AlexNet", "the SE-blocks of AlexNet", "the SE-blocks of SiamFC")
    ]
    assert weight_port.export(path, tmp_path / "model.ckpt-0", "tf1") == []


def test_biases_go_into_means_where_there_is_no_other_place(tmp_path: Path):
    arrays = positive_variances(random_arrays(BIASED))
    path = write(tmp_path / "in.safetensors", BIASED, arrays)
    [note] = weight_port.export(path, tmp_path / "model.ckpt-0", "tf1")
    assert "BN's means" in note
    found = weight_port.read(tmp_path / "model.ckpt-0").arrays
    expected = arrays["batch_stats/siamfc/bn2/mean"] - arrays["params/siamfc/conv2/bias"]
    np.testing.assert_array_equal(found["batch_stats/siamfc/bn2/mean"], expected)
    assert weight_port.verify(path, tmp_path / "model.ckpt-0").same()


def test_the_names_are_those_of_siamfc_pytorch(tmp_path: Path):
    path = write(tmp_path / "in.safetensors", S, positive_variances(random_arrays(S)))
    weight_port.export(path, tmp_path / "x.safetensors", "torch-siamfc")
    theirs = safetensors.numpy.load_file(tmp_path / "x.safetensors")
    bn = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert theirs.keys() == {
        *(f"backbone.conv{n}.0.{leaf}" for n in range(1, 6) for leaf in ("weight", "bias")),
        *(f"backbone.conv{n}.1.{leaf}" for n in range(1, 5) for leaf in bn),
    }
    assert theirs["backbone.conv2.0.weight"].shape == (256, 48, 5, 5)
    assert not theirs["backbone.conv2.0.bias"].any()


def test_a_bundle_has_the_released_names(tmp_path: Path):
    path = write(tmp_path / "in.safetensors", AUTHORS, positive_variances(random_arrays(AUTHORS)))
    weight_port.export(path, tmp_path / "model.ckpt-0", "tf1")
    theirs = containers.read(tmp_path).arrays  # by the folder that it is alone in
    # 34 of SiamFC, 12 of its SE-blocks, 10 of AlexNet, 12 of its SE-blocks, 6 biases of responses, the count of steps:
    # the released 65 and 41 without their momenta (15 each), the second count of steps in common
    assert len(theirs) == 65 + 41 - 2 * 15 - 1
    assert theirs["convolutional_alexnet/conv2/b2/BatchNorm/moving_variance"].shape == (128,)
    assert theirs["alex_branch_se/conv5_sq_W"].shape == (1, 1, 256, 64)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('model_checkpoint_path: "model.ckpt-332499"\n', "finds model.ckpt-332499, not model.ckpt-0"),
        ("hello", "finds what it says, not model.ckpt-0"),
        (r'model_checkpoint_path: "\303\244"', "finds what it says, not model.ckpt-0"),
        (r'model_checkpoint_path: "\u001b[2J"', r"finds '\x1b[2J', not model.ckpt-0"),
        ('model_checkpoint_path: "/elsewhere/model.ckpt-0"\n', None),
    ],
)
def test_the_list_of_a_folders_bundles_stays(tmp_path: Path, said: str, told: str | None):
    path = write(tmp_path / "in.safetensors", A, random_arrays(A))
    (tmp_path / "checkpoint").write_text(said)
    notes = weight_port.export(path, tmp_path / "model.ckpt-0", "tf1")
    if told is None:
        assert notes == []
    else:
        assert notes == [f"left {tmp_path / 'checkpoint'} as it is: by it TensorFlow {told}"]
    assert (tmp_path / "checkpoint").read_text() == said
    assert weight_port.read(tmp_path / "model.ckpt-0").arrays


@pytest.mark.parametrize("suffix", [".index", ".meta", ".data-00000-of-00001"])
def test_a_bundle_may_be_named_by_any_of_its_files(tmp_path: Path, suffix: str):
    path = write(tmp_path / "in.safetensors", A, random_arrays(A))
    weight_port.export(path, tmp_path / "tf" / f"model.ckpt-0{suffix}", "tf1")
    files = ["checkpoint", *(f"model.ckpt-0.{part}" for part in ("data-00000-of-00001", "index", "mfst_jax.json"))]
    assert sorted(file.name for file in (tmp_path / "tf").iterdir()) == files


@pytest.mark.parametrize("name", ["", "..", "checkpoint", ".index"])
def test_what_is_no_name_of_a_bundle_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"expected a name for a bundle, such as model\.ckpt-0, found"):
        weight_port.export(tmp_path / "nothing", name, "tf1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("written", range(3))
def test_a_bundle_that_is_not_written_to_its_end_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int):
    """Its files are told apart by the one that is the bundle: without the index there is none."""
    path, put, left = write(tmp_path / "in.safetensors", A, random_arrays(A)), exporting.put, [written]
    weight_port.export(path, tmp_path / "model.ckpt-0", "tf1")

    def put_some(new: Path, place: Path) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        put(new, place)

    monkeypatch.setattr(exporting, "put", put_some)
    with pytest.raises(InputError, match="expected a place to write a bundle, found No space left on device"):
        weight_port.export(path, tmp_path / "model.ckpt-0", "tf1")
    assert sorted(tmp_path.glob(".*")) == []
    assert not (tmp_path / "model.ckpt-0.index").exists()
    with pytest.raises(weight_port.SourceError):
        weight_port.read(tmp_path / "model.ckpt-0")


def test_another_process_at_the_same_bundle_is_found_before_any_work(tmp_path: Path):
    with working_folder(tmp_path / "model.ckpt-0"), pytest.raises(InputError, match="expected no other process"):
        weight_port.export(tmp_path / "nothing", tmp_path / "model.ckpt-0.index", "tf1")


@pytest.mark.parametrize("to", ["torch-siamfc", "matconvnet", "tf1"])
def test_an_s_of_another_network_is_no_siamfc_for_other_programs(tmp_path: Path, to: Layout):
    contents = Contents(True, "torchvision", siamfc_variant="alexnet")
    source = write(tmp_path / "x.safetensors", contents, random_arrays(contents))
    with pytest.raises(InputError, match=rf"expected SiamFC's own network as S for {to}, found SiamFC \(AlexNet's"):
        weight_port.export(source, tmp_path / NAMES[to], to)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
    assert_same(there_and_back(source, "safetensors"), random_arrays(contents))


def test_nothing_is_written_where_something_is_wrong(tmp_path: Path):
    path = write(tmp_path / "in.safetensors", A, random_arrays(A))
    with pytest.raises(InputError, match=r"expected SiamFC for torch-siamfc, found AlexNet \(torchvision\)"):
        weight_port.export(path, tmp_path / "out.pth", "torch-siamfc")
    with pytest.raises(InputError, match=r"expected a name that ends in \.safetensors, found '\.pth'"):
        weight_port.export(path, tmp_path / "out.pth", "safetensors")
    for to, name in (("tf1", "x"), ("matconvnet", "x.mat"), *((to, "x.safetensors") for to in get_args(Layout))):
        with pytest.raises(InputError, match=f"^legacy: expected a layout of PyTorch, and a file .*, found .*{name}$"):
            weight_port.export(path, tmp_path / name, to, legacy=True)
    with pytest.raises(InputError, match="expected a name to write to, found a folder"):
        weight_port.export(path, ".", "torchvision-alexnet")
    with pytest.raises(InputError, match=r"expected one of torch-siamfc, .*, found 'onnx'"):
        weight_port.export(path, tmp_path / "out.onnx", "onnx")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="expected a place to write"):
        weight_port.export(path, tmp_path / "file" / "model.ckpt-0", "tf1")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "in.safetensors"]
