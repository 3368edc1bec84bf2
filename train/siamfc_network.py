"""SiamFC's network in training on CPUs: `mfst_jax.backbones.SiamFC` on batches that share the products of convolutions.

Each batch has statistics of its own in BN, and moves the running ones after the batch before.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Array, Float

from mfst_jax.backbones import BATCH_NORM_MOMENTUM
from mfst_jax.fast.toom_cook import F_4_3, F_6_5
from mfst_jax.train import stem_gradients
from mfst_jax.train.batch_norm_gradients import norm_relu
from mfst_jax.train.responses import Features
from mfst_jax.train.toom_cook_gradients import convolve_batches

POOLED = ("bn1", "bn2")
"""Layers of BN that a max pool follows."""

Running = dict[str, dict[str, Array]]


def features(
    weights: Mapping[str, Any], running: Mapping[str, Any], batches: Sequence[Float[Array, "n _ _ 3"]]
) -> tuple[list[Features], Running]:
    """Features of conv3 to conv5 of batches, and BN's running statistics after them.

    Args:
      weights: parameters of the network by layer; conv1 to conv4 have no biases.
      running: BN's running statistics before.
      batches: square RGB images in 0..255, exemplars and search images for instance.
    """
    moved: Running = {}

    def normalise(maps: Sequence[Array], name: str) -> tuple[Array, ...]:
        scale, bias = weights[name]["scale"], weights[name]["bias"]
        found = [norm_relu(each, scale, bias, name in POOLED) for each in maps]
        moved[name] = dict(running[name])
        for _, (mean, variance) in found:
            for key, new in (("mean", mean), ("var", variance)):
                moved[name][key] = BATCH_NORM_MOMENTUM * moved[name][key] + (1 - BATCH_NORM_MOMENTUM) * new
        return tuple(each for each, _ in found)

    x = normalise([stem_gradients.convolve(images, weights["conv1"]["kernel"]) for images in batches], "bn1")
    x = normalise(convolve_batches(F_6_5, x, weights["conv2"]["kernel"]), "bn2")
    conv3 = normalise(convolve_batches(F_4_3, x, weights["conv3"]["kernel"]), "bn3")
    conv4 = normalise(convolve_batches(F_4_3, conv3, weights["conv4"]["kernel"]), "bn4")
    bias = weights["conv5"]["bias"].reshape(1, 1, 1, -1)
    conv5 = [maps + bias for maps in convolve_batches(F_4_3, conv4, weights["conv5"]["kernel"])]
    by_batch = zip(conv3, conv4, conv5, strict=True)
    return [{"conv3": third, "conv4": fourth, "conv5": fifth} for third, fourth, fifth in by_batch], moved
