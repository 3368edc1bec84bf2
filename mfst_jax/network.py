"""What the tracker asks of a network, and which of the two answers: the Flax modules or the compiled path."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from mfst_jax.config import Config
from mfst_jax.fast.compiled import Compiled
from mfst_jax.fast.network import CompiledNetwork
from mfst_jax.model import MFST, Exemplar, Responses
from mfst_jax.params import Params
from mfst_jax.score import window_energy

Energies = Responses


@runtime_checkable
class Network(Protocol):
    """The backbones, SE-blocks and correlations that a resolved configuration uses."""

    def exemplar(self, image: Float[Array, "127 127 3"]) -> Exemplar:
        """The target's recalibrated features, to be matched with every later search region."""
        ...

    def match(self, exemplar: Exemplar, images: Float[Array, "n 255 255 3"]) -> tuple[Responses, Energies]:
        """Each layer's response maps over the search regions, and what their windows hold (`score.window_energy`)."""
        ...


def bind(weights: Params | Compiled, config: Config) -> Network:
    """The network of these weights. The one place where plain and compiled weights part."""
    return CompiledNetwork(weights, config) if isinstance(weights, Compiled) else _FlaxNetwork(weights, config)


@dataclass(frozen=True)
class _FlaxNetwork:
    """`MFST` itself: the reference."""

    params: Params
    config: Config

    def exemplar(self, image: Float[Array, "127 127 3"]) -> Exemplar:
        return self._apply("exemplar", image)

    def match(self, exemplar: Exemplar, images: Float[Array, "n 255 255 3"]) -> tuple[Responses, Energies]:
        search = self._apply("search", exemplar, images)
        energies: Energies = {
            model: {
                layer: window_energy(maps, exemplar.features[model][layer].shape[0]) for layer, maps in by_layer.items()
            }
            for model, by_layer in search.items()
        }
        return self._apply("responses", exemplar, search), energies

    def _apply(self, method: str, *arguments: Any) -> Any:
        return MFST(self.params.contents, self.config).apply(self.params.variables, *arguments, method=method)
