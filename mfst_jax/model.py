"""The MFST network: two backbones, their SE-blocks, and six response maps (paper section III, figure 1).

Every stage returns its arrays by name, `{model: {layer: array}}`. Where "intermediates" is mutable, `MFST` also leaves
them there under `<model>_<layer>_<stage>`, the stage being exemplar, search or response.
"""

import flax.linen as nn
import jax
from flax import struct
from jaxtyping import Array, Float

from mfst_jax.attention import SEBlocks, recalibrate
from mfst_jax.backbones import AlexNet, SiamFC
from mfst_jax.config import Config, Layer, Model
from mfst_jax.correlation import cross_correlate_by_taps
from mfst_jax.params import Contents, uses_se

Features = dict[Model, dict[Layer, Float[Array, "n _ _ _"]]]
ChannelWeights = dict[Model, dict[Layer, Float[Array, "n _"]]]
Responses = dict[Model, dict[Layer, Float[Array, "n 17 17"]]]


@struct.dataclass
class Exemplar:
    """The target as the network knows it."""

    features: dict[Model, dict[Layer, Float[Array, "*batch _ _ _"]]]
    """Recalibrated; sides of 10, 8, 6 cells for conv3, conv4, conv5."""
    channel_weights: dict[Model, dict[Layer, Float[Array, "*batch _"]]]
    """The SE weights that search features share; of no model where each input has its own, or where SE is off."""


class MFST(nn.Module):
    """Exemplar and search images -> response maps, for the backbones and layers that a resolved `config` uses."""

    contents: Contents
    config: Config

    def setup(self):
        for model in self.config.models:
            if model == "siamfc":
                self.siamfc = SiamFC(self.contents.siamfc_bias, self.contents.siamfc_grey)
            else:
                assert self.contents.alexnet is not None, "a resolved config asks for no backbone that is not there"
                self.alexnet = AlexNet(self.contents.alexnet)
            if uses_se(self.contents, self.config, model):
                setattr(self, f"{model}_se", SEBlocks())

    def __call__(self, exemplar: Float[Array, "127 127 3"], search: Float[Array, "n 255 255 3"]) -> Responses:
        """The response maps of one exemplar image over n search images, RGB in 0..255."""
        target = self.exemplar(exemplar)
        return self.responses(target, self.search(target, search))

    def features(self, images: Float[Array, "n side side 3"]) -> Features:
        """What the backbones see in RGB images of 0..255, before any SE-block."""
        features: Features = {}
        for model in self.config.models:
            by_layer = getattr(self, model)(images)
            features[model] = {layer: by_layer[layer] for layer in self.config.layers(model)}
        return features

    def exemplar(self, image: Float[Array, "127 127 3"]) -> Exemplar:
        """The recalibrated features of the exemplar image, to be correlated with every later search region."""
        recalibrated: Features = {}
        shared: ChannelWeights = {}
        for model, features in self.features(image[None]).items():
            weights = self._channel_weights(model, features)
            recalibrated[model] = self._recalibrate(model, features, weights, "exemplar")
            if weights and self.config.se_statistics == "exemplar":
                shared[model] = weights
        return jax.tree.map(lambda batch: batch[0], Exemplar(recalibrated, shared))

    def search(self, exemplar: Exemplar, images: Float[Array, "n 255 255 3"]) -> Features:
        """The recalibrated features of the search images, by the exemplar's channel weights or by their own."""
        recalibrated: Features = {}
        for model, features in self.features(images).items():
            shared = jax.tree.map(lambda w: w[None], exemplar.channel_weights.get(model))
            weights = shared or self._channel_weights(model, features)
            recalibrated[model] = self._recalibrate(model, features, weights, "search")
        return recalibrated

    def responses(self, exemplar: Exemplar, search: Features) -> Responses:
        """Each layer's cross-correlation of the exemplar with the search features, times the configured factor."""
        responses: Responses = {}
        for model, features in search.items():
            responses[model] = {}
            for layer, factor in zip(self.config.layers(model), self.config.factors(model), strict=True):
                response = factor * cross_correlate_by_taps(exemplar.features[model][layer], features[layer])
                self.sow("intermediates", f"{model}_{layer}_response", response)
                responses[model][layer] = response
        return responses

    def _channel_weights(self, model: Model, features: dict[Layer, Array]) -> dict[Layer, Array]:
        """One weight a channel from the features' own statistics; none where `model` has no SE-blocks in use."""
        return getattr(self, f"{model}_se")(features) if uses_se(self.contents, self.config, model) else {}

    def _recalibrate(
        self, model: Model, features: dict[Layer, Array], weights: dict[Layer, Array], stage: str
    ) -> dict[Layer, Array]:
        if weights:
            features = {layer: recalibrate(maps, weights[layer]) for layer, maps in features.items()}
        for layer, maps in features.items():
            self.sow("intermediates", f"{model}_{layer}_{stage}", maps)
        return features
