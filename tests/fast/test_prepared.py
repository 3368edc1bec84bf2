"""Prepared weights: the same responses and tracks as the Flax modules, whatever they hold and on either method."""

import dataclasses
import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scenes import video

import mfst_jax
from mfst_jax.config import LAYERS, Config
from mfst_jax.errors import InputError
from mfst_jax.fast.network import PreparedNetwork
from mfst_jax.model import MFST
from mfst_jax.network import bind
from mfst_jax.params import Contents
from mfst_jax.presets import ALEXNET, PAPER

FULL = Contents(True, "torchvision", siamfc_se=True, alexnet_se=True)
CONTENTS = {
    "full": FULL,
    "caffe": Contents(False, "caffe", alexnet_se=True),
    "without SE": Contents(True, "torchvision"),
    "biased": Contents(True, None, siamfc_bias=True, siamfc_se=True),
    "grey": Contents(True, None, siamfc_grey=True),
}
ALEXNET_ALONE = Config(models=("alexnet",), alexnet_layers=("conv3",))

pytestmark = pytest.mark.toom_cook


@pytest.fixture
def images() -> jax.Array:
    """[4, 255, 255, 3], smooth."""
    smooth = np.random.default_rng(0).uniform(0, 255, (4, 17, 17, 3))
    return jax.image.resize(jnp.asarray(smooth, jnp.float32), (4, 255, 255, 3), "linear")


@pytest.mark.parametrize(
    ("name", "se_statistics", "platform"),
    [
        ("full", "exemplar", "gpu"),
        pytest.param("full", "each", "gpu", marks=pytest.mark.slow),
        ("caffe", "each", "cpu"),
        ("without SE", "exemplar", "gpu"),
        ("biased", "exemplar", "gpu"),
        pytest.param("biased", "exemplar", "cpu", marks=pytest.mark.slow),
        ("grey", "exemplar", "gpu"),
    ],
)
def test_responses(random_params, images, name: str, se_statistics, platform: str):
    contents = CONTENTS[name]
    models = tuple(model for model in ("siamfc", "alexnet") if contents.holds(model))
    config = Config(models=models, se_statistics=se_statistics)
    params = random_params(contents)
    prepared = mfst_jax.prepare(params, config, platform=platform)

    # Weights are arguments: what is constant, XLA computes as it compiles, which takes it long.
    def exemplar(weights, image):
        return bind(weights, config).exemplar(image)

    def match(weights, target, regions):
        return bind(weights, config).match(target, regions)

    image, regions = images[0, 64:191, 64:191], images[1:]
    target = jax.jit(exemplar)(params, image)
    for (path, expected), found in zip(
        jax.tree_util.tree_leaves_with_path(target), jax.tree.leaves(jax.jit(exemplar)(prepared, image)), strict=True
    ):
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max(), path
    responses, search = jax.jit(match)(params, target, regions)
    assert {maps.shape for maps in jax.tree.leaves(responses)} == {(3, 17, 17)}
    both = jax.jit(match)(prepared, target, regions)
    for (path, expected), found in zip(
        jax.tree_util.tree_leaves_with_path((responses, search)), jax.tree.leaves(both), strict=True
    ):
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max(), path


def test_only_what_is_used_is_prepared(random_params):
    config = Config(models=("siamfc",), siamfc_layers=("conv4",))
    prepared = mfst_jax.prepare(random_params(FULL), config)
    assert set(prepared.convolutions) == {"siamfc"}
    assert set(prepared.convolutions["siamfc"]) == {"conv1", "conv2", "conv3", "conv4"}
    assert set(prepared.se["siamfc"]) == {"conv4"}
    frames, truth = video(0, frames=2)
    box = truth[0]
    with pytest.raises(InputError, match="expected only what the weights were prepared for, found siamfc conv5"):
        mfst_jax.init(prepared, frames[0], box, config=Config(models=("siamfc",), siamfc_layers=LAYERS))
    with pytest.raises(InputError, match=r"config\.models"):
        mfst_jax.prepare(random_params(Contents(True, None)), Config())


@pytest.mark.parametrize("se_statistics", ["exemplar", "each"])
def test_weights_prepared_with_se_blocks_follow_a_configuration_without(random_params, images, se_statistics):
    params = random_params(Contents(False, "torchvision", alexnet_se=True))
    config = dataclasses.replace(ALEXNET_ALONE, se_statistics=se_statistics)
    prepared = mfst_jax.prepare(params, config, platform="gpu")
    without = dataclasses.replace(config, se=False)
    image, regions = images[0, 64:191, 64:191], images[1:]
    target = bind(prepared, without).exemplar(image)
    assert target.channel_weights == {}
    found = bind(prepared, without).match(target, regions)
    expected = bind(params, without).match(bind(params, without).exemplar(image), regions)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), found, expected)


@pytest.mark.parametrize("se", [None, True])
def test_se_blocks_that_were_not_prepared_are_missed(random_params, se):
    prepared = mfst_jax.prepare(random_params(FULL), dataclasses.replace(ALEXNET_ALONE, se=False))
    missed = r"^config\.se: expected False, since .* without the SE-blocks of alexnet conv3, found "
    with pytest.raises(InputError, match=missed + f"{se}$"):
        bind(prepared, dataclasses.replace(ALEXNET_ALONE, se=se))


def test_se_blocks_of_layers_that_were_not_prepared_are_missed(random_params):
    of_conv5 = dataclasses.replace(ALEXNET_ALONE, alexnet_layers=("conv5",))
    prepared = mfst_jax.prepare(random_params(FULL), of_conv5)
    with pytest.raises(InputError, match=r"^config\.se: .* without the SE-blocks of alexnet conv3, found None$"):
        bind(prepared, ALEXNET_ALONE)
    bind(prepared, dataclasses.replace(ALEXNET_ALONE, se=False))


