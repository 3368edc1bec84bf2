"""The MFST network: two backbones, their SE-blocks, and six response maps (paper section III, figure 1).

Every stage returns its arrays by name, `{model: {layer: array}}`. Where "intermediates" is mutable, `MFST` also leaves
them there under `<model>_<layer>_<stage>`, the stage being exemplar, search or response.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from mfst_jax.attention import SEBlocks, recalibrate
from mfst_jax.backbones import AlexNet, siamfc
from mfst_jax.config import Config, Layer, Model
from mfst_jax.correlation import cross_correlate_by_taps
from mfst_jax.params import Contents, uses_se
from mfst_jax.pytrees import register_for_export, repr_shapes

Features = dict[Model, dict[Layer, Float[Array, "n _ _ _"]]]
ChannelWeights = dict[Model, dict[Layer, Float[Array, "n _"]]]
Responses = dict[Model, dict[Layer, Float[Array, "scales cells cells"]]]


@struct.dataclass
class Exemplar:
    """The target as the network knows it, once for each of `Config.exemplar_factors`."""

    features: dict[Model, dict[Layer, Float[Array, "*batch factors _ _ _"]]]
    """Recalibrated, and of equal energy at all factors; sides of 10, 8, 6 cells for conv3, conv4, conv5."""
    channel_weights: dict[Model, dict[Layer, Float[Array, "*batch _"]]]
    """The SE weights that search features share; of no model where each input has its own, or where SE is off."""

    __repr__ = repr_shapes


register_for_export(Exemplar)


class MFST(nn.Module):
    """Exemplar and search images -> response maps, for the backbones and layers that a resolved `config` uses."""

    contents: Contents
    config: Config

    def setup(self):
        for model in self.config.models:
            if model == "siamfc":
                self.siamfc = siamfc(self.contents)
            else:
                assert self.contents.alexnet is not None, "a resolved config asks for no backbone that is not there"
                self.alexnet = AlexNet(self.contents.alexnet)
            if uses_se(self.contents, self.config, model):
                setattr(self, f"{model}_se", SEBlocks())

    def __call__(self, exemplar: Float[Array, "127 127 3"], search: Float[Array, "n side side 3"]) -> Responses:
        """The response maps of one exemplar image over n search images, RGB in 0..255."""
        target = self.exemplar(exemplar[None])
        return self.responses(target, self.search(target, search))

    def features(self, images: Float[Array, "n side side 3"]) -> Features:
        """What the backbones see in RGB images of 0..255, before any SE-block."""
        features: Features = {}
        for model in self.config.models:
            by_layer = getattr(self, model)(images)
            features[model] = {layer: by_layer[layer] for layer in self.config.layers(model)}
        return features

    def exemplar(self, images: Float[Array, "factors 127 127 3"]) -> Exemplar:
        """The target by its images at `Config.exemplar_factors`, to be correlated with every later search region."""
        features = self.features(images)
        weights = {model: self._channel_weights(model, by_layer) for model, by_layer in features.items()}
        exemplar = as_exemplar(features, weights, self.config)
        for model, by_layer in exemplar.features.items():
            self._sow(model, by_layer, "exemplar")
        return exemplar

    def search(self, exemplar: Exemplar, images: Float[Array, "n side side 3"]) -> Features:
        """The recalibrated features of the search images, by the exemplar's channel weights or by their own."""
        recalibrated: Features = {}
        for model, features in self.features(images).items():
            shared = jax.tree.map(lambda w: w[None], exemplar.channel_weights.get(model))
            weights = shared or self._channel_weights(model, features)
            recalibrated[model] = recalibrate_layers(features, weights)
            self._sow(model, recalibrated[model], "search")
        return recalibrated

    def responses(self, exemplar: Exemplar, search: Features) -> Responses:
        """Each layer's cross-correlations of exemplar and search features, times the configured factor, by scale."""
        responses: Responses = {}
        for model, features in search.items():
            responses[model] = {
                layer: factor * correlate(exemplar.features[model][layer], features[layer])
                for layer, factor in zip(self.config.layers(model), self.config.factors(model), strict=True)
            }
            self._sow(model, responses[model], "response")
        return responses

    def _channel_weights(self, model: Model, features: dict[Layer, Array]) -> dict[Layer, Array]:
        """One weight a channel from the features' own statistics; none where `model` has no SE-blocks in use."""
        return getattr(self, f"{model}_se")(features) if uses_se(self.contents, self.config, model) else {}

    def _sow(self, model: Model, by_layer: dict[Layer, Array], stage: str) -> None:
        for layer, maps in by_layer.items():
            self.sow("intermediates", f"{model}_{layer}_{stage}", maps)


def as_exemplar(features: Features, weights: ChannelWeights, config: Config) -> Exemplar:
    """The exemplar of features before any SE-block and the channel weights that they set, at `exemplar_factors` each.

    Where the exemplar sets the weights of the search region, it is at factor 1 that it does.
    """
    shared: ChannelWeights = {}
    if config.se_statistics == "exemplar":
        shared = {
            m: {layer: w[len(w) // 2] for layer, w in by_layer.items()} for m, by_layer in weights.items() if by_layer
        }
        weights = jax.tree.map(lambda w: w[None], shared)
    recalibrated = {m: recalibrate_layers(by_layer, weights.get(m, {})) for m, by_layer in features.items()}
    return Exemplar(jax.tree.map(equalise_energy, recalibrated), shared)


def recalibrate_layers(features: dict[Layer, Array], weights: dict[Layer, Array]) -> dict[Layer, Array]:
    """Each layer's features by its channel weights; as they are where there are none."""
    return {layer: recalibrate(maps, weights[layer]) if weights else maps for layer, maps in features.items()}


def equalise_energy(exemplars: Float[Array, "factors h w c"]) -> Float[Array, "factors h w c"]:
    """`z_f |z_1| / |z_f|`: as much energy as at factor 1, so that the best response tells the best fit.

    Features of a larger crop differ in energy alone by more than those of a scale step differ in fit.
    """
    middle = len(exemplars) // 2
    if middle == 0:
        return exemplars
    energies = jnp.sum(jnp.square(exemplars), axis=(1, 2, 3), keepdims=True)
    return exemplars * jnp.sqrt(energies[middle : middle + 1] / jnp.where(energies > 0, energies, 1))


def correlate(
    exemplars: Float[Array, "factors h w c"],
    search: Float[Array, "n height width c"],
    by: Callable[[Array, Array], Array] = cross_correlate_by_taps,
) -> Float[Array, "scales rows columns"]:
    """The response map of each scale: of one exemplar over several search regions, or of several over one."""
    maps = jax.vmap(by, in_axes=(0, None))(exemplars, search)
    return maps.reshape(-1, *maps.shape[2:])
