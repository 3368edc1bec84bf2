"""Verification: the same network is found the same, and another one is not, layer by layer."""

from pathlib import Path

import numpy as np
import pytest
from sources import AUTHORS, A, Arrays, S, affine_arrays, affine_names, random_arrays, write_npz
from test_exporting import positive_variances, write

import weight_port
from mfst_jax import checkpoints
from mfst_jax.errors import InputError
from weight_port import containers
from weight_port.__main__ import main


@pytest.fixture
def arrays() -> Arrays:
    """Of a size that keeps the features finite and their sigmoids off their ends."""
    return {
        name: array * (0.02 if name.endswith("kernel") else 0.1)
        if not name.endswith("/var")
        else np.abs(array) + np.float32(0.5)
        for name, array in random_arrays(AUTHORS).items()
    }


def test_one_layer_that_differs(tmp_path: Path, arrays: Arrays, capsys: pytest.CaptureFixture[str]):
    first = write(tmp_path / "a.safetensors", AUTHORS, arrays)
    changed = arrays | {"params/siamfc/bn4/bias": arrays["params/siamfc/bn4/bias"] + np.float32(0.01)}
    second = write(tmp_path / "b.safetensors", AUTHORS, changed)
    assert weight_port.verify(first, first).same(0.0)
    found = weight_port.verify(first, second)
    assert set(found.differences) == {
        *(f"{net}/conv{n}" for net in ("siamfc", "alexnet") for n in range(1, 6)),
        *(f"{net}/SE conv{n}" for net in ("siamfc", "alexnet") for n in (3, 4, 5)),
    }
    differing = {name for name, difference in found.differences.items() if difference > 0}
    assert (
        {"siamfc/conv4", "siamfc/conv5"}
        <= differing
        <= {"siamfc/conv4", "siamfc/conv5", "siamfc/SE conv4", "siamfc/SE conv5"}
    )
    assert not found.same()
    assert main(["verify", str(first), str(second)]) == 1
    told = capsys.readouterr().out
    assert "siamfc/conv3       0.000e+00\n" in told
    assert told.endswith("NOT the same network\n")
    assert main(["verify", str(first), str(second), "--tolerance", "1"]) == 0
    assert capsys.readouterr().out.endswith("\nthe same network\n")


def test_folding_changes_nothing_that_counts(tmp_path: Path):
    """BN as an affine, and BN as it was: within 1e-5."""
    arrays = affine_arrays()
    statistics = positive_variances(random_arrays(S, 1))
    unfolded = dict(arrays)
    for n in range(1, 5):
        mean, variance = (statistics[f"batch_stats/siamfc/bn{n}/{leaf}"] for leaf in ("mean", "var"))
        spread = np.sqrt(variance + 0.5)
        unfolded[f"batch_stats/siamfc/bn{n}/var"] = np.float32(variance + 0.5 - 1e-6)
        unfolded[f"batch_stats/siamfc/bn{n}/mean"] = mean
        unfolded[f"params/siamfc/bn{n}/scale"] = arrays[f"params/siamfc/bn{n}/scale"] * spread
        arrays[f"batch_stats/siamfc/bn{n}/mean"] = mean
    folded = write_npz(tmp_path / "folded.npz", affine_names(arrays))
    found = weight_port.verify(folded, write(tmp_path / "b.safetensors", S, unfolded))
    assert 0 < max(found.differences.values()) < 1e-5


def test_what_only_one_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = write(tmp_path / "a.safetensors", A, random_arrays(A))
    second = write(tmp_path / "s.safetensors", S, positive_variances(random_arrays(S)))
    found = weight_port.verify(first, second)
    assert not found.differences
    assert len(found.unmatched) == 10
    assert not found.same(1e9)
    assert main(["verify", str(first), str(second)]) == 1
    assert f"alexnet/conv1: only in {first}\n" in capsys.readouterr().out


def test_what_was_read_already_goes_by_its_name_in_messages(tmp_path: Path):
    write(tmp_path / "a.safetensors", A, random_arrays(A))
    write(tmp_path / "s.safetensors", S, positive_variances(random_arrays(S)))
    first, second = (weight_port.read(tmp_path / f"{letter}.safetensors") for letter in "as")
    assert f"alexnet/conv1: only in {first.name}" in weight_port.verify(first, second).unmatched
    assert f"siamfc/conv1: only in {second.name}" in weight_port.verify(first, second).unmatched
    with pytest.raises(weight_port.SourceError, match=f"^{first.name}, {tmp_path}/nothing: "):
        weight_port.verify(first, tmp_path / "nothing")
    with pytest.raises(InputError, match=f"^{first.name}: expected SiamFC for matconvnet"):
        weight_port.export(first, tmp_path / "x.mat", "matconvnet")


def test_no_array_is_printed_with_what_was_read(tmp_path: Path):
    path = write(tmp_path / "a.safetensors", A, random_arrays(A))
    for found in (weight_port.read(path), containers.read(path), checkpoints.read(path)):
        assert "array(" not in repr(found)
        assert len(repr(found)) < 1000
        assert len({found, found}) == 1
        assert found != type(found)(**vars(found))


def test_a_seed_below_zero_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["verify", "builtin", "builtin", "--seed", "-1"]) == 2
    assert capsys.readouterr().err == "weight_port: seed: expected 0 or more, found -1\n"


def test_two_variants_differ_in_channels(tmp_path: Path):
    caffe = {name: array for name, array in random_arrays(AUTHORS).items() if "/alexnet/" in name}
    write_npz(
        tmp_path / "caffe.npz",
        {
            name.replace("params/alexnet/", "alex/").replace("kernel", "W").replace("bias", "b"): array
            for name, array in caffe.items()
        },
    )
    first = write(tmp_path / "a.safetensors", A, random_arrays(A))
    found = weight_port.verify(first, tmp_path / "caffe.npz")
    assert f"alexnet/conv1: 64 channels in {first}, 96 in {tmp_path / 'caffe.npz'}" in found.unmatched
    assert not found.same(1e9)
