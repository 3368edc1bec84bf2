"""The MFST network: two backbones, their SE-blocks, and six response maps (paper section III, figure 1).

Every stage returns its arrays by name, `{model: {layer: array}}`. Where the collection "intermediates" is mutable,
`MFST` also leaves them there under `<model>_<layer>_<stage>`; the stages are exemplar, search and response.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
from flax import struct
from jaxtyping import Array, Float

from mfst_jax.backbones import AlexNet, LayerFeatures, siamfc
from mfst_jax.config import Config, Layer, Model
from mfst_jax.correlation import cross_correlate
from mfst_jax.params import Contents, uses_se
from mfst_jax.pytrees import register_for_export, repr_shapes
from mfst_jax.se_block import SEBlocks, recalibrate

Features = dict[Model, dict[Any, Float[Array, "n _ _ _"]]]
"""Features by model and layer, a `Layer` or, where correlation filters look at it, a `LowerLayer`."""
ChannelWeights = dict[Model, dict[Layer, Float[Array, "n _"]]]
Responses = dict[Model, dict[Layer, Float[Array, "regions cells cells"]]]


@struct.dataclass
class Exemplar:
    """Features of the target, and the SE weights that search regions share.

    Attributes:
      features: Recalibrated features. conv3, conv4, conv5 have sides of 10, 8, 6 cells.
      channel_weights: SE weights that the search features share. It has no models where each input has its own weights,
        or where SE is off.
    """

    features: dict[Model, dict[Layer, Float[Array, "*batch _ _ _"]]]
    channel_weights: dict[Model, dict[Layer, Float[Array, "*batch _"]]]

    __repr__ = repr_shapes


register_for_export(Exemplar)


class MFST(nn.Module):
    """Network (paper figure 1): response maps from exemplar and search images, for the models and layers in use.

    Attributes:
      contents: What the weights hold.
      config: A resolved configuration (`params.resolve_config`).
    """

    # Sec. III-A, Fig. 1
    contents: Contents
    config: Config

    def setup(self):
        """Makes the backbones and SE-blocks that the configuration uses."""
        for model in self.config.models:
            if model == "siamfc":
                self.siamfc = siamfc(self.contents)
            else:
                assert self.contents.alexnet is not None, "a resolved config asks for no backbone that is not there"
                self.alexnet = AlexNet(self.contents.alexnet, below=self.config.layers_below(model))
            if uses_se(self.contents, self.config, model):
                setattr(self, f"{model}_se", SEBlocks())

    def __call__(self, exemplar: Float[Array, "127 127 3"], search: Float[Array, "n side side 3"]) -> Responses:
        """Response maps of one exemplar image over n search images, RGB in 0..255."""
        target = self.exemplar(exemplar)
        return self.responses(target, self.search(target, search))

    def features(self, images: Float[Array, "n side side 3"]) -> Features:
        """Features of the backbones before any SE-block, from RGB images in 0..255."""
        # Sec. III-B a): conv3, conv4 and conv5 of each model
        return {model: compared(by_layer, model, self.config) for model, by_layer in self._backbones(images).items()}

    def exemplar(self, image: Float[Array, "127 127 3"]) -> Exemplar:
        """Exemplar from the target's image, RGB in 0..255."""
        features = self.features(image[None])
        weights = {model: self._channel_weights(model, by_layer) for model, by_layer in features.items()}
        exemplar = as_exemplar(features, weights, self.config)
        for model, by_layer in exemplar.features.items():
            self._sow(model, by_layer, "exemplar")
        return exemplar

    def search(self, exemplar: Exemplar, images: Float[Array, "n side side 3"]) -> Features:
        """Recalibrated features of the search images, by the exemplar's channel weights or by their own."""
        recalibrated: Features = {}
        for model, by_layer in self._backbones(images).items():
            features = compared(by_layer, model, self.config)
            shared = jax.tree.map(lambda w: w[None], exemplar.channel_weights.get(model))
            weights = shared or self._channel_weights(model, features)
            recalibrated[model] = recalibrate_layers(features, weights)
            self._sow(model, recalibrated[model], "search")
            recalibrated[model] |= {layer: by_layer[layer] for layer in self.config.layers_below(model)}
        return recalibrated

    def responses(self, exemplar: Exemplar, search: Features) -> Responses:
        """Response maps of all layers: cross-correlations of exemplar and search features, times their factors."""
        responses: Responses = {}
        for model, features in search.items():
            responses[model] = {
                layer: factor * cross_correlate(exemplar.features[model][layer], features[layer])
                for layer, factor in zip(self.config.layers(model), self.config.factors(model), strict=True)
            }
            self._sow(model, responses[model], "response")
        return responses

    def _backbones(self, images: Float[Array, "n side side 3"]) -> dict[Model, LayerFeatures]:
        return {model: getattr(self, model)(images) for model in self.config.models}

    def _channel_weights(self, model: Model, features: dict[Layer, Array]) -> dict[Layer, Array]:
        """SE weights from the channel means of features; none where `model` has no SE-blocks in use."""
        return getattr(self, f"{model}_se")(features) if uses_se(self.contents, self.config, model) else {}

    def _sow(self, model: Model, by_layer: dict[Layer, Array], stage: str) -> None:
        for layer, maps in by_layer.items():
            self.sow("intermediates", f"{model}_{layer}_{stage}", maps)


def compared(features: Mapping[Any, Array], model: Model, config: Config) -> dict[Layer, Array]:
    """Features of the layers of a model that are compared with the exemplar, in network order."""
    return {layer: features[layer] for layer in config.layers(model)}


def as_exemplar(features: Features, weights: ChannelWeights, config: Config) -> Exemplar:
    """Exemplar from the features of one image before any SE-block, and from the channel weights that these set."""
    # Sec. III-B b): exemplar and search region "use the same channel weight"
    recalibrated = {model: recalibrate_layers(maps, weights.get(model, {})) for model, maps in features.items()}
    shared = {model: by_layer for model, by_layer in weights.items() if by_layer and config.se_statistics == "exemplar"}
    return Exemplar(*jax.tree.map(lambda array: array[0], (recalibrated, shared)))


def recalibrate_layers(features: dict[Layer, Array], weights: dict[Layer, Array]) -> dict[Layer, Array]:
    """Features of each layer times their channel weights; unchanged where there are no weights."""
    return {layer: recalibrate(maps, weights[layer]) if weights else maps for layer, maps in features.items()}
