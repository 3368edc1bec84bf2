"""Parity with PyTorch: the backbones layer by layer, responses, upsampling, gradients, and whole steps."""

import dataclasses
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scenes import video

import mfst_jax
from mfst_jax.config import LAYERS, Config
from mfst_jax.localisation import upsample
from mfst_jax.model import MFST
from mfst_jax.params import Contents, Params
from mfst_jax.presets import AUTHORS, PAPER, REALTIME

torch = pytest.importorskip("torch", reason="PyTorch is the reference: pip install 'mfst-jax[parity]'")
reference = importlib.import_module("torch_reference")

CONTENTS = {
    "torchvision": Contents(True, "torchvision", siamfc_se=True, alexnet_se=True),
    "caffe": Contents(True, "caffe", siamfc_se=True, alexnet_se=True),
}


@pytest.fixture(scope="module")
def weights(random_params):
    """Random weights by AlexNet variant, with biases and BN statistics that are not zeros and ones."""

    def shaken(params: Params) -> Params:
        rng = np.random.default_rng(0)

        def shake(path, leaf):
            kind = path[-1].key
            noise = rng.random(leaf.shape, np.float32)
            values = {"var": 0.5 + noise, "scale": 0.5 + noise, "mean": 20 * noise - 10, "bias": noise - 0.5}
            return jnp.asarray(values[kind]) if kind in values else leaf

        return Params(jax.tree_util.tree_map_with_path(shake, params.variables), params.contents)

    return {variant: shaken(random_params(contents)) for variant, contents in CONTENTS.items()}


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


def nchw(images):
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)


