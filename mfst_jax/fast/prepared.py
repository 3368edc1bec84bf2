"""`PreparedParams`: weights folded and transformed once, for one configuration and one kind of device."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from mfst_jax.config import LAYERS, Config
from mfst_jax.fast.backbones import Method, transform
from mfst_jax.fast.folding import fold
from mfst_jax.params import Contents, Params, resolve_config, uses_se
from mfst_jax.pytrees import register_for_export


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
    """

    convolutions: dict[str, Any]
    se: dict[str, Any]
    contents: Contents = dataclasses.field(metadata={"static": True})
    method: Method = dataclasses.field(metadata={"static": True})

    def __repr__(self) -> str:
        return f"PreparedParams({self.contents.describe()}, config={self.contents.config!r}, method={self.method!r})"


AnyParams = Params | PreparedParams
"""Weights that the tracker takes: plain ones, on which the Flax modules run, or prepared ones."""

register_for_export(
    PreparedParams,
    to_json=lambda static: [static[0].to_json(), static[1]],
    from_json=lambda values: (Contents.from_json(values[0]), values[1]),
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
      platform: where it will run: "cpu", "gpu" or "tpu"; by default where JAX runs now.

    Returns:
      Weights that take the place of `params` in `init`, `step` and `track`.

    Raises:
      InputError: a configuration that asks for what the weights lack.
    """
    return prepare_for(params, config, method_for(platform or jax.default_backend()))


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
    for model in config.models:
        last = config.layers(model)[-1]
        names = ("conv1", "conv2", *LAYERS[: LAYERS.index(last) + 1])
        folded, inputs = fold(params, model), 3
        convolutions[model] = {}
        for name in names:
            convolutions[model][name] = jax.tree.map(jnp.asarray, transform(name, folded[name], inputs, method))
            inputs = folded[name][0].shape[-1]
        if uses_se(params.contents, config, model):
            blocks = params.variables["params"][f"{model}_se"]
            se[model] = {layer: blocks[layer] for layer in config.layers(model)}
    return PreparedParams(convolutions, se, dataclasses.replace(params.contents, config=config), method)
