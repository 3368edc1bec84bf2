"""Measures of responses to pairs: what is fused where S is trained beside A."""

import dataclasses

import jax
import numpy as np
import pytest

from mfst_jax.config import LAYERS, Layer, Model
from mfst_jax.localisation import CELL, RESPONSE_SIZE
from mfst_jax.params import Contents, Params, SiamFCVariant
from mfst_jax.train.epoch_validation import _measure
from mfst_jax.train.measures import centre_errors_with_alexnet
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.recipes.siamfc_beside_alexnet import RECIPE
from mfst_jax.train.responses import Correlations, Trainable

MIDDLE = RESPONSE_SIZE // 2


def peaks(places: dict[Layer, tuple[int, int]], height: float) -> Correlations:
    """Correlations of one pair, with a channel for each layer whose map has one smooth peak, at (row, column)."""
    rows, columns = np.mgrid[:RESPONSE_SIZE, :RESPONSE_SIZE]
    maps: dict[Layer, np.ndarray] = {}
    for layer, (row, column) in places.items():
        peak = height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 8)
        maps[layer] = peak.reshape(1, -1, 1).astype(np.float32)
    means = {layer: np.ones((1, 1), np.float32) for layer in places}
    return Correlations(maps, means, means)


@pytest.mark.parametrize("right", [0, 3])
def test_beside_alexnet_conv5_of_s_alone_is_fused_with_a(right: int) -> None:
    there, elsewhere = (MIDDLE, MIDDLE + right), (MIDDLE - 6, MIDDLE)
    of_s = peaks({"conv3": elsewhere, "conv4": elsewhere, "conv5": there}, height=1e3)
    of_a = peaks(dict.fromkeys(LAYERS, there), height=1.0)
    error = jax.device_get(centre_errors_with_alexnet(of_s, of_a, recipe=RECIPE))
    assert error == pytest.approx(right * CELL, abs=1)


@pytest.mark.parametrize(("network", "wins"), [("siamfc", "conv3"), ("alexnet", "conv5")])
def test_layers_of_s_are_fused_by_the_factors_of_its_network(network: SiamFCVariant, wins: Layer) -> None:
    heights, places = {"conv3": 50.0, "conv4": 1.0, "conv5": 10.0}, {"conv3": 3, "conv4": 0, "conv5": -2}
    by_layer = {layer: peaks({layer: (MIDDLE, MIDDLE + places[layer])}, heights[layer]) for layer in LAYERS}
    maps = {layer: each.maps[layer] for layer, each in by_layer.items()}
    means = {layer: each.search[layer] for layer, each in by_layer.items()}
    trainable = Trainable(None, dict.fromkeys(LAYERS, np.float32(0)))
    params = Params({}, Contents(siamfc=True, alexnet=None, siamfc_variant=network))
    kept = Correlations(maps, means, means)
    errors = _measure(params, trainable, {}, kept, None, Recipe(model="siamfc")).centre_errors
    assert float(errors["fused"]) == pytest.approx(abs(places[wins]) * CELL, abs=2)


def test_s_counts_more_than_a() -> None:
    of_s = peaks(dict.fromkeys(LAYERS, (MIDDLE, MIDDLE + 6)), height=1.0)
    of_a = peaks(dict.fromkeys(LAYERS, (MIDDLE, MIDDLE - 4)), height=1.0)
    error = jax.device_get(centre_errors_with_alexnet(of_s, of_a, recipe=RECIPE))
    assert error == pytest.approx(6 * CELL, abs=1)


def test_sequences_are_tracked_with_the_same_fusion() -> None:
    config = RECIPE.tracked_with
    found: dict[Model, tuple[Layer, ...]] = {model: config.layers(model) for model in config.models}
    assert found == {"siamfc": ("conv5",), "alexnet": LAYERS}
    alone = dataclasses.replace(RECIPE, beside_alexnet=0.0)
    assert alone.tracked_with == Recipe(model="siamfc", trains="backbone").layers_fused_with
