"""What is no checkpoint of MFST, or a damaged one, is refused in one line."""

import functools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_weights import ALL, A, S, assert_same, few, message, random_arrays

from mfst_jax import checkpoints
from mfst_jax.checkpoints import orbax_directories, weight_names
from mfst_jax.errors import InputError
from mfst_jax.params import Params


def test_nothing_there(tmp_path: Path):
    with pytest.raises(InputError, match="nothing there") as error:
        checkpoints.load(tmp_path / "no.safetensors")
    assert str(tmp_path / "no.safetensors") in message(error)


@pytest.mark.parametrize("content", [b"", b"hello, I am a text file", b"\x80\x04N.", b"\xff" * 64, b"PK\x03\x04"])
def test_not_a_safetensors_file(tmp_path: Path, content: bytes):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"expected (an Orbax directory or )?a safetensors file, found ") as error:
        checkpoints.load(tmp_path / "x.safetensors")
    message(error)


def test_a_folder_without_a_checkpoint(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"expected an Orbax directory or a safetensors file, found a folder") as error:
        checkpoints.load(tmp_path)
    message(error)


def test_weights_of_another_network(tmp_path: Path):
    other = {f"model.layers.{i}.\nweight": np.zeros((2, 2), np.float32) for i in range(30)}
    safetensors.numpy.save_file(other, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"found model\.layers\.0\. weight") as error:
        checkpoints.load(tmp_path / "x.safetensors")
    expected = "expected tensors such as params/siamfc/conv1/kernel, found model.layers.0. weight, "
    assert message(error).startswith(f"{tmp_path / 'x.safetensors'}: {expected}")
    assert len(message(error)) < 600  # with the path in it twice


def test_all_problems_are_gathered(tmp_path: Path):
    arrays = random_arrays(S)
    del arrays["params/siamfc/conv1/kernel"]
    arrays["params/siamfc/bn1/scale"] = np.ones(95, np.float32)
    arrays["params/siamfc/bn2/scale"] = np.ones(256, np.int32)
    arrays["params/siamfc/bn3/scale"][7] = np.nan
    arrays["params/siamfc/bn4/scale"] = np.full(384, 1e300)
    arrays["params/siamfc/bn5/scale"] = np.ones(256, np.float32)
    _, problems = weight_names.check(arrays)
    assert sorted(problems) == [
        "params/siamfc/bn1/scale: expected shape (96,), found (95,)",
        "params/siamfc/bn2/scale: expected floating point, found int32",
        "params/siamfc/bn3/scale: expected finite numbers, found 1 of 384 that are not",
        "params/siamfc/bn4/scale: expected finite numbers, found 384 of 384 that are not",
        "params/siamfc/bn5/scale: expected no such tensor, found one of shape (256,)",
        "params/siamfc/conv1/kernel: expected a tensor of shape (11, 11, 3, 96), found none",
    ]
    safetensors.numpy.save_file(arrays, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="and 2 more") as error:
        checkpoints.load(tmp_path / "x.safetensors")
    message(error)


def test_se_blocks_need_their_backbone():
    arrays = {name: array for name, array in random_arrays(ALL).items() if "/alexnet/" not in name}
    _, problems = weight_names.check(arrays)
    assert sum(problem.endswith("found none") for problem in problems) == 10


def nested(levels: int) -> dict:
    """Provenance of so many levels, as of a source of a source of a source."""
    return functools.reduce(lambda inner, _: {"sources": inner}, range(levels - 1), {})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"version": 2}, "expected checkpoint version 1, found 2"),
        ({"sha256": "0"}, "SHA-256 differs"),
        ({"config": {"sense_of_humour": 1}}, "sense_of_humour"),
        ({"config": {"scale_step": 0.5}}, "config.scale_step"),
        ({"config": 3}, "expected a configuration"),
        ({"provenance": None}, "expected a configuration and a provenance"),
        ({"provenance": nested(200)}, "expected metadata of at most 200 levels, found more"),
    ],
)
def test_metadata_that_makes_no_sense(tmp_path: Path, change: dict, expected: str):
    arrays = random_arrays(A)
    good = {"version": 1, "config": None, "provenance": nested(199), "sha256": checkpoints.digest(arrays)}
    file = tmp_path / "x.safetensors"
    safetensors.numpy.save_file(arrays, file, metadata={"mfst_jax": json.dumps(good)})
    checkpoints.load(file)
    safetensors.numpy.save_file(arrays, file, metadata={"mfst_jax": json.dumps(good | change)})
    with pytest.raises(InputError) as error:
        checkpoints.load(file)
    assert expected in message(error)
    assert str(file) in message(error)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"version": 1', "[" * 100_000])
