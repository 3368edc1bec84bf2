"""The backbones: map sizes, LRN against NumPy, groups that stay apart, stride 8, and what each variant sees."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.backbones import AlexNet, SiamFC, local_response_norm

BACKBONES: dict[str, Any] = {"siamfc": SiamFC(), "torchvision": AlexNet("torchvision"), "caffe": AlexNet("caffe")}
APPLY = {
    name: jax.jit(each.apply, static_argnames=("capture_intermediates", "mutable")) for name, each in BACKBONES.items()
}
every = pytest.mark.parametrize("name", BACKBONES)


@pytest.fixture(scope="module")
def variables():
    """Random filters of each backbone, BN statistics that matter, no biases."""
    rng = np.random.default_rng(0)
    constants = {"bias": 0, "scale": 1, "mean": 0.3, "var": 4}

    def fill(path, leaf):
        kind = path[-1].key
        if kind in constants:
            return jnp.full(leaf.shape, constants[kind], jnp.float32)
        return jnp.asarray(rng.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[:3])), jnp.float32)

    def make(backbone):
        shapes = jax.eval_shape(backbone.init, jax.random.key(0), jnp.zeros((1, 127, 127, 3)))
        return jax.tree_util.tree_map_with_path(fill, shapes)

    return {name: make(backbone) for name, backbone in BACKBONES.items()}


def pixels(side, n=1, seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 256, (n, side, side, 3)), jnp.float32)


def outputs(name, variables, images):
    """What every submodule of the backbone puts out."""
    _, state = APPLY[name](variables, images, capture_intermediates=True, mutable=("intermediates",))
    return {key: value["__call__"][0] for key, value in state["intermediates"].items() if isinstance(value, dict)}


@every
@pytest.mark.parametrize(("side", "cells"), [(127, (10, 8, 6)), (255, (26, 24, 22))])
def test_map_sizes(name, variables, side, cells):
    channels = {"siamfc": (384, 384, 256), "torchvision": (384, 256, 256), "caffe": (384, 384, 256)}[name]
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    features = jax.eval_shape(BACKBONES[name].apply, variables[name], images)
    found = [features[layer].shape for layer in ("conv3", "conv4", "conv5")]
    assert found == [(2, n, n, c) for n, c in zip(cells, channels, strict=True)]


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("siamfc", [(11, 11, 3, 96), (5, 5, 48, 256), (3, 3, 256, 384), (3, 3, 192, 384), (3, 3, 192, 256)]),
        ("torchvision", [(11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256)]),
        ("caffe", [(11, 11, 3, 96), (5, 5, 48, 256), (3, 3, 256, 384), (3, 3, 192, 384), (3, 3, 192, 256)]),
    ],
)
def test_filters_and_biases(name, kernels, variables):
    params = variables[name]["params"]
    assert [params[f"conv{i}"]["kernel"].shape for i in range(1, 6)] == kernels
    with_bias = [i for i in range(1, 6) if "bias" in params[f"conv{i}"]]
    assert with_bias == ([5] if name == "siamfc" else [1, 2, 3, 4, 5])
    assert {key for key in params if key.startswith("bn")} == (
        {"bn1", "bn2", "bn3", "bn4"} if name == "siamfc" else set()
    )


@every
def test_eight_pixels_of_the_image_are_one_cell(name, variables):
    scene = pixels(135)
    here, there = (APPLY[name](variables[name], scene[:, dy : dy + 127, dx : dx + 127]) for dy, dx in ((0, 0), (8, 8)))
    for layer, maps in here.items():
        scale = float(jnp.abs(maps).max())
        assert np.std(maps) > 1e-3 * scale
        np.testing.assert_allclose(maps[:, 1:, 1:], there[layer][:, :-1, :-1], atol=1e-5 * scale)


@every
def test_relu_follows_every_layer_but_the_last_of_s(name, variables):
    features = APPLY[name](variables[name], pixels(127))
    below = {layer: bool((maps < 0).any()) for layer, maps in features.items()}
    assert below == {"conv3": False, "conv4": False, "conv5": name == "siamfc"}
    assert all((maps > 0).any() for maps in features.values())


@pytest.mark.parametrize("name", ["siamfc", "caffe"])
@pytest.mark.parametrize("layer", [2, 4, 5])
def test_groups_do_not_see_each_other(name, layer, variables):
    """One more unit of input in the first group's first channel changes the first half of the outputs alone."""
    params = variables[name]["params"]
    before = f"bn{layer - 1}" if name == "siamfc" else f"conv{layer - 1}"
    bias = params[before]["bias"]
    changed = {**params, before: {**params[before], "bias": bias.at[0].add(100.0)}}
    images = pixels(127)
    old = outputs(name, variables[name], images)[f"conv{layer}"]
    new = outputs(name, {**variables[name], "params": changed}, images)[f"conv{layer}"]
    half = old.shape[-1] // 2
    np.testing.assert_array_equal(new[..., half:], old[..., half:])
    assert (np.abs(new[..., :half] - old[..., :half]).max(axis=(0, 1, 2)) > 0).all()


def test_the_torchvision_variant_has_one_group(variables):
    params = variables["torchvision"]["params"]
    changed = {**params, "conv4": {**params["conv4"], "bias": params["conv4"]["bias"].at[0].add(100.0)}}
    images = pixels(127)
    old, new = (outputs("torchvision", {"params": p}, images)["conv5"] for p in (params, changed))
    assert (np.abs(new - old).max(axis=(0, 1, 2)) > 0).all()


def test_conv1_sees_the_image_that_each_backbone_was_trained_on(variables):
    """The centre of one 11 x 11 window, by hand."""
    images = np.asarray(pixels(127), np.float64)
    normalised = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    for name, seen in (("siamfc", images), ("caffe", images), ("torchvision", normalised)):
        conv1 = variables[name]["params"]["conv1"]
        window = seen[0, 2 * 5 : 2 * 5 + 11, 2 * 7 : 2 * 7 + 11]
        expected = np.einsum("uvc,uvco->o", window, np.asarray(conv1["kernel"], np.float64))
        found = outputs(name, variables[name], jnp.asarray(images, jnp.float32))["conv1"][0, 5, 7]
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_batch_norm_uses_the_running_statistics(variables):
    found = outputs("siamfc", variables["siamfc"], pixels(127))
    expected = (np.asarray(found["conv1"], np.float64) - 0.3) / np.sqrt(4 + 1e-6)
    np.testing.assert_allclose(found["bn1"], expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_local_response_norm_is_the_reference(scale):
    x = scale * np.random.default_rng(0).normal(size=(2, 3, 4, 12))
    expected = np.empty_like(x)
    for channel in range(12):
        around = [c for c in range(channel - 2, channel + 3) if 0 <= c < 12]
        total = sum(x[..., c] ** 2 for c in around)
        expected[..., channel] = x[..., channel] / (1 + 2e-5 * total) ** 0.75
    found = local_response_norm(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=2e-6)
    # At 1000 the norm matters: it must be told from the identity.
    assert scale == 1 or np.abs(expected / x).max() < 0.5


@every
def test_images_of_a_batch_do_not_mix(name, variables):
    images = pixels(127, n=2)
    both, second = (APPLY[name](variables[name], each) for each in (images, images[1:]))
    for layer, maps in both.items():
        np.testing.assert_allclose(maps[1:], second[layer], atol=1e-5 * float(jnp.abs(maps).max()))
        assert np.abs(maps[0] - maps[1]).max() > 1e-3 * np.abs(maps).max()
