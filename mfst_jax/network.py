"""The network as the tracker sees it, and the one place that chooses between the Flax modules and the prepared path."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from mfst_jax.config import Config
from mfst_jax.fast.network import PreparedNetwork
from mfst_jax.fast.prepared import AnyParams, PreparedParams
from mfst_jax.model import MFST, Exemplar, Features, Responses
from mfst_jax.params import Params


@runtime_checkable
class Network(Protocol):
    """Interface of a network: the backbones, SE-blocks and correlations that a resolved configuration uses."""

    def exemplar(self, image: Float[Array, "127 127 3"]) -> Exemplar:
        """Exemplar from the target's image, RGB in 0..255."""
        ...

    def match(
        self, exemplar: Exemplar, images: Float[Array, "n side side 3"], *, seldom: bool = False
    ) -> tuple[Responses, Features]:
        """Response maps of each layer in each search region, and the recalibrated features that they come from.

        What `seldom` runs may be made to compile sooner, and to take longer.
        """
        ...


def bind(weights: AnyParams, config: Config) -> Network:
    """Network of these weights: the prepared path for `PreparedParams`, the Flax modules for plain `Params`."""
    return PreparedNetwork(weights, config) if isinstance(weights, PreparedParams) else _FlaxNetwork(weights, config)


@dataclass(frozen=True)
class _FlaxNetwork:
    """The network by `MFST` itself: the reference."""

    params: Params
    config: Config

    def exemplar(self, image: Float[Array, "127 127 3"]) -> Exemplar:
        return self._apply("exemplar", image)

    def match(
        self, exemplar: Exemplar, images: Float[Array, "n side side 3"], *, seldom: bool = False
    ) -> tuple[Responses, Features]:
        del seldom
        search = self._apply("search", exemplar, images)
        return self._apply("responses", exemplar, search), search

    def _apply(self, method: str, *arguments: Any) -> Any:
        return MFST(self.params.contents, self.config).apply(self.params.variables, *arguments, method=method)