def test_metadata_that_is_no_json_object(tmp_path: Path, text: str):
    safetensors.numpy.save_file(random_arrays(A), tmp_path / "x.safetensors", metadata={"mfst_jax": text})
    with pytest.raises(InputError) as error:
        checkpoints.load(tmp_path / "x.safetensors")
    message(error)


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """`content` cut short, or with some bits of a few bytes flipped, mostly near its start where the structure is."""
    if data.draw(st.booleans()):
        return content[: data.draw(st.integers(0, len(content) - 1))]
    flipped = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        reach = data.draw(st.sampled_from([16, 2000, len(content)]))
        flipped[data.draw(st.integers(0, min(reach, len(content)) - 1))] ^= data.draw(st.integers(1, 255))
    return bytes(flipped)


def assert_refused_or_intact(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Damage may hit what does not matter (a space, the provenance): then the weights must be the right ones."""
    params, reason = None, ""
    try:
        params = checkpoints.load(path)
    except InputError as error:
        reason = str(error)
    assert "\n" not in reason
    if params is not None:
        assert_same(params, arrays)


@given(st.data())
@settings(few, max_examples=60)
def test_damaged_files(tmp_path: Path, data: st.DataObject):
    content = checkpoints.BUILT_IN.read_bytes()
    content = damaged(content, data)
    assume(b'"mfst_jax":' in content)  # what does not say that it is ours cannot be verified
    (tmp_path / "x.safetensors").write_bytes(content)
    assert_refused_or_intact(tmp_path / "x.safetensors", checkpoints.read(checkpoints.BUILT_IN).arrays)


@pytest.fixture(scope="module")
def orbax_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("orbax") / "weights"
    checkpoints.save(Params(weight_names.nest(random_arrays(A, np.float16)), A), path)
    return path


def test_a_directory_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tree = {"params": {"alexnet": {"conv1": {"kernel": np.zeros(10**6, np.float32)}}}, "step": 3}
    orbax_directories.import_orbax().save(tmp_path / "x", tree)
    assert sum(path.stat().st_size for path in (tmp_path / "x").rglob("*") if path.is_file()) < 10**5
    monkeypatch.setattr(orbax_directories, "LARGEST", 4 * 10**6)
    assert checkpoints.read(tmp_path / "x").arrays.keys() == {"params/alexnet/conv1/kernel", "step"}
    monkeypatch.setattr(orbax_directories, "LARGEST", 4 * 10**6 - 1)
    with pytest.raises(InputError, match="expected at most 3999999 bytes of arrays, found 4000000"):
        checkpoints.read(tmp_path / "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["mfst_jax.json", "_CHECKPOINT_METADATA", "state/_METADATA", "state/manifest.ocdbt"])
def test_a_directory_with_a_pipe_in_it_is_refused(tmp_path: Path, orbax_directory: Path, name: str):
    shutil.copytree(orbax_directory, tmp_path / "x")
    (tmp_path / "x" / "mfst_jax.json").unlink()
    (tmp_path / "x" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "x" / name)
    with pytest.raises(InputError, match=f"expected files and folders in .*, found a device or a pipe, {name}"):
        checkpoints.read(tmp_path / "x")


@given(st.data())
@settings(few, max_examples=40)
def test_damaged_directories(tmp_path: Path, orbax_directory: Path, data: st.DataObject):
    shutil.rmtree(tmp_path / "x", ignore_errors=True)
    shutil.copytree(orbax_directory, tmp_path / "x")
    files = sorted(path.relative_to(tmp_path) for path in (tmp_path / "x").rglob("*") if path.is_file())
    victim = tmp_path / data.draw(st.sampled_from(files))
    content = victim.read_bytes()
    if not content or data.draw(st.integers(0, 4)) == 0:
        victim.unlink()
    else:
        victim.write_bytes(damaged(content, data))
    assert_refused_or_intact(tmp_path / "x", random_arrays(A, np.float16))
