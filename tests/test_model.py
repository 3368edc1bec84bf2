"""The network as a whole: named stages, whose statistics set the SE weights, subsets of models and layers."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.config import LAYERS, Config
from mfst_jax.correlation import cross_correlate
from mfst_jax.model import MFST, as_exemplar
from mfst_jax.params import Contents
from mfst_jax.presets import PAPER

BOTH = Contents(True, "caffe", siamfc_se=True, alexnet_se=True)
STEM = Contents(False, "torchvision", alexnet_se=True)
ALONE = dataclasses.replace(PAPER, models=("alexnet",))


def pixels(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 256, shape), jnp.float32)


EXEMPLAR = pixels(127, 127, 3)
SEARCH = pixels(2, 255, 255, 3, seed=1)


@cache
def compiled(contents, config):
    return jax.jit(partial(MFST(contents, config).apply, mutable=["intermediates"]))


def run(params, config):
    """Responses and intermediates of one exemplar over two search images."""
    responses, state = compiled(params.contents, config)(params.variables, EXEMPLAR, SEARCH)
    return responses, {name: value for name, (value,) in state["intermediates"].items()}


@pytest.fixture(scope="module")
def plain(random_params):
    """Intermediates without SE: what the SE-blocks are given."""
    return run(random_params(STEM), dataclasses.replace(ALONE, se=False))[1]


def channel_weights(params, layer, features):
    """SE weights in float64 from the features' means."""
    block = jax.tree.map(lambda x: np.asarray(x, np.float64), params.variables["params"]["alexnet_se"][layer])
    mean = np.asarray(features, np.float64).mean(axis=(1, 2))
    hidden = np.maximum(mean @ block["squeeze"]["kernel"] + block["squeeze"]["bias"], 0)
    return 1 / (1 + np.exp(-(hidden @ block["excite"]["kernel"] + block["excite"]["bias"])))


def correlation(z, x):
    return np.asarray(cross_correlate(jnp.asarray(z), jnp.asarray(x)))


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_every_stage_has_a_name(random_params):
    responses, named = run(random_params(BOTH), PAPER)
    sides = {"conv3": (10, 26), "conv4": (8, 24), "conv5": (6, 22)}
    assert set(named) == {f"{m}_{c}_{s}" for m in responses for c in LAYERS for s in ("exemplar", "search", "response")}
    for model, by_layer in responses.items():
        for layer, response in by_layer.items():
            exemplar, search = named[f"{model}_{layer}_exemplar"], named[f"{model}_{layer}_search"]
            small, large = sides[layer]
            assert exemplar.shape == (small, small, exemplar.shape[-1])
            assert search.shape == (2, large, large, exemplar.shape[-1])
            np.testing.assert_array_equal(named[f"{model}_{layer}_response"], response)
            factor = PAPER.factors(model)[LAYERS.index(layer)]
            assert response.shape == (2, 17, 17)
            close(response, factor * correlation(exemplar, search))


def test_without_mutable_intermediates_it_returns_the_responses_alone(random_params):
    params = random_params(STEM)
    config = dataclasses.replace(ALONE, se=False)
    responses = jax.jit(MFST(STEM, config).apply)(params.variables, EXEMPLAR, SEARCH)
    assert {model: list(by_layer) for model, by_layer in responses.items()} == {"alexnet": list(LAYERS)}


def test_the_exemplar_sets_the_weights_of_both(random_params, plain):
    """The response is the correlation of w z and w x, w from z."""
    params = random_params(STEM)
    responses, named = run(params, dataclasses.replace(ALONE, se_statistics="exemplar"))
    for layer, factor in zip(LAYERS, (1e-5, 1e-4, 1e-3), strict=True):
        z, x = plain[f"alexnet_{layer}_exemplar"][None], plain[f"alexnet_{layer}_search"]
        weights = channel_weights(params, layer, z).astype(np.float32)[:, None, None]
        close(named[f"alexnet_{layer}_exemplar"], (weights * z)[0])
        close(named[f"alexnet_{layer}_search"], weights * x)
        close(responses["alexnet"][layer], factor * correlation((weights * z)[0], weights * x))


def test_each_input_sets_its_own_weights(random_params, plain):
    params = random_params(STEM)
    responses, named = run(params, dataclasses.replace(ALONE, se_statistics="each"))
    for layer, factor in zip(LAYERS, (1e-5, 1e-4, 1e-3), strict=True):
        z, x = plain[f"alexnet_{layer}_exemplar"][None], plain[f"alexnet_{layer}_search"]
        of_z, of_x = (channel_weights(params, layer, maps).astype(np.float32)[:, None, None] for maps in (z, x))
        close(named[f"alexnet_{layer}_search"], of_x * x)
        assert np.abs(of_x[0] - of_x[1]).max() > 1e-4
        close(responses["alexnet"][layer], factor * correlation((of_z * z)[0], of_x * x))


def test_only_shared_weights_go_with_the_exemplar(random_params):
    params = random_params(STEM)

    def weights(**changes):
        network = MFST(STEM, dataclasses.replace(ALONE, **changes))
        return jax.jit(partial(network.apply, method="exemplar"))(params.variables, EXEMPLAR).channel_weights

    shared = weights(se_statistics="exemplar")
    assert {layer: w.shape for layer, w in shared["alexnet"].items()} == {
        "conv3": (384,),
        "conv4": (256,),
        "conv5": (256,),
    }
    assert weights(se_statistics="each") == weights(se=False) == {}


def test_one_exemplar_is_what_the_features_are():
    features = {"siamfc": {"conv5": pixels(1, 6, 6, 4)}}
    exemplar = as_exemplar(features, {"siamfc": {}}, PAPER)
    assert exemplar.channel_weights == {}
    np.testing.assert_array_equal(exemplar.features["siamfc"]["conv5"], features["siamfc"]["conv5"][0])


@pytest.mark.parametrize("layers", [("conv5",), ("conv3", "conv4")])
def test_a_subset_of_layers_is_that_part_of_the_whole(layers, random_params):
    params = random_params(STEM)
    whole, _ = run(params, ALONE)
    part, named = run(params, dataclasses.replace(ALONE, alexnet_layers=layers))
    assert list(part["alexnet"]) == list(layers)
    assert {name.split("_")[1] for name in named} == set(layers)
    for layer in layers:
        close(part["alexnet"][layer], np.asarray(whole["alexnet"][layer]))


def test_one_model_is_that_part_of_both(random_params):
    params = random_params(BOTH)
    both, _ = run(params, Config(se_statistics="each"))
    for model in ("siamfc", "alexnet"):
        alone, _ = run(params, Config(models=(model,), se_statistics="each"))
        assert list(alone) == [model]
        for layer in LAYERS:
            close(alone[model][layer], np.asarray(both[model][layer]))


def test_factors_multiply_the_responses(random_params):
    params = random_params(STEM)
    once, _ = run(params, ALONE)
    twice, _ = run(params, dataclasses.replace(ALONE, alexnet_factors=(2e-5, 3e-4, 4e-3)))
    for layer, times in zip(LAYERS, (2, 3, 4), strict=True):
        close(twice["alexnet"][layer], times * np.asarray(once["alexnet"][layer]))
