"""`Params`, the weights as a pytree that knows what it holds, and the configuration that follows from them."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import jax

from mfst_jax.config import MODELS, NETWORK_FACTORS, Config, Model, from_dict, override, to_dict
from mfst_jax.errors import InputError
from mfst_jax.presets import (
    ADAPTIVE,
    ADAPTIVE_ALEXNET,
    ADAPTIVE_CONV5,
    AUTHORS,
    PRESETS,
    SIAMFC,
    Preset,
)
from mfst_jax.pytrees import register_for_export, repr_changes

AlexNetVariant = Literal["torchvision", "caffe"]
SiamFCVariant = Literal["siamfc", "alexnet"]
"""Networks that S may be: SiamFC's own, with BN and groups, or torchvision's AlexNet, whose conv5 then has no ReLU."""


@dataclass(frozen=True)
class Contents:
    """Description of a set of weights. It is static under `jit`: two sets with equal contents share a compilation.

    Attributes:
      siamfc: Whether the backbone S is there.
      alexnet: Variant of the backbone A; None where it is not there.
      siamfc_se: Whether the SE-blocks of S are there.
      alexnet_se: Whether the SE-blocks of A are there.
      siamfc_bias: Whether conv1 to conv4 of S have biases before BN, as in the files of some other programs.
      siamfc_grey: Whether S sees grey images: its conv1 has one input channel.
      siamfc_variant: Network that S is.
      config: Configuration that the weights recommend; None where they recommend none.
    """

    siamfc: bool
    alexnet: AlexNetVariant | None
    siamfc_se: bool = False
    alexnet_se: bool = False
    siamfc_bias: bool = False
    siamfc_grey: bool = False
    siamfc_variant: SiamFCVariant = "siamfc"
    config: Config | None = None

    __repr__ = repr_changes

    def __post_init__(self):
        if not self.siamfc and self.alexnet is None:
            raise InputError("weights: expected a SiamFC backbone, an AlexNet or both, found neither")

    def holds(self, model: Model) -> bool:
        """Whether the backbone of `model` is there."""
        return self.siamfc if model == "siamfc" else self.alexnet is not None

    def holds_se(self, model: Model) -> bool:
        """Whether the SE-blocks of `model` are there."""
        return self.siamfc_se if model == "siamfc" else self.alexnet_se

    def to_json(self) -> dict[str, Any]:
        """Contents as plain JSON values; `from_json` is the inverse."""
        return vars(self) | {"config": None if self.config is None else to_dict(self.config)}

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Contents":
        """Contents from the JSON values that `to_json` wrote."""
        config = values["config"]
        return Contents(**values | {"config": None if config is None else from_dict(config)})

    def describe(self) -> str:
        """Contents in words, for messages: `SiamFC + SE, AlexNet (torchvision)`."""
        kind = {"siamfc": "SiamFC (grey)" if self.siamfc_grey else "SiamFC", "alexnet": "SiamFC (AlexNet's layers)"}
        parts = [(kind[self.siamfc_variant], self.siamfc_se)] * self.siamfc
        parts += [(f"AlexNet ({self.alexnet})", self.alexnet_se)] * (self.alexnet is not None)
        return ", ".join(name + " + SE" * se for name, se in parts)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Params:
    """Weights of the network: the Flax variables of `model.MFST`, float32, and their description as static metadata.

    A pytree: `jax.tree.map`, `jax.grad`, `jax.device_put` and optimisers see the arrays alone.

    Attributes:
      variables: The arrays, `{"params": ..., "batch_stats": ...}`, in the tree that `MFST.init` makes.
      contents: What the weights hold.
    """

    variables: dict[str, Any]
    contents: Contents = dataclasses.field(metadata={"static": True})

    def __repr__(self) -> str:
        return f"Params({self.contents.describe()})"


register_for_export(
    Params,
    to_json=lambda static: [contents.to_json() for contents in static],
    from_json=lambda values: tuple(map(Contents.from_json, values)),
)


def check_plain(params: Any) -> Params:
    """Weights that a caller hands in, checked to be plain ones: neither prepared nor their name or path.

    Raises:
      InputError: something else.
    """
    if not isinstance(params, Params):
        kind = type(params).__name__
        raise InputError(f"params: expected plain weights, as mfst_jax.load returns them, found {kind}")
    return params


def implied_config(contents: Contents) -> Config:
    """Configuration that weights imply: the one that they recommend, or else the preset for what they hold.

    Both backbones imply ADAPTIVE and A alone ADAPTIVE_ALEXNET, which learn the target as it is tracked and look around
    where it is lost (docs/choices.md). S beside Caffe's AlexNet, which only the authors' checkpoints hold, implies
    AUTHORS, and an S of AlexNet's network beside A, as the built-in weights hold it, ADAPTIVE_CONV5.
    """
    if contents.config is not None:
        return contents.config
    if contents.siamfc and contents.alexnet is not None:
        if contents.siamfc_variant == "alexnet":
            return ADAPTIVE_CONV5
        return AUTHORS if contents.alexnet == "caffe" else ADAPTIVE
    if contents.alexnet is not None:
        return ADAPTIVE_ALEXNET
    return SIAMFC


def resolve_config(contents: Contents, config: Config | None) -> Config:
    """Configuration to track with, checked against the weights: `config`, or what they imply where it is None.

    Where an S of AlexNet's network is in use, and the configuration leaves its response factors open, they are set.

    Raises:
      InputError: it is no `Config`, or asks for what the weights lack.
    """
    config = implied_config(contents) if config is None else config
    if not isinstance(config, Config):
        raise InputError(f"config: expected a Config such as mfst_jax.PAPER, found {config!r:.80}")
    for model in config.models:
        if not contents.holds(model):
            raise InputError(
                f"config.models: expected only what the weights hold ({contents.describe()}), found {model!r}; "
                "the built-in weights hold both backbones, and so do 'paper' (mfst weights get paper)"
            )
        if config.se and not contents.holds_se(model):
            raise InputError(
                f"config.se: expected weights with SE-blocks for {model!r}, found {contents.describe()}; "
                "se=None uses SE-blocks only where there are some"
            )
    return _with_factors(contents, config)


def _with_factors(contents: Contents, config: Config) -> Config:
    """Configuration with the response factors for the network that S is, where it leaves them open."""
    if config.siamfc_factors is None and "siamfc" in config.models and contents.siamfc_variant == "alexnet":
        return _with_factors_of_alexnet(config)
    return config


@lru_cache  # it takes a tenth of a millisecond, and each step that is given the configuration asks for it
def _with_factors_of_alexnet(config: Config) -> Config:
    return dataclasses.replace(config, siamfc_factors=NETWORK_FACTORS["alexnet"])


def choose_config(contents: Contents, preset: Preset | None, settings: Iterable[str]) -> Config:
    """Configuration of a command line: a preset, or what the weights imply, with `key=value` settings on top.

    Raises:
      InputError: as `config.override` and `resolve_config` do.
    """
    start = implied_config(contents) if preset is None else PRESETS[preset]
    return resolve_config(contents, override(start, settings))


def preset_of(contents: Contents, config: Config | None = None) -> Preset | None:
    """Name of the preset that a configuration for weights equals, resolved or not; None where it equals none.

    Args:
      contents: of the weights.
      config: the configuration; None for what the weights imply.
    """
    resolved = _with_factors(contents, implied_config(contents) if config is None else config)
    return next((name for name, preset in PRESETS.items() if _with_factors(contents, preset) == resolved), None)


def contents_for(config: Config, alexnet: AlexNetVariant = "torchvision") -> Contents:
    """Contents of weights with everything that a configuration can use: its models, with SE-blocks unless it has none.

    Args:
      config: the configuration.
      alexnet: the variant of the backbone A, if it is in use.
    """
    siamfc, has_alexnet = (model in config.models for model in MODELS)
    se = config.se is not False
    return Contents(siamfc, alexnet if has_alexnet else None, siamfc and se, has_alexnet and se)


def uses_se(contents: Contents, config: Config, model: Model) -> bool:
    """Whether the features of `model` are recalibrated under a resolved `config`."""
    return contents.holds_se(model) if config.se is None else config.se
