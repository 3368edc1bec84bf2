"""Correlation filters of the ONNX graph compute what those of the tracker do."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("spox", reason="spox is not installed: the extra `export`")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra `export`")
import spox.opset.ai.onnx.v17 as op
from onnx_graphs import run

from mfst_jax import correlation_filter as reference
from mfst_jax.correlation_filter import GEOMETRIES, Geometry
from mfst_jax.export import onnx_correlation_filter as filters
from mfst_jax.export.onnx_network import Network
from mfst_jax.export.signature import state_arrays
from mfst_jax.params import Contents
from mfst_jax.presets import ALEXNET

CHANNELS = {"pool1": 3, "conv5": 5}
EVEN, ODD = Geometry(8, 22, 32), Geometry(4, 20, 27)
BY_CHANNEL = (2, 0, 1)


def features(seed: int) -> dict[str, jax.Array]:
    """Features after a ReLU, [rows, columns, channels], smooth enough for places between cells to mean something."""
    rng = np.random.default_rng(seed)
    found = {}
    for layer, channels in CHANNELS.items():
        cells = GEOMETRIES[layer].cells
        noise = rng.standard_normal((cells + 4, cells + 4, channels), np.float32)
        smooth = sum(noise[y : y + cells, x : x + cells] for y in range(5) for x in range(5))
        found[layer] = jnp.asarray(np.maximum(smooth, 0))
    return found


def templates(seed: int) -> dict[str, jax.Array]:
    return reference.first_templates(reference.filter_maps(features(seed)))


def by_layer(*arrays):
    """Arrays in the order of their layers, as dicts again."""
    return dict(zip(CHANNELS, arrays, strict=True))


def of_features(*arrays) -> dict:
    """Maps of features [rows, columns, channels]."""
    return filters.filter_maps({layer: op.transpose(x, perm=BY_CHANNEL) for layer, x in by_layer(*arrays).items()})


def check(found: list[np.ndarray], *expected: jax.Array) -> None:
    for array, wanted in zip(found, expected, strict=True):
        scale = float(jnp.abs(wanted).max())
        assert scale > 0
        np.testing.assert_allclose(array, wanted, atol=2e-5 * scale)


def test_the_templates_of_a_first_frame():
    given = features(0)
    found = run(lambda *arrays: tuple(filters.first_templates(of_features(*arrays)).values()), *given.values())
    expected = reference.first_templates(reference.filter_maps(given))
    check(found, *(expected[layer] for layer in CHANNELS))


@pytest.mark.parametrize("offset", [(0.0, 0.0), (8.0, -16.0), (-63.5, 13.25)])
def test_what_filters_learn_from_a_further_frame(offset, monkeypatch: pytest.MonkeyPatch):
    # A rate at which what is new can be told from what was there.
    for module in (reference, filters):
        monkeypatch.setattr(module, "RATE", 0.5)
    before, given, place = templates(0), features(1), jnp.array(offset, jnp.float32)

    def graph(place, pool1, conv5, *arrays):
        return tuple(filters.learn(by_layer(pool1, conv5), of_features(*arrays), place).values())

    expected = jax.jit(reference.learn)(before, reference.filter_maps(given), place)
    found = run(graph, place, *before.values(), *given.values())
    check(found, *(expected[layer] for layer in CHANNELS))


@pytest.mark.parametrize("geometry", [EVEN, ODD], ids=["even", "odd"])
@pytest.mark.parametrize("target", [(60.0, 40.0), (3.0, 250.0)], ids=["usual", "thin"])
def test_the_response_of_a_filter(geometry: Geometry, target):
    rng, cells = np.random.default_rng(0), geometry.cells
    template, maps = (jnp.asarray(rng.standard_normal((cells, cells, 5), np.float32) / 5) for _ in range(2))
    template = template * reference.cell_window(cells)
    size = jnp.array(target, jnp.float32)

    def graph(template, maps, size):
        rows = (op.transpose(each, perm=filters.BY_ROW) for each in (template, maps))
        return filters.filter_response(*rows, size, geometry)

    (found,) = run(graph, template, maps, size)
    expected = jax.jit(reference.filter_response, static_argnums=3)(template, maps, size, geometry)
    check([found], expected)


def test_the_response_of_what_was_learned_has_its_peak_at_the_target():
    pool1, conv5 = features(0).values()
    moved = np.roll(conv5, (3, -2), axis=(0, 1))

    def graph(template, size, *arrays):
        maps = of_features(*arrays)["conv5"]
        return filters.filter_response(op.transpose(template, perm=filters.BY_ROW), maps, size, GEOMETRIES["conv5"])

    (found,) = run(graph, templates(0)["conv5"], np.array([60, 60], np.float32), pool1, moved)
    row, column = np.unravel_index(np.argmax(found), found.shape)
    # 8 samples a cell, 2 samples of the response for each of them
    np.testing.assert_allclose([row, column], [135.5 + 3 * 16, 135.5 - 2 * 16], atol=3)


def test_responses_are_mixed():
    rng = np.random.default_rng(0)
    response, size = jnp.asarray(rng.uniform(0, 1, (272, 272)), jnp.float32), jnp.array([60, 40], jnp.float32)
    before, given = templates(0), features(1)

    def graph(response, size, pool1, conv5, *arrays):
        return filters.mix_in(response, by_layer(pool1, conv5), of_features(*arrays), size, 0.4)

    (found,) = run(graph, response, size, *before.values(), *given.values())
    expected = jax.jit(reference.mix_in)(response, before, reference.filter_maps(given), size, jnp.float32(0.4))
    check([found], expected)


@pytest.mark.parametrize("variant", ["torchvision", "caffe"])
def test_the_features_that_filters_look_at_are_those_of_the_flax_module_before_any_se_block(variant, random_params):
    from mfst_jax.backbones import AlexNet

    params = random_params(Contents(siamfc=False, alexnet=variant, alexnet_se=True))
    config = replace(ALEXNET, filter_share=0.3)
    images = np.random.default_rng(0).uniform(0, 255, (1, 255, 255, 3)).astype(np.float32)

    def graph(images):
        network = Network(params, config)
        before = network.features(op.transpose(images, perm=(0, 3, 1, 2)))
        after, _ = network.recalibrated(before, {})
        return before["alexnet"]["pool1"], after["alexnet"]["pool1"]

    apply = jax.jit(AlexNet(variant, below=("pool1",)).apply)
    expected = apply({"params": params.variables["params"]["alexnet"]}, images)["pool1"]
    before, after = run(graph, images)
    np.testing.assert_array_equal(before, after)
    scale = float(jnp.abs(expected).max())
    np.testing.assert_allclose(before.transpose(0, 2, 3, 1), expected, atol=3e-5 * scale)
    arrays = state_arrays(params, config)
    assert arrays["templates.pool1"].shape == expected.shape[1:]
    assert not any(name.startswith("templates") for name in state_arrays(params, ALEXNET))
