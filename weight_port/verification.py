"""Verification that two sets of weights are the same network: both run on the same images, layer by layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mfst_jax.backbones import AlexNet, siamfc
from mfst_jax.errors import InputError
from mfst_jax.params import Params
from mfst_jax.se_block import SEBlocks
from weight_port.conversion import merge
from weight_port.problems import SourceError
from weight_port.reading import Source, name_of, read_each

TOLERANCE = 1e-5
_IMAGES = (2, 127, 127, 3)


@dataclass(frozen=True)
class Verification:
    """Comparison of two networks.

    Attributes:
      differences: Largest difference of each layer's output, by `backbone/layer`, relative to the first network's
        largest output there.
      unmatched: Layers that only one of the two has, a line each.
    """

    differences: dict[str, float]
    unmatched: tuple[str, ...]

    def same(self, tolerance: float = TOLERANCE) -> bool:
        """Whether both have the same layers, and no difference is above `tolerance`."""
        return not self.unmatched and all(difference <= tolerance for difference in self.differences.values())


def verify(
    first: str | Path | Source, second: str | Path | Source, *, seed: int = 0, prefix: str | None = None
) -> Verification:
    """Comparison of two sources by the outputs of every layer on random images.

    The output of a SiamFC layer is taken after its BN; that of an SE-block is its channel weights.

    Args:
      first: one source.
      second: the other.
      seed: of the random images, 0 or more.
      prefix: which copy of the network to take, as for `weight_port.read`, in both sources or in the one that has it.

    Raises:
      SourceError, InputError: as `conversion.merge` does for either; or the seed is below 0.
    """
    if seed < 0:
        raise InputError(f"seed: expected 0 or more, found {seed}")
    names = name_of(first), name_of(second)
    sources, problems = read_each([first, second], prefix=prefix)
    if problems:
        raise SourceError(", ".join(names), problems)
    one, other = (_outputs(merge([source])[0], seed) for source in sources)
    unmatched = [f"{name}: only in {names[0]}" for name in one if name not in other]
    unmatched += [f"{name}: only in {names[1]}" for name in other if name not in one]
    differences: dict[str, float] = {}
    for name in one:
        if name not in other:
            continue
        if one[name].shape != other[name].shape:
            counts = [outputs[name].shape[-1] for outputs in (one, other)]
            unmatched.append(f"{name}: {counts[0]} channels in {names[0]}, {counts[1]} in {names[1]}")
            continue
        scale = float(np.abs(one[name]).max()) or 1.0
        differences[name] = float(np.abs(one[name] - other[name]).max()) / scale
    return Verification(differences, tuple(unmatched))


def _outputs(params: Params, seed: int) -> dict[str, np.ndarray]:
    """Output of every layer, by `backbone/layer`."""
    images = jnp.asarray(np.random.default_rng(seed).integers(0, 256, _IMAGES), jnp.float32)
    contents = params.contents
    outputs: dict[str, np.ndarray] = {}
    backbones: dict[str, tuple[nn.Module, bool]] = {}
    if contents.siamfc:
        backbones["siamfc"] = (siamfc(contents), contents.siamfc_se)
    if contents.alexnet is not None:
        backbones["alexnet"] = (AlexNet(contents.alexnet), contents.alexnet_se)
    for name, (module, se) in backbones.items():
        features, state = jax.jit(
            lambda variables, module=module: module.apply(
                variables, images, capture_intermediates=True, mutable=["intermediates"]
            )
        )(_branch(params, name))
        for layer, output in _layers(state["intermediates"]).items():
            outputs[f"{name}/{layer}"] = np.asarray(output)
        if se:
            weights: Any = SEBlocks().apply(_branch(params, f"{name}_se"), features)
            for layer in weights:
                outputs[f"{name}/SE {layer}"] = np.asarray(weights[layer])
    return outputs


def _branch(params: Params, branch: str) -> dict[str, Any]:
    return {kind: branches[branch] for kind, branches in params.variables.items() if branch in branches}


def _layers(intermediates: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs of conv1 to conv5, each after its BN where it has one."""
    return {
        f"conv{number}": intermediates.get(f"bn{number}", intermediates[f"conv{number}"])["__call__"][0]
        for number in range(1, 6)
    }
