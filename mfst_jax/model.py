"""The MFST network: two backbones, their SE-blocks, and six response maps (paper section III, figure 1).

Every stage returns its arrays by name, `{model: {layer: array}}`. Where the collection "intermediates" is mutable,
`MFST` also leaves them there under `<model>_<layer>_<stage>`; the stages are exemplar, search and response.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from mfst_jax.backbones import AlexNet, siamfc
from mfst_jax.config import Config, Layer, Model
from mfst_jax.correlation import cross_correlate_by_taps
from mfst_jax.params import Contents, uses_se
from mfst_jax.pytrees import register_for_export, repr_shapes
from mfst_jax.se_block import SEBlocks, recalibrate

Features = dict[Model, dict[Layer, Float[Array, "n _ _ _"]]]
ChannelWeights = dict[Model, dict[Layer, Float[Array, "n _"]]]
Responses = dict[Model, dict[Layer, Float[Array, "scales cells cells"]]]


@struct.dataclass
class Exemplar:
    """Features of the target, once for each of `Config.exemplar_factors`, and the SE weights that search regions share.

    Attributes:
      features: Recalibrated features, of equal energy at all factors. conv3, conv4, conv5 have sides of 10, 8, 6 cells.
      channel_weights: SE weights that the search features share. It has no models where each input has its own weights,
        or where SE is off.
    """

    features: dict[Model, dict[Layer, Float[Array, "*batch factors _ _ _"]]]
    channel_weights: dict[Model, dict[Layer, Float[Array, "*batch _"]]]

    __repr__ = repr_shapes


register_for_export(Exemplar)


class MFST(nn.Module):
    """The network: response maps from exemplar and search images, for the backbones and layers that a `config` uses.

    Attributes:
      contents: What the weights hold.
      config: A resolved configuration (`params.resolve_config`).
    """

    contents: Contents
    config: Config

    def setup(self):
        """Makes the backbones and SE-blocks that the configuration uses."""
        for model in self.config.models:
            if model == "siamfc":
                self.siamfc = siamfc(self.contents)
            else:
                assert self.contents.alexnet is not None, "a resolved config asks for no backbone that is not there"
                self.alexnet = AlexNet(self.contents.alexnet)
            if uses_se(self.contents, self.config, model):
                setattr(self, f"{model}_se", SEBlocks())

    def __call__(self, exemplar: Float[Array, "127 127 3"], search: Float[Array, "n side side 3"]) -> Responses:
        """Response maps of one exemplar image over n search images, RGB in 0..255."""
        target = self.exemplar(exemplar[None])
        return self.responses(target, self.search(target, search))

    def features(self, images: Float[Array, "n side side 3"]) -> Features:
        """Features of the backbones before any SE-block, from RGB images in 0..255."""
        features: Features = {}
        for model in self.config.models:
            by_layer = getattr(self, model)(images)
            features[model] = {layer: by_layer[layer] for layer in self.config.layers(model)}
        return features

    def exemplar(self, images: Float[Array, "factors 127 127 3"]) -> Exemplar:
        """Exemplar from the target's images at `Config.exemplar_factors`."""
        features = self.features(images)
        weights = {model: self._channel_weights(model, by_layer) for model, by_layer in features.items()}
        exemplar = as_exemplar(features, weights, self.config)
        for model, by_layer in exemplar.features.items():
            self._sow(model, by_layer, "exemplar")
        return exemplar

    def search(self, exemplar: Exemplar, images: Float[Array, "n side side 3"]) -> Features:
        """Recalibrated features of the search images, by the exemplar's channel weights or by their own."""
        recalibrated: Features = {}
        for model, features in self.features(images).items():
            shared = jax.tree.map(lambda w: w[None], exemplar.channel_weights.get(model))
            weights = shared or self._channel_weights(model, features)
            recalibrated[model] = recalibrate_layers(features, weights)
            self._sow(model, recalibrated[model], "search")
        return recalibrated

    def responses(self, exemplar: Exemplar, search: Features) -> Responses:
        """Response maps of all layers: cross-correlations of exemplar and search features, times their factors."""
        responses: Responses = {}
        for model, features in search.items():
            responses[model] = {
                layer: factor * correlate(exemplar.features[model][layer], features[layer])
                for layer, factor in zip(self.config.layers(model), self.config.factors(model), strict=True)
            }
            self._sow(model, responses[model], "response")
        return responses

    def _channel_weights(self, model: Model, features: dict[Layer, Array]) -> dict[Layer, Array]:
        """SE weights from the channel means of features; none where `model` has no SE-blocks in use."""
        return getattr(self, f"{model}_se")(features) if uses_se(self.contents, self.config, model) else {}

    def _sow(self, model: Model, by_layer: dict[Layer, Array], stage: str) -> None:
        for layer, maps in by_layer.items():
            self.sow("intermediates", f"{model}_{layer}_{stage}", maps)


def as_exemplar(features: Features, weights: ChannelWeights, config: Config) -> Exemplar:
    """Exemplar from features before any SE-block and from the channel weights that these features set.

    Both are at `Config.exemplar_factors`. Where search features share the exemplar's weights, they share those at
    factor 1.
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
    """Features of each layer times their channel weights; unchanged where there are no weights."""
    return {layer: recalibrate(maps, weights[layer]) if weights else maps for layer, maps in features.items()}


def equalise_energy(exemplars: Float[Array, "factors h w c"]) -> Float[Array, "factors h w c"]:
    """Exemplars `z_f |z_1| / |z_f|`, all of the energy that factor 1 has, so that the best response means the best fit.

    Without that, features of a larger crop would differ in energy by more than those of one scale step differ in fit.
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
    """Response map of each scale: one exemplar over several search regions, or several exemplars over one region.

    Args:
      exemplars: features of the exemplar at each factor.
      search: features of the search regions.
      by: the cross-correlation.
    """
    maps = jax.vmap(by, in_axes=(0, None))(exemplars, search)
    return maps.reshape(-1, *maps.shape[2:])
