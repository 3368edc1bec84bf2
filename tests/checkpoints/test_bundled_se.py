"""The SE-blocks that come along: which backbones get them, how those are known, and what is left alone."""

import dataclasses
import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import mfst_jax
from mfst_jax import checkpoints
from mfst_jax.checkpoints import bundled_se, weight_names
from mfst_jax.params import Contents, Params, uses_se
from mfst_jax.presets import PAPER

BOTH = Contents(siamfc=True, alexnet="torchvision")


@pytest.fixture
def known(random_params, tmp_path: Path, monkeypatch) -> Params:
    """Both backbones, whose SE-blocks come along."""
    params = random_params(dataclasses.replace(BOTH, siamfc_se=True, alexnet_se=True))
    for model in ("siamfc", "alexnet"):
        branch = params.variables["params"][f"{model}_se"]
        arrays = weight_names.flatten({"params": {f"{model}_se": branch}})
        arrays[bundled_se.FINGERPRINT] = bundled_se.fingerprint(params.variables["params"][model])
        safetensors.numpy.save_file(arrays, tmp_path / f"{model}_se.safetensors")
    monkeypatch.setattr(bundled_se, "FOLDER", tmp_path)
    bundled_se.read.cache_clear()
    yield params
    bundled_se.read.cache_clear()


def without(params: Params, *branches: str) -> Params:
    kept = {name: each for name, each in params.variables["params"].items() if name not in branches}
    contents = dataclasses.replace(params.contents, **{branch: False for branch in branches if branch.endswith("_se")})
    return Params({**params.variables, "params": kept}, contents)


def trained_otherwise(backbone):
    """A backbone whose filters of conv4 are 5 % larger."""
    return {**backbone, "conv4": jax.tree.map(lambda x: 1.05 * x, backbone["conv4"])}


def test_known_backbones_get_them_when_they_are_loaded(known: Params, tmp_path: Path):
    checkpoints.save(without(known, "siamfc_se", "alexnet_se"), tmp_path / "both.safetensors")
    loaded = mfst_jax.load(tmp_path / "both.safetensors")
    assert loaded.contents == known.contents
    for one, other in zip(jax.tree.leaves(loaded.variables), jax.tree.leaves(known.variables), strict=True):
        np.testing.assert_array_equal(one, other)
    assert uses_se(loaded.contents, PAPER, "siamfc")
    assert mfst_jax.load(tmp_path / "both.safetensors", bundled_se=False).contents == BOTH


def test_a_backbone_is_known_in_float16_too_but_another_training_is_not(known: Params):
    bare = without(known, "siamfc_se", "alexnet_se")
    rounded = jax.tree.map(lambda x: x.astype(jnp.float16).astype(jnp.float32), bare.variables)
    assert bundled_se.attach(Params(rounded, BOTH)).contents == known.contents
    branches = {**bare.variables["params"], "siamfc": trained_otherwise(bare.variables["params"]["siamfc"])}
    found = bundled_se.attach(Params({**bare.variables, "params": branches}, BOTH)).contents
    assert (found.siamfc_se, found.alexnet_se) == (False, True)


def test_what_has_its_own_or_recommends_a_configuration_or_is_alexnet_alone_stays_as_it_is(known: Params):
    ours = without(known, "alexnet_se")
    changed = jax.tree.map(lambda x: x + 1, ours.variables["params"]["siamfc_se"])
    variables = {**ours.variables, "params": {**ours.variables["params"], "siamfc_se": changed}}
    found = bundled_se.attach(Params(variables, ours.contents))
    assert found.contents.alexnet_se
    assert found.variables["params"]["siamfc_se"] is changed
    bare = without(known, "siamfc_se", "alexnet_se")
    recommends = Params(bare.variables, dataclasses.replace(bare.contents, config=PAPER))
    assert bundled_se.attach(recommends) is recommends
    alexnet = without(bare, "siamfc")
    alexnet = Params(alexnet.variables, dataclasses.replace(alexnet.contents, siamfc=False))
    assert bundled_se.attach(alexnet) is alexnet
    variables = {**bare.variables, "params": {**bare.variables["params"]}}
    variables["params"]["siamfc"] = variables["params"]["alexnet"]
    beside = Params(variables, dataclasses.replace(bare.contents, siamfc_variant="alexnet"))
    assert bundled_se.attach(beside) is beside
    siamfc = without(bare, "alexnet")
    siamfc = Params(siamfc.variables, dataclasses.replace(siamfc.contents, alexnet=None))
    assert bundled_se.attach(siamfc).contents.siamfc_se


@pytest.mark.parametrize("model", ["siamfc", "alexnet"])
def test_those_that_ship_fit_their_backbones(model):
    bundled_se.read.cache_clear()
    arrays = bundled_se.read(model)
    assert arrays is not None
    filters = {"siamfc": (384, 384, 256), "alexnet": (384, 256, 256)}[model]
    shapes = {name: array.shape for name, array in arrays.items() if name != bundled_se.FINGERPRINT}
    contents = Contents(siamfc=True, alexnet="torchvision", siamfc_se=True, alexnet_se=True)
    branch = f"params/{model}_se/"
    assert {branch + name: shape for name, shape in shapes.items()} == {
        name: shape for name, shape in weight_names.expected(contents).items() if name.startswith(branch)
    }
    assert arrays[bundled_se.FINGERPRINT].shape == (sum(filters),)
    file = bundled_se.FOLDER / f"{model}_se.safetensors"
    assert "recipe" in checkpoints.provenance(file)
    assert hashlib.sha256(file.read_bytes()).hexdigest() in file.with_name("README.md").read_text()
    if model == "alexnet":
        built_in = mfst_jax.load().variables["params"]["alexnet"]
        assert bundled_se.is_same(bundled_se.fingerprint(built_in), arrays[bundled_se.FINGERPRINT])


def test_the_published_siamfc_gets_them(shared: Path, tmp_path: Path):
    import weight_port

    sources = [shared / "weights" / name for name in ("siamfc_color_dequantised.npz", "alexnet_torchvision_conv.npz")]
    weight_port.convert(sources, tmp_path / "both.safetensors")
    assert mfst_jax.load(tmp_path / "both.safetensors").contents.describe() == "SiamFC + SE, AlexNet (torchvision) + SE"
