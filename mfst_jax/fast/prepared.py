"""`PreparedParams`: weights folded and transformed once, for one configuration and one kind of device."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mfst_jax.config import LAYERS, MODELS, Config, Model
from mfst_jax.errors import InputError
from mfst_jax.fast.backbones import BELOW, Method, transform
from mfst_jax.fast.folding import Folded, fold
from mfst_jax.params import Contents, Params, check_plain, resolve_config, uses_se
from mfst_jax.pytrees import register_for_export

_PLATFORMS = ("cpu", "gpu", "cuda", "rocm", "tpu")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PreparedParams:
    """Weights prepared for inference: they take the place of `Params` and give the same results in less time.

    A pytree, like `Params`.

    Attributes:
      convolutions: `{model: {"conv1": (filters, bias), ...}}`, laid out for `method`.
      se: `{model: {layer: the SE-block's parameters}}`, for the models whose features are recalibrated.
      contents: Contents of the weights; the configuration that they recommend is the one that they were prepared for.
      method: How convolutions are computed.
      shared: Names of S's convolutions that are A's too, from conv1 on. They are in A's place alone and are computed
        once.
    """

    convolutions: dict[str, Any]
    se: dict[str, Any]
    contents: Contents = dataclasses.field(metadata={"static": True})
    method: Method = dataclasses.field(metadata={"static": True})
    shared: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})

    def __repr__(self) -> str:
        return f"PreparedParams({self.contents.describe()}, config={self.contents.config!r}, method={self.method!r})"


AnyParams = Params | PreparedParams
"""Weights that the tracker takes: plain ones, on which the Flax modules run, or prepared ones."""

register_for_export(
    PreparedParams,
    to_json=lambda static: [static[0].to_json(), static[1], list(static[2])],
    from_json=lambda values: (Contents.from_json(values[0]), values[1], tuple(values[2])),
)


def as_prepared(params: AnyParams, config: Config | None = None) -> PreparedParams:
    """Prepared weights: `params` itself where it is prepared already, else prepared for `config`.

    Raises:
      InputError: as `prepare` does.
    """
    return prepare(params, config) if isinstance(params, Params) else params


def prepare(params: Params, config: Config | None = None, *, platform: str | None = None) -> PreparedParams:
    """Folds and transforms weights for inference.

    Args:
      params: the weights, from `mfst_jax.load`.
      config: how to track, by default what the weights imply. What it does not use is left out.
      platform: where it will run: "cpu", "gpu" ("cuda" and "rocm" are the same) or "tpu"; by default where JAX runs
        now.

    Returns:
      Weights that take the place of `params` in `init`, `step` and `track`.

    Raises:
      InputError: weights that are prepared already, or none at all; a configuration that asks for what the weights
        lack; a platform of another name.
    """
    check_plain(params)
    here = jax.default_backend()
    if platform not in (None, here, *_PLATFORMS):
        raise InputError(f"platform: expected one of {', '.join(_PLATFORMS)}, found {platform!r:.40}")
    return prepare_for(params, config, method_for(platform or here))


def method_for(platform: str) -> Method:
    """Fastest way to compute on a platform; the one place that depends on it.

    XLA's convolutions are slow on CPUs, and the best on accelerators.
    """
    return "toom_cook" if platform == "cpu" else "direct"


def prepare_for(params: Params, config: Config | None, method: Method) -> PreparedParams:
    """Prepared weights as by `prepare`, for a given method."""
    config = resolve_config(params.contents, config)
    convolutions: dict[str, Any] = {}
    se: dict[str, Any] = {}
    folded = {model: _folded(params, config, model) for model in config.models}
    shared = _shared(folded)
    for model, layers in folded.items():
        convolutions[model] = _transformed(layers, method, without=shared if model == "siamfc" else ())
        if uses_se(params.contents, config, model):
            blocks = params.variables["params"][f"{model}_se"]
            se[model] = {layer: blocks[layer] for layer in config.layers(model)}
    return PreparedParams(convolutions, se, dataclasses.replace(params.contents, config=config), method, shared)


def prepare_below(params: Params, model: Model) -> PreparedParams:
    """conv1 and conv2 of one backbone alone, prepared for where JAX runs now, for `Backbones.pooled`."""
    method, folded = method_for(jax.default_backend()), fold(params, model)
    convolutions = _transformed({name: folded[name] for name in BELOW}, method)
    return PreparedParams({model: convolutions}, {}, params.contents, method)


def _transformed(layers: dict[str, Folded], method: Method, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Filters and biases of convolutions that follow one another, from conv1 on, but for those named `without`."""
    convolutions, inputs = {}, 3
    for name, layer in layers.items():
        if name not in without:
            convolutions[name] = jax.tree.map(jnp.asarray, transform(name, layer, inputs, method))
        inputs = layer[0].shape[-1]
    return convolutions


def _folded(params: Params, config: Config, model: Model) -> dict[str, Folded]:
    """Folded convolutions of a model, up to the last layer that is used."""
    folded = fold(params, model)
    last = LAYERS.index(config.layers(model)[-1])
    return {name: folded[name] for name in (*BELOW, *LAYERS[: last + 1])}


def _shared(folded: dict[Model, dict[str, Folded]]) -> tuple[str, ...]:
    """Names of the first convolutions that S and A have in common; none where they differ before conv3."""
    if set(folded) != set(MODELS):
        return ()
    of_s, of_a = folded["siamfc"], folded["alexnet"]
    alike = [name in of_a and all(map(np.array_equal, layer, of_a[name])) for name, layer in of_s.items()]
    count = alike.index(False) if False in alike else len(alike)
    # Without ReLU, S's conv5 is another layer than A's, whatever its filters.
    shared = tuple(name for name in [*of_s][:count] if name != "conv5")
    return shared if len(shared) > len(BELOW) else ()