def test_what_cannot_be_prepared_is_refused(random_params):
    params, prepare = random_params(Contents(True, None)), inspect.unwrap(mfst_jax.prepare)
    for wrong, found in ((mfst_jax.prepare(params), "PreparedParams"), ("paper", "str"), (None, "NoneType")):
        with pytest.raises(InputError, match=f"^params: expected plain weights, as mfst_jax.load .*, found {found}$"):
            prepare(wrong)
    for platform in ("CPU", "", "metal-x"):
        with pytest.raises(InputError, match=f"^platform: expected one of cpu, .*tpu, found '{platform}'$"):
            mfst_jax.prepare(params, platform=platform)
    assert mfst_jax.prepare(params, platform="cuda").method == mfst_jax.prepare(params, platform="gpu").method


@pytest.mark.parametrize("scale_search", [pytest.param("crops", marks=pytest.mark.slow), "features"])
def test_tracks(random_params, scale_search):
    params = random_params(Contents(False, "torchvision", alexnet_se=True))
    config = dataclasses.replace(ALEXNET, scale_search=scale_search, alexnet_layers=("conv3",))
    prepared = mfst_jax.prepare(params, config)
    frames, truth = video(0, frames=4)
    box = truth[0]
    expected = mfst_jax.track(params, frames, box, config=config)
    found = mfst_jax.track(prepared, frames, box)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.05)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


@pytest.mark.slow
def test_tracks_under_vmap(random_params):
    config = dataclasses.replace(ALEXNET, scale_search="features", alexnet_layers=("conv4",))
    prepared = mfst_jax.prepare(random_params(Contents(False, "torchvision", alexnet_se=True)), config)
    frames, truth = video(0, frames=4)
    boxes = jnp.stack([truth[0], truth[0] + 3])
    several = jax.jit(jax.vmap(mfst_jax.track, in_axes=(None, None, 0)))(prepared, frames, boxes)
    for found, box in zip(several.boxes, boxes, strict=True):
        np.testing.assert_allclose(found, mfst_jax.track(prepared, frames, box).boxes, atol=0.05)


@pytest.mark.slow  # of S, by Toom-Cook; tests/test_tracker.py has the built-in weights
def test_a_tracker_prepares_weights_that_are_not_prepared(random_params):
    params = random_params(Contents(True, None))
    frames, truth = video(0, frames=3)
    plain, prepared = mfst_jax.Tracker(params), mfst_jax.Tracker(mfst_jax.prepare(params))
    expected = mfst_jax.track(params, frames, truth[0])
    for tracker in (plain, prepared):
        tracker.init(frames[0], truth[0])
    for frame, box in zip(frames[1:], expected.box[1:], strict=True):
        found = plain.update(frame)
        np.testing.assert_array_equal(found, prepared.update(frame))
        np.testing.assert_allclose(found, box, atol=0.05)
        assert plain.score == prepared.score


def test_a_prepared_pytree_says_what_it_holds(random_params):
    prepared = mfst_jax.prepare(random_params(FULL), PAPER)
    doubled = jax.tree.map(lambda leaf: leaf * 2, prepared)
    assert doubled.contents == prepared.contents
    assert dataclasses.replace(doubled.contents, config=None) == FULL


@pytest.mark.parametrize("last", ["conv3", "conv4", "conv5"])
def test_convolutions_that_s_shares_with_a_are_kept_and_computed_once(random_params, images, last):
    """S is AlexNet's network, and differs from A in conv4's bias, in conv5's alone, or not at all."""
    params = random_params(Contents(True, "torchvision", siamfc_variant="alexnet"))
    branches = {**params.variables["params"]}
    branches["siamfc"] = jax.tree.map(np.copy, branches["alexnet"])
    if last != "conv5":
        branches["siamfc"]["conv4" if last == "conv3" else "conv5"]["bias"] += 0.5
    params = dataclasses.replace(params, variables={**params.variables, "params": branches})
    config = Config()
    by_platform = [mfst_jax.prepare(params, config, platform=platform) for platform in ("cpu", "gpu")]
    shared = ("conv1", "conv2", *LAYERS[: min(2, LAYERS.index(last) + 1)])  # conv5 of S has no ReLU
    for prepared in by_platform:
        assert prepared.shared == shared
        assert set(prepared.convolutions["siamfc"]) == {f"conv{number}" for number in range(1, 6)} - {*shared}

    alone = dataclasses.replace(config, models=("siamfc",))
    for chosen in (config, alone):
        plain = jax.jit(partial(MFST(params.contents, chosen).apply, method="features"))
        quick = jax.jit(lambda weights, images, chosen=chosen: PreparedNetwork(weights, chosen).features(images))
        expected = plain(params.variables, images[:1])
        # Toom-Cook takes long to compile, and shares convolutions no otherwise.
        for prepared in by_platform if last == "conv3" and chosen is config else by_platform[1:]:
            found = quick(prepared, images[:1])
            assert found.keys() == expected.keys() == {*chosen.models}
            for (path, one), other in zip(
                jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(found), strict=True
            ):
                assert np.abs(other - one).max() <= 1e-4 * np.abs(one).max(), path


def test_the_built_in_s_shares_three_convolutions_with_a(params):
    prepared = mfst_jax.prepare(params, platform="gpu")
    assert prepared.shared == ("conv1", "conv2", "conv3")
    assert set(prepared.convolutions["siamfc"]) == {"conv4", "conv5"}


def test_backbones_that_differ_in_conv1_share_nothing(random_params):
    params = random_params(Contents(True, "torchvision", siamfc_variant="alexnet"))
    assert mfst_jax.prepare(params, Config()).shared == ()
