"""Exemplar and search images -> responses on compiled weights: what `mfst_jax.model` does, with less to compute.

SE weights go to the exemplar, since `<z, w x> = <w z, x>`: search features stay as they are.
"""

from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Array, Float

from mfst_jax.attention import SEBlock, recalibrate
from mfst_jax.config import Config, Layer, Model
from mfst_jax.correlation import cross_correlate_by_taps
from mfst_jax.errors import InputError
from mfst_jax.fast.backbones import Backbones
from mfst_jax.fast.compiled import Compiled
from mfst_jax.model import ChannelWeights, Exemplar, Features, Responses
from mfst_jax.score import window_energy


@dataclass(frozen=True)
class CompiledNetwork:
    """The network of `mfst_jax.network.Network`, on compiled weights, for a resolved `config`."""

    weights: Compiled
    config: Config

    def __post_init__(self):
        for model in self.config.models:
            held = self.weights.convolutions.get(model, {})
            missing = [layer for layer in self.config.layers(model) if layer not in held]
            if missing:
                raise InputError(
                    f"config: expected only what the weights were compiled for, found {model} {', '.join(missing)}"
                )

    def exemplar(self, image: Float[Array, "127 127 3"]) -> Exemplar:
        recalibrated: Features = {}
        shared: ChannelWeights = {}
        for model, features in self._features(image[None]).items():
            weights = self._channel_weights(model, features)
            recalibrated[model] = {
                layer: recalibrate(maps, weights[layer]) if weights else maps for layer, maps in features.items()
            }
            if weights and self.config.se_statistics == "exemplar":
                shared[model] = weights
        return jax.tree.map(lambda batch: batch[0], Exemplar(recalibrated, shared))

    def match(self, exemplar: Exemplar, images: Float[Array, "n 255 255 3"]) -> tuple[Responses, Responses]:
        responses: Responses = {}
        energies: Responses = {}
        for model, features in self._features(images).items():
            responses[model], energies[model] = {}, {}
            shared = exemplar.channel_weights.get(model)
            own = self._channel_weights(model, features) if shared is None else {}
            for layer, factor in zip(self.config.layers(model), self.config.factors(model), strict=True):
                target, maps = exemplar.features[model][layer], features[layer]
                weights = own.get(layer) if shared is None else shared[layer][None]
                responses[model][layer] = factor * _correlate(target, maps, weights)
                seen = maps if weights is None else recalibrate(maps, weights)
                energies[model][layer] = window_energy(seen, target.shape[0])
        return responses, energies

    def _features(self, images: Float[Array, "n side side 3"]) -> Features:
        """Of the models and layers in use, before any SE-block."""
        weights = {model: self.weights.convolutions[model] for model in self.config.models}
        found = Backbones(weights, self.weights.contents.alexnet, self.weights.method).features(images)
        return {model: {layer: maps[layer] for layer in self.config.layers(model)} for model, maps in found.items()}

    def _channel_weights(self, model: Model, features: dict[Layer, Array]) -> dict[Layer, Array]:
        """One weight a channel from the features' own statistics; none where `model` has no SE-blocks in use."""
        if model not in self.weights.se:
            return {}
        apply: Any = SEBlock().apply
        blocks = self.weights.se[model]
        return {layer: apply({"params": blocks[layer]}, maps) for layer, maps in features.items()}


def _correlate(
    exemplar: Float[Array, "h w c"], search: Float[Array, "n height width c"], weights: Float[Array, "#n c"] | None
) -> Float[Array, "n rows columns"]:
    """The exemplar slid over each search map, with one weight a channel on the map if there are some."""
    if weights is None:
        return cross_correlate_by_taps(exemplar, search)
    targets = exemplar[None] * weights[:, None, None]
    if len(targets) == 1:
        return cross_correlate_by_taps(targets[0], search)
    return jax.vmap(lambda target, maps: cross_correlate_by_taps(target, maps[None])[0])(targets, search)
