"""Each stage of the ONNX graph computes what the stage of the tracker does that it was written after."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("spox", reason="spox is not installed: the extra `export`")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra `export`")
import spox.opset.ai.onnx.v17 as op
from onnx_graphs import Graph, run

from mfst_jax import correlation as reference_correlation
from mfst_jax import crops, fusion, localisation, scale_from_features, score
from mfst_jax.config import Config
from mfst_jax.export import onnx_crops, onnx_network
from mfst_jax.export import onnx_localisation as stages
from mfst_jax.export.onnx_localisation import Extent
from mfst_jax.export.values import floats
from mfst_jax.model import MFST, Exemplar
from mfst_jax.params import Contents
from mfst_jax.presets import ALEXNET, PAPER

ONE_LAYER = replace(ALEXNET, alexnet_layers=("conv5",))
RNG = np.random.default_rng(0)
EXTENTS = pytest.mark.parametrize(("cells", "is_centre"), [(17, False), (9, True)], ids=["whole", "centre"])


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def extent_of(flag: object) -> Extent:
    return Extent(is_centre=flag)  # type: ignore[arg-type]


def shifted_window(response, extent: Extent, config: Config):
    return stages.displacement(stages.add_window(response, extent, config.window_influence), extent, config)


def expected_displacement(response: np.ndarray, config: Config):
    windowed = localisation.add_window(jnp.asarray(response), config.window_influence)
    return localisation.displacement(windowed, config.upsampling, config.peak_temperature)


def test_the_mean_colour_is_that_of_all_pixels():
    frame = RNG.integers(0, 256, (37, 53, 3), np.uint8)
    (found,) = run(onnx_crops.mean_colour, frame)
    np.testing.assert_allclose(found, frame.astype(np.float64).mean(axis=(0, 1)), rtol=1e-6)


@partial(jax.jit, static_argnames="samples")
def expected_crops(frame, size, centre, sides, fill, samples):
    def crop(side):
        return crops.crop_with_range(frame, centre, side, fill=fill, frame_size=size, samples=samples)

    return jax.vmap(crop)(sides)


@pytest.fixture(scope="module")
def crop() -> Graph:
    floats = np.float32
    return Graph(onnx_crops.crop, [(np.uint8, 3), (floats, 1), (floats, 1), (floats, 1), (np.int64, 0)])


# No distance in pixels is as small as a subnormal number, which is 0 to XLA and not to ONNX Runtime.
PLACES = st.floats(-30, 70, width=32, allow_subnormal=False)


@settings(max_examples=20)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    centre=st.tuples(PLACES, PLACES),
    side=st.floats(1, 90, width=32),
    samples=st.sampled_from([127, 191, 255]),
)
def test_crops_of_frames_of_any_size(crop: Graph, size, centre, side, samples):
    frame = np.random.default_rng(size).integers(0, 256, (*size, 3), np.uint8)
    sides, fill = np.array([side, 1.1 * side], np.float32), np.array([1, 20, 255], np.float32)
    middle = np.array(centre, np.float32)
    images, ranges = crop(frame, middle, sides, fill, np.int64(samples))
    padded = np.pad(frame, ((0, 40 - size[0]), (0, 40 - size[1]), (0, 0)))
    expected, colours = expected_crops(padded, np.array(size, np.int32), middle, sides, fill, samples=samples)
    same = np.isclose(images.transpose(0, 2, 3, 1), expected, atol=0.05).all(axis=3)
    # Rounding decides about points that lie on the edge of the frame to the last bit: at most a row or column each.
    assert np.count_nonzero(~same) <= 4 * samples
    if same.all():
        np.testing.assert_allclose(ranges, colours, atol=0.1)


def test_the_side_of_the_search_region():
    (found,) = run(partial(onnx_crops.search_side, context=0.5), np.array([30, 50], np.float32))
    # p = (30 + 50) / 2 = 40, s_z = sqrt(70 * 90) = 79.3725, s_x = s_z * 255 / 127
    np.testing.assert_allclose(found, np.sqrt(70 * 90) * 255 / 127, rtol=1e-6)


@pytest.mark.parametrize(
    "contents",
    [
        Contents(siamfc=True, alexnet=None, siamfc_se=True, siamfc_bias=True),
        Contents(siamfc=True, alexnet=None, siamfc_grey=True),
        Contents(siamfc=True, alexnet=None, siamfc_variant="alexnet"),
        Contents(siamfc=False, alexnet="torchvision", alexnet_se=True),
        Contents(siamfc=False, alexnet="caffe"),
    ],
    ids=["siamfc", "grey", "alexnet as siamfc", "torchvision", "caffe"],
)
def test_features_and_channel_weights_are_those_of_the_flax_modules(contents: Contents, random_params):
    params = random_params(contents)
    model = "siamfc" if contents.siamfc else "alexnet"
    config = Config(models=(model,))
    image = RNG.uniform(0, 255, (127, 127, 3)).astype(np.float32)
    exemplar_of = jax.jit(partial(MFST(contents, config).apply, method="exemplar"))
    exemplar = exemplar_of(params.variables, jnp.asarray(image))

    def graph(images):
        network = onnx_network.Network(params, config)
        maps, weights = network.recalibrated(network.features(images), {})
        by_layer = weights.get(model, {})
        return (*(maps[model][layer] for layer in config.layers(model)), *(by_layer[layer] for layer in by_layer))

    found = run(graph, image.transpose(2, 0, 1)[None])
    for layer, maps in zip(config.layers(model), found, strict=False):
        expected = exemplar.features[model][layer]
        scale = float(jnp.abs(expected).max())
        np.testing.assert_allclose(maps[0].transpose(1, 2, 0), expected, atol=3e-5 * scale)
    for layer, weights in zip(exemplar.channel_weights.get(model, {}), found[3:], strict=True):
        np.testing.assert_allclose(weights[0], exemplar.channel_weights[model][layer], atol=1e-3)


def test_cross_correlation():
    exemplar, maps = noise(6, 6, 5), noise(2, 14, 14, 5, seed=1)
    (found,) = run(partial(onnx_network.cross_correlate, side=6), exemplar, maps.transpose(0, 3, 1, 2))
    expected = reference_correlation.cross_correlate(jnp.asarray(exemplar), jnp.asarray(maps))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("strategy", ["hard", "soft_mean", "soft"])
def test_fusion_by_each_strategy(strategy):
    maps = noise(3, 2, 4, 4)
    maps[1] = -np.abs(maps[1])  # below zero everywhere
    maps[2] = 0
    (found,) = run(partial(stages.fuse, strategy=strategy, weights=(0.2, 0.5, 0.3)), maps)
    np.testing.assert_allclose(found, fusion.fuse(jnp.asarray(maps), strategy, (0.2, 0.5, 0.3)), rtol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        PAPER,
        replace(PAPER, upsampling="tf1", models=("alexnet", "siamfc"), model_fusion="hard"),
        replace(PAPER, upsampling="corners", models=("siamfc",), siamfc_layers=("conv5", "conv4")),
    ],
    ids=["paper", "alexnet first", "one model"],
)
def test_the_final_maps_and_the_best_region(config: Config):
    names = [(model, layer) for model in config.models for layer in config.layers(model)]
    arrays = [noise(3, 17, 17, seed=number) for number in range(len(names))]

    def graph(*values):
        responses: dict = {model: {} for model in config.models}
        for (model, layer), value in zip(names, values, strict=True):
            responses[model][layer] = value
        fused = stages.fused_maps(responses, Extent(), config)
        return fused, stages.best_region(fused, config)

    fused, best = run(graph, *arrays)
    responses: dict = {model: {} for model in config.models}
    for (model, layer), array in zip(names, arrays, strict=True):
        responses[model][layer] = jnp.asarray(array)
    expected = fusion.fuse_hierarchy(localisation.upsample_layers(responses, config), config)
    np.testing.assert_allclose(fused, expected, atol=1e-5)
    assert best == localisation.choose_region(expected, config)


@EXTENTS
def test_the_whole_response_and_the_displacement(cells: int, is_centre: bool):
    config = replace(ALEXNET, centre_search=8.0)
    response = noise(16 * cells, 16 * cells)

    def graph(response, flag):
        return shifted_window(response, extent_of(flag), config), stages.whole_response(response)

    offset, whole = run(graph, response, np.array(is_centre))
    np.testing.assert_allclose(offset, expected_displacement(response, config), atol=1e-5)
    np.testing.assert_array_equal(whole, localisation.pad_response(jnp.asarray(response)))


@pytest.mark.parametrize("changes", [{"upsampling": "corners"}, {"upsampling": "tf1"}, {"peak_temperature": 0.05}])
def test_the_displacement_by_other_geometries_and_the_soft_peak(changes):
    config = replace(PAPER, **changes)
    response = noise(272, 272)
    (offset,) = run(lambda response: shifted_window(response, Extent(), config), response)
    np.testing.assert_allclose(offset, expected_displacement(response, config), atol=2e-3)


def test_the_samples_of_each_extent():
    def graph(flag):
        extent = extent_of(flag)
        return Extent().samples, extent.samples, extent.whole.samples

    assert run(graph, np.array(True)) == [crops.SEARCH_SIZE, crops.CENTRE_SIZE, crops.SEARCH_SIZE]
    assert run(graph, np.array(False)) == [crops.SEARCH_SIZE] * 3


def test_without_a_share_the_window_does_not_count():
    response = noise(272, 272)
    (found,) = run(lambda response: stages.add_window(response, Extent(), 0.0), response)
    np.testing.assert_allclose(found, localisation.add_window(jnp.asarray(response), 0.0), rtol=1e-5)


def test_the_peak_is_the_first_of_equal_ones():
    response = np.zeros((272, 272), np.float32)
    response[[40, 40, 200], [50, 60, 20]] = 1
    config = replace(PAPER, window_influence=0.0)
    (offset,) = run(lambda response: shifted_window(response, Extent(), config), response)
    np.testing.assert_allclose(offset, [(50 - 135.5) / 2, (40 - 135.5) / 2])


@pytest.mark.parametrize(
    ("cells", "offset"),
    [(cells, offset) for cells in (17, 9) for offset in ((0.0, 0.0), (-17.3, 30.9), (32.0, -32.0))],
)
def test_growth_similarity_and_score(cells: int, offset):
    exemplar, recent = np.abs(noise(6, 6, 4)), np.abs(noise(6, 6, 4, seed=2))
    maps = np.abs(noise(cells + 5, cells + 5, 4, seed=1))
    response = np.asarray(reference_correlation.cross_correlate(jnp.asarray(exemplar), jnp.asarray(maps[None]))[0])
    response = response * np.float32(ONE_LAYER.factors("alexnet")[0])
    place = np.array(offset, np.float32)

    def graph(exemplar, recent, maps, response, offset):
        z, x = {"alexnet": {"conv5": exemplar}}, {"alexnet": {"conv5": op.transpose(maps, perm=[2, 0, 1])}}
        similarity = stages.mean_similarity(z, {"alexnet": {"conv5": response}}, x, ONE_LAYER)
        background = op.reduce_mean(similarity, keepdims=0)
        return (
            stages.growth_factor(z, x, offset, ONE_LAYER, {}, 0.0),
            stages.growth_factor(z, x, offset, ONE_LAYER, {"alexnet": {"conv5": recent}}, 0.7),
            stages.learn_recent(recent, x["alexnet"]["conv5"], offset, 6, floats(1.02), 1.075),
            similarity,
            stages.score(similarity, offset, background, ONE_LAYER),
            stages.contrast(similarity),
        )

    results = run(graph, exemplar, recent, maps, response, place)
    factor, factor_with_recent, learned, similarity, found, contrast = results
    z, x = {"alexnet": {"conv5": jnp.asarray(exemplar)}}, {"alexnet": {"conv5": jnp.asarray(maps)}}
    expected = score.mean_similarity(z, {"alexnet": {"conv5": jnp.asarray(response)}}, x, ONE_LAYER)
    np.testing.assert_allclose(similarity, expected, atol=1e-5)
    assert contrast == score.has_contrast(expected)
    expected_score = score.peak_contrast_score(expected, jnp.asarray(place), jnp.mean(expected), ONE_LAYER)
    np.testing.assert_allclose(found, expected_score, atol=1e-4)
    of_recent = {"alexnet": {"conv5": jnp.asarray(recent)}}
    tell_growth = partial(scale_from_features.growth_factor, Exemplar(z, {}), x, jnp.asarray(place), ONE_LAYER)
    np.testing.assert_allclose(factor, tell_growth(), rtol=1e-6)
    np.testing.assert_allclose(factor_with_recent, tell_growth(of_recent, 0.7), rtol=1e-6)
    growth = jnp.float32(1.02)
    expected_learned = scale_from_features.learn_recent(of_recent, x, jnp.asarray(place), growth, ONE_LAYER)
    np.testing.assert_allclose(learned, expected_learned["alexnet"]["conv5"], atol=1e-4)


def test_a_region_that_looks_the_same_everywhere_has_no_contrast():
    (seen,) = run(stages.contrast, np.full((17, 17), 0.3, np.float32))
    assert not seen
