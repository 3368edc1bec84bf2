"""A network made up for tests of what is built around one: colours in the place of features. It compiles soonest.

Its maps have the sides and strides of AlexNet's, so that the tracker works with it as with any other.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfst_jax.config import Config
from mfst_jax.correlation import cross_correlate
from mfst_jax.model import Exemplar, Features, Responses
from mfst_jax.params import Contents, Params

NO_WEIGHTS = Params({}, Contents(siamfc=False, alexnet="torchvision"))
LAYOUT = {"pool1": (4, 4), "conv3": (24, 8), "conv4": (32, 8), "conv5": (40, 8)}
"""First pixel that the first cell of a layer sees, and its stride; a cell sees 7 x 7 pixels."""


class Colours(NamedTuple):
    """Network whose features are the mean colours around each cell, less grey and of norm 1.

    So nothing resembles the exemplar more than the target itself.
    """

    config: Config

    def exemplar(self, image: Float[Array, "127 127 3"]) -> Exemplar:
        return Exemplar({"alexnet": {layer: maps[0] for layer, maps in self._features(image[None]).items()}}, {})

    def match(
        self, exemplar: Exemplar, images: Float[Array, "n side side 3"], *, seldom: bool = False
    ) -> tuple[Responses, Features]:
        search, layers = self._features(images), self.config.layers("alexnet")
        responses = {
            layer: factor * cross_correlate(exemplar.features["alexnet"][layer], search[layer])
            for layer, factor in zip(layers, self.config.factors("alexnet"), strict=True)
        }
        lower = {layer: _cells(images, *LAYOUT[layer]) for layer in self.config.layers_below("alexnet")}
        return {"alexnet": responses}, {"alexnet": search | lower}

    def _features(self, images: Float[Array, "n side side 3"]) -> dict:
        return {layer: _cells(images, *LAYOUT[layer]) for layer in self.config.layers("alexnet")}


def _cells(images: Float[Array, "n side side 3"], first: int, stride: int) -> Float[Array, "n cells cells 3"]:
    """Maps of the mean colours of 7 x 7 pixels, of which the first begins at `first`."""
    inner = images[:, first:-first, first:-first]
    means = jax.lax.reduce_window(inner, 0.0, jax.lax.add, (1, 7, 7, 1), (1, stride, stride, 1), "VALID") / 49
    colours = means / 128 - 1
    return colours / (jnp.linalg.norm(colours, axis=-1, keepdims=True) + 1e-3)
