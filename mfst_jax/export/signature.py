"""What goes into an exported tracker and comes out of it: the arrays of a state by name, and what it says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import jax

from mfst_jax import checkpoints
from mfst_jax.checkpoints.known_weights import KNOWN, PUBLISHED, is_shadowed
from mfst_jax.config import Config, to_dict
from mfst_jax.correlation_filter import GEOMETRIES
from mfst_jax.model import Exemplar
from mfst_jax.params import Contents, Params, preset_of, uses_se
from mfst_jax.state import State
from mfst_jax.version import __version__

T = TypeVar("T")
FORMAT = 2
"""Version of what is exported. It changes whenever a program written for the last one would read it wrongly."""
SIDES = {"conv3": 10, "conv4": 8, "conv5": 6}
"""Cells on a side of the exemplar's features."""


@dataclass(frozen=True)
class Array:
    """Array of a state: its shape and its NumPy type."""

    shape: tuple[int, ...]
    dtype: str = "float32"


_ARRAYS = {
    "centre": Array((2,)),
    "size": Array((2,)),
    "scale": Array(()),
    "fill": Array((3,)),
    "searches_centre": Array((), "bool"),
    "background": Array(()),
    "lost_frames": Array((), "int32"),
}
_CONVOLUTIONS = {"pool1": "conv1"}
"""Convolutions whose channels layers of another name have."""


def state_arrays(params: Params, config: Config) -> dict[str, Array]:
    """Arrays of the states of a configuration by name, such as `exemplar.alexnet.conv5`."""
    arrays = dict(_ARRAYS)
    for model in config.models:
        layers = params.variables["params"][model]
        channels = {layer: layers[layer]["kernel"].shape[-1] for layer in config.layers(model)}
        arrays |= {f"exemplar.{model}.{layer}": Array((SIDES[layer], SIDES[layer], c)) for layer, c in channels.items()}
        if shares_weights(params.contents, config, model):
            arrays |= {f"channel_weights.{model}.{layer}": Array((c,)) for layer, c in channels.items()}
    if config.recent_share:
        arrays |= as_recent(arrays)
    if config.filter_share:
        for layer, geometry in GEOMETRIES.items():
            kernel = params.variables["params"]["alexnet"][_CONVOLUTIONS.get(layer, layer)]["kernel"]
            arrays[f"templates.{layer}"] = Array((geometry.cells, geometry.cells, kernel.shape[-1]))
    return arrays


def as_recent(arrays: Mapping[str, T]) -> dict[str, T]:
    """What is given for the exemplar, by the names of the recent features, which have its shapes and begin as it is."""
    part = "exemplar."
    return {f"recent.{name.removeprefix(part)}": each for name, each in arrays.items() if name.startswith(part)}


def shares_weights(contents: Contents, config: Config, model: Any) -> bool:
    """Whether search features take the exemplar's channel weights, which are then in the state."""
    return config.se_statistics == "exemplar" and uses_se(contents, config, model)


def to_arrays(state: State) -> dict[str, jax.Array]:
    """Arrays of a state by name. The frames' size is among them, as `frame_size`."""
    arrays = {name: getattr(state, name) for name in (*_ARRAYS, "frame_size")}
    arrays |= {f"templates.{layer}": template for layer, template in state.templates.items()}
    for part, by_model in (
        ("exemplar", state.exemplar.features),
        ("channel_weights", state.exemplar.channel_weights),
        ("recent", state.recent),
    ):
        arrays |= {f"{part}.{model}.{layer}": x for model, layers in by_model.items() for layer, x in layers.items()}
    return arrays


def from_arrays(
    arrays: Mapping[str, jax.Array], config: Config, contents: Contents, frame_shape: tuple[int, ...]
) -> State:
    """State of the arrays that `to_arrays` names."""
    parts: dict[str, dict[Any, dict[Any, jax.Array]]] = {"exemplar": {}, "channel_weights": {}, "recent": {}}
    templates: dict[Any, jax.Array] = {}
    for name, array in arrays.items():
        match name.split("."):
            case part, model, layer:
                parts[part].setdefault(model, {})[layer] = array
            case _, layer:
                templates[layer] = array
    exemplar = Exemplar(parts["exemplar"], parts["channel_weights"])
    plain = {name: arrays[name] for name in (*_ARRAYS, "frame_size")}
    return State(
        exemplar, parts["recent"], templates, **plain, config=config, contents=contents, frame_shape=frame_shape
    )


def metadata(weights: str | None, params: Params, config: Config) -> dict[str, Any]:
    """What a file says of itself, as JSON values: its format, who made it, of what, and under which licence.

    Args:
      weights: as the weights were asked for.
      params: the weights.
      config: the configuration.
    """
    return {
        "format": FORMAT,
        "mfst_jax": __version__,
        "preset": preset_of(params.contents, config),
        "config": to_dict(config),
        "weights": params.contents.describe(),
        "provenance": checkpoints.provenance(weights),
        "licence": licence(weights),
    }


def licence(weights: str | None) -> str:
    """Terms of weights, as far as they are known: of those that have a name, by what they are put together from.

    What lies at a path of such a name is somebody else's.
    """
    name = "builtin" if weights is None else str(weights)
    if name not in KNOWN or is_shadowed(weights):
        return "not known: that of the weights it was made from"
    sources, own = KNOWN[name].sources or ("alexnet",), KNOWN[name].terms
    published = [f"{PUBLISHED[each].about}: {PUBLISHED[each].terms}" for each in sources]
    return "; ".join([*published, own] if own else published)
