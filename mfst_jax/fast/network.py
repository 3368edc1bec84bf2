"""The network on prepared weights: the responses of `mfst_jax.model` with fewer operations.

SE weights that all search regions share are applied to the exemplar instead, since `<z, w x> = <w z, x>`.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from jaxtyping import Array, Float

from mfst_jax.config import Config, Layer, Model
from mfst_jax.correlation import cross_correlate
from mfst_jax.errors import InputError
from mfst_jax.fast.backbones import Backbones
from mfst_jax.fast.correlation import cross_correlate_by_taps
from mfst_jax.fast.prepared import PreparedParams
from mfst_jax.model import Exemplar, Features, Responses, as_exemplar, compared
from mfst_jax.params import uses_se
from mfst_jax.se_block import SEBlock, recalibrate


@dataclass(frozen=True)
class PreparedNetwork:
    """Network (`mfst_jax.network.Network`) on prepared weights, for a resolved `config`.

    Attributes:
      weights: The prepared weights.
      config: The configuration, the one that they were prepared for or one that uses no more. Its `se` means what it
        does with plain weights: None asks for SE-blocks that were left out, where `contents` has them.

    Raises:
      InputError: a configuration that uses what was left out.
    """

    weights: PreparedParams
    config: Config

    def __post_init__(self):
        for model in self.config.models:
            held = self._convolutions().get(model, {})
            missing = [layer for layer in self.config.layers(model) if layer not in held]
            if missing:
                raise InputError(
                    f"config: expected only what the weights were prepared for, found {model} {', '.join(missing)}"
                )
            if not uses_se(self.weights.contents, self.config, model):
                continue
            blocks = self.weights.se.get(model, {})
            missing = [layer for layer in self.config.layers(model) if layer not in blocks]
            if missing:
                raise InputError(
                    f"config.se: expected False, since the weights were prepared without the SE-blocks of {model} "
                    f"{', '.join(missing)}, found {self.config.se}"
                )

    def exemplar(self, image: Float[Array, "127 127 3"]) -> Exemplar:
        """Exemplar from the target's image, RGB in 0..255."""
        # This runs once a track, so the time to compile it matters more than the time to run it.
        features = self._features(image[None], self._backbones().directly())
        weights = {model: self._channel_weights(model, by_layer) for model, by_layer in features.items()}
        return as_exemplar(features, weights, self.config)

    def match(
        self, exemplar: Exemplar, images: Float[Array, "n side side 3"], *, seldom: bool = False
    ) -> tuple[Responses, Features]:
        """Response maps of each layer in each search region, and the recalibrated features that they come from.

        What `seldom` runs is made to compile sooner, and takes longer.
        """
        responses: Responses = {}
        search: Features = {}
        correlate = cross_correlate if self.weights.method == "quick" else cross_correlate_by_taps
        backbones = self._backbones().directly() if seldom else self._backbones()
        backbones = dataclasses.replace(backbones, below=self.config.layers_below("alexnet"))
        for model, features in backbones.features(images).items():
            responses[model] = {}
            search[model] = {layer: features[layer] for layer in self.config.layers_below(model)}
            shared = exemplar.channel_weights.get(model)
            own = self._channel_weights(model, compared(features, model, self.config)) if shared is None else {}
            for layer, factor in zip(self.config.layers(model), self.config.factors(model), strict=True):
                target, maps = exemplar.features[model][layer], features[layer]
                weights = own.get(layer) if shared is None else shared[layer][None]
                recalibrated = maps if weights is None else recalibrate(maps, weights)
                if weights is not None and len(weights) == 1:
                    response = correlate(recalibrate(target[None], weights)[0], maps)
                else:  # each region has SE weights of its own, which no shared exemplar can hold
                    response = correlate(target, recalibrated)
                responses[model][layer] = factor * response
                search[model][layer] = recalibrated
        return responses, search

    def features(self, images: Float[Array, "n side side 3"]) -> Features:
        """Features of the models and layers in use before any SE-block, from RGB images in 0..255."""
        return self._features(images, self._backbones())

    def _backbones(self) -> Backbones:
        convolutions = self._convolutions()
        weights = {model: convolutions[model] for model in self.config.models}
        shared = self.weights.shared if len(weights) > 1 else ()
        return Backbones(weights, self.weights.contents.alexnet, self.weights.method, shared)

    def _convolutions(self) -> dict[str, Any]:
        """Convolutions by model, with those of S that are A's too."""
        held = self.weights.convolutions
        if not self.weights.shared:
            return held
        lower = {name: held["alexnet"][name] for name in self.weights.shared}
        return {**held, "siamfc": {**lower, **held["siamfc"]}}

    def _features(self, images: Float[Array, "n side side 3"], backbones: Backbones) -> Features:
        found = backbones.features(images).items()
        return {model: compared(by_layer, model, self.config) for model, by_layer in found}

    def _channel_weights(self, model: Model, features: dict[Layer, Array]) -> dict[Layer, Array]:
        """SE weights from the channel means of features; none where `model` has no SE-blocks in use."""
        if not uses_se(self.weights.contents, self.config, model):
            return {}
        apply: Any = SEBlock().apply
        blocks = self.weights.se[model]
        return {layer: apply({"params": blocks[layer]}, maps) for layer, maps in features.items()}
