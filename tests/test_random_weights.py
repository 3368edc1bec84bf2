"""Random weights: what they hold, their names, shapes and types, and that they can be tracked with."""

import dataclasses

import jax
import numpy as np
import pytest

import mfst_jax
from mfst_jax.checkpoints import weight_names
from mfst_jax.config import Config
from mfst_jax.params import Contents, contents_for, resolve_config
from mfst_jax.presets import PRESETS

EVERYTHING = [
    Contents(True, "caffe", siamfc_se=True, alexnet_se=True, siamfc_bias=True),
    Contents(True, None, siamfc_grey=True),
    Contents(True, "torchvision", siamfc_se=True, siamfc_variant="alexnet"),
]


@pytest.mark.parametrize("preset", PRESETS)
def test_they_hold_what_a_preset_needs(preset):
    config = PRESETS[preset]
    params = mfst_jax.random_params(config)
    assert resolve_config(params.contents, config) == config
    assert {model for model in ("siamfc", "alexnet") if params.contents.holds(model)} == {*config.models}
    assert [params.contents.holds_se(model) for model in config.models] == [config.se is not False] * len(config.models)


@pytest.mark.parametrize("contents", EVERYTHING)
def test_names_and_shapes_are_those_of_a_checkpoint_in_float32(contents: Contents):
    arrays = weight_names.flatten(mfst_jax.random_params(contents).variables)
    assert {name: array.shape for name, array in arrays.items()} == weight_names.expected(contents)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert weight_names.check(arrays) == (contents, [])


def test_a_seed_gives_the_same_weights_and_another_one_others():
    config = PRESETS["alexnet"]
    one, again, other = (mfst_jax.random_params(config, seed) for seed in (3, 3, 4))
    for leaf, same in zip(jax.tree.leaves(one), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(leaf, same)
    kernel, different = (params.variables["params"]["alexnet"]["conv1"]["kernel"] for params in (one, other))
    assert np.abs(np.asarray(kernel) - np.asarray(different)).max() > 0.1


def test_kernels_keep_the_size_of_features_and_nothing_else_changes_them():
    arrays = weight_names.flatten(mfst_jax.random_params(contents_for(Config(), "caffe")).variables)
    deviation = np.std(arrays["params/siamfc/conv2/kernel"])
    assert deviation == pytest.approx(np.sqrt(2 / (5 * 5 * 48)), rel=0.01)
    assert (arrays["batch_stats/siamfc/bn1/var"] == 1).all()
    assert (arrays["params/siamfc/bn1/scale"] == 1).all()
    assert not arrays["params/siamfc/bn1/bias"].any()
    assert not arrays["batch_stats/siamfc/bn1/mean"].any()


def test_contents_follow_from_a_configuration():
    both = Contents(True, "torchvision", siamfc_se=True, alexnet_se=True)
    assert contents_for(Config()) == both
    assert contents_for(Config(), "caffe") == dataclasses.replace(both, alexnet="caffe")
    assert contents_for(Config(models=("siamfc",), se=False)) == Contents(True, None)
    assert contents_for(Config(models=("alexnet",), se=True)) == Contents(False, "torchvision", alexnet_se=True)