def same(found, expected, tolerance):
    """Within `tolerance` of the array's maximum; `expected` is PyTorch's."""
    expected = expected.detach().numpy()
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0
    assert np.abs(np.asarray(found) - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("side", [127, 255])
@pytest.mark.parametrize(("model", "variant"), [("siamfc", "caffe"), ("alexnet", "torchvision"), ("alexnet", "caffe")])
def test_every_layer_of_a_backbone(model, variant, side, weights):
    params = weights[variant]
    config = Config(models=(model,))
    images = pixels(2, side, side, 3)
    network = MFST(params.contents, config)
    apply: Any = jax.jit(network.apply, static_argnames="method")
    found = apply(params.variables, jnp.asarray(images), method="features")
    with torch.inference_mode():
        expected = reference.MFST(params.contents, config, params).features(nchw(images))
    for layer in LAYERS:
        same(found[model][layer].transpose(0, 3, 1, 2), expected[model][layer], 1e-5)


@pytest.mark.parametrize(("se", "statistics"), [(False, "exemplar"), (True, "exemplar"), (True, "each")])
@pytest.mark.parametrize("variant", CONTENTS)
def test_responses(variant, se, statistics, weights):
    params = weights[variant]
    config = Config(models=("alexnet",), se=se, se_statistics=statistics)
    exemplar, search = pixels(127, 127, 3), pixels(2, 255, 255, 3, seed=1)
    network = MFST(params.contents, config)
    found: Any = jax.jit(network.apply)(params.variables, jnp.asarray(exemplar), jnp.asarray(search))
    with torch.inference_mode():
        torch_network = reference.MFST(params.contents, config, params)
        maps, shared = torch_network.exemplar(nchw(exemplar[None]))
        expected = torch_network.responses(maps, shared, torch_network.features(nchw(search)))
    for layer in LAYERS:
        same(found["alexnet"][layer], expected["alexnet"][layer][:, 0], 2e-5)


@pytest.mark.parametrize(("geometry", "align_corners"), [("half_pixel", False), ("corners", True)])
def test_upsampling(geometry, align_corners):
    response = np.random.default_rng(0).normal(size=(3, 17, 17)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(response)[None], size=(272, 272), mode="bicubic", align_corners=align_corners
    )
    same(upsample(jnp.asarray(response), geometry), expected[0], 2e-6)


def test_upsampling_as_tensorflow_does():
    response = np.random.default_rng(0).normal(size=(17, 17)).astype(np.float32)
    table = reference.tf1_weights()
    same(upsample(jnp.asarray(response), "tf1"), table @ torch.from_numpy(response) @ table.T, 2e-6)


def test_the_gradient_of_a_response_with_respect_to_the_weights(weights):
    params = weights["torchvision"]
    config = Config(models=("alexnet",), alexnet_layers=("conv5",), se_statistics="exemplar")
    exemplar, search = pixels(127, 127, 3), pixels(1, 255, 255, 3, seed=1)
    network = MFST(params.contents, config)

    def total(params: Params):
        responses: Any = network.apply(params.variables, jnp.asarray(exemplar), jnp.asarray(search))
        return jnp.sum(jnp.square(responses["alexnet"]["conv5"]))

    found = jax.jit(jax.grad(total))(params).variables["params"]
    torch_network = reference.MFST(params.contents, config, params)
    maps, shared = torch_network.exemplar(nchw(exemplar[None]))
    response = torch_network.responses(maps, shared, torch_network.features(nchw(search)))["alexnet"]["conv5"]
    response.square().sum().backward()
    backbone = torch_network.backbones["alexnet"]
    for layer in ("conv3", "conv5"):
        same(found["alexnet"][layer]["kernel"].transpose(3, 2, 0, 1), getattr(backbone, layer).weight.grad, 1e-4)
    excite = torch_network.se["alexnet"]["conv5"].excite.weight.grad
    same(found["alexnet_se"]["conv5"]["excite"]["kernel"].T, excite, 1e-4)
    assert not np.any(found["siamfc"]["conv1"]["kernel"])


@pytest.mark.parametrize(
    ("variant", "config"),
    [
        # These two are recorded, too: test_golden_case.py.
        pytest.param("torchvision", PAPER, marks=pytest.mark.slow),
        pytest.param("caffe", AUTHORS, marks=pytest.mark.slow),
        ("torchvision", Config(models=("alexnet",), upsampling="corners", fill="first", alexnet_fusion="soft_mean")),
        ("torchvision", dataclasses.replace(REALTIME, centre_search=0.0)),
        ("caffe", dataclasses.replace(REALTIME, centre_search=0.0, se_statistics="each")),
    ],
    ids=["paper", "authors", "corners", "features", "features, each its own"],
)
def test_a_whole_step(variant, config, weights):
    """Three frames in which the target moves and leaves part of its search region outside the frame."""
    params = weights[variant]
    frames, truth = video(seed=3, frames=3)
    state = mfst_jax.init(params, jnp.asarray(frames[0]), jnp.asarray(truth[0]), config=config)
    with torch.inference_mode():
        network = reference.MFST(params.contents, config, params)
        track = network.init(torch.from_numpy(frames[0].copy()), torch.from_numpy(truth[0]))
    for frame in frames[1:]:
        state, output = mfst_jax.step(params, state, jnp.asarray(frame))
        with torch.inference_mode():
            track, box, response = network.step(track, torch.from_numpy(frame.copy()))
        same(output.response, response, 1e-4)
        np.testing.assert_allclose(output.box, box.numpy(), atol=0.05)
    moved = np.abs(np.asarray(output.box) - truth[0])
    assert moved[:2].max() > 2  # it followed something


def test_the_reference_tracks_with_weights_of_its_own():
    """The benchmark's peer is a tracker in its own right: a scene that stands still leaves the box in place."""
    frames, truth = video(seed=1, frames=1)
    config = dataclasses.replace(PAPER, models=("alexnet",))
    torch.manual_seed(0)
    with torch.inference_mode():
        network = reference.MFST(Contents(False, "torchvision"), config)
        track = network.init(torch.from_numpy(frames[0].copy()), torch.from_numpy(truth[0]))
        _, box, _ = network.step(track, torch.from_numpy(frames[0].copy()))
    np.testing.assert_allclose(box.numpy(), truth[0], atol=1.0)
