"""The two backbones as Flax modules: S (SiamFC's AlexNet) and A (AlexNet, in torchvision's and in Caffe's variant).

Both take float32 RGB images in 0..255, `[n, side, side, 3]`, and return the features of conv3, conv4, conv5 by name.
Nothing is padded and the total stride is 8, so sides of 127 and 255 give maps of (10, 8, 6) and (26, 24, 22) cells.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.params import AlexNetVariant, Contents

LayerFeatures = dict[str, Float[Array, "n _ _ _"]]
Operation = Callable[..., Array]
"""A convolution, called as Flax calls `lax.conv_general_dilated`, or a max pool. Training has others of its own."""

BATCH_NORM_EPSILON = 1e-6
BATCH_NORM_MOMENTUM = 0.95
"""Of the running statistics, in training."""
CHANNELS = {
    "siamfc": (96, 256, 384, 384, 256),
    "torchvision": (64, 192, 384, 256, 256),
    "caffe": (96, 256, 384, 384, 256),
}
"""Filters of conv1 to conv5."""

IMAGENET_MEAN = np.array([[[[0.485, 0.456, 0.406]]]], np.float32)
IMAGENET_STD = np.array([[[[0.229, 0.224, 0.225]]]], np.float32)
"""What torchvision's AlexNet was trained behind, for RGB in 0..1."""
LUMINANCE = np.array([[[[0.2989, 0.587, 0.114]]]], np.float32)
"""Grey from RGB (ITU-R BT.601, as MATLAB's rgb2gray has it)."""


def convolve_by_group(lhs: Array, rhs: Array, *args: Any, feature_group_count: int, **kwargs: Any) -> Array:
    """`lax.conv_general_dilated` with the groups one after the other: XLA's grouped convolution is slow on CPUs."""
    convolve = partial(lax.conv_general_dilated, **kwargs)
    inputs = jnp.split(lhs, feature_group_count, axis=-1)
    kernels = jnp.split(rhs, feature_group_count, axis=-1)
    return jnp.concatenate([convolve(x, k, *args) for x, k in zip(inputs, kernels, strict=True)], axis=-1)


def max_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """The largest of each 3 x 3 cells at a stride of 2."""
    return nn.max_pool(x, (3, 3), strides=(2, 2))


class SiamFC(nn.Module):
    """S: the backbone of SiamFC (Bertinetto et al. 2016, table 1), no mean subtracted.

    conv1-4 have BN and ReLU behind them; conv5 has a bias and neither. conv2, 4 and 5 have two groups.

    Attributes:
      bias: Whether conv1-4 have biases too: BN makes them redundant, but weights of other programs may have them.
      grey: Whether conv1 sees the images in grey (SiamFC's second published network).
      training: Whether BN goes by the batch's own statistics and moves the running ones, instead of going by those.
    """

    bias: bool = False
    grey: bool = False
    training: bool = False
    convolve: Operation = convolve_by_group
    pool: Operation = max_pool

    @nn.compact
    def __call__(self, images: Float[Array, "n side side 3"]) -> LayerFeatures:
        conv1, conv2, conv3, conv4, conv5 = CHANNELS["siamfc"]
        conv = partial(_conv, use_bias=self.bias, convolve=self.convolve)

        def norm_relu(x: Array, name: str) -> Array:
            running = not self.training
            bn = nn.BatchNorm(running, momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=name)
            return nn.relu(bn(x))

        x = jnp.sum(images * LUMINANCE, axis=-1, keepdims=True) if self.grey else images
        x = norm_relu(conv(conv1, 11, "conv1", strides=2)(x), "bn1")
        x = norm_relu(conv(conv2, 5, "conv2", groups=2)(self.pool(x)), "bn2")
        features = {}
        x = features["conv3"] = norm_relu(conv(conv3, 3, "conv3")(self.pool(x)), "bn3")
        x = features["conv4"] = norm_relu(conv(conv4, 3, "conv4", groups=2)(x), "bn4")
        features["conv5"] = conv(conv5, 3, "conv5", groups=2, use_bias=True)(x)
        return features


def siamfc(contents: Contents, *, training: bool = False, **operations: Any) -> nn.Module:
    """The backbone S of these contents, for inference or `training`, with other `operations` where some are given."""
    if contents.siamfc_variant == "alexnet":
        return AlexNet("torchvision", last_relu=False, **operations)
    return SiamFC(contents.siamfc_bias, contents.siamfc_grey, training, **operations)


class AlexNet(nn.Module):
    """A: AlexNet's five convolutions with conv1 at stride 2 and all padding dropped (paper section IV-A a).

    `torchvision` normalises the image as on ImageNet; `caffe` takes it raw, has two groups in conv2, 4 and 5 and local
    response normalisation before each pool (the authors' code). ReLU follows every convolution, conv5 too.

    Attributes:
      last_relu: Whether ReLU follows conv5 too; not where this is the network of S, whose conv5 is as SiamFC's.
    """

    variant: AlexNetVariant
    last_relu: bool = True
    convolve: Operation = convolve_by_group
    pool: Operation = max_pool

    @nn.compact
    def __call__(self, images: Float[Array, "n side side 3"]) -> LayerFeatures:
        conv1, conv2, conv3, conv4, conv5 = CHANNELS[self.variant]
        caffe = self.variant == "caffe"
        groups = 2 if caffe else 1
        normalise = local_response_norm if caffe else lambda x: x

        conv = partial(_conv, convolve=self.convolve)
        x = images if caffe else (images / 255 - IMAGENET_MEAN) / IMAGENET_STD
        x = nn.relu(conv(conv1, 11, "conv1", strides=2)(x))
        x = nn.relu(conv(conv2, 5, "conv2", groups=groups)(self.pool(normalise(x))))
        features = {}
        x = features["conv3"] = nn.relu(conv(conv3, 3, "conv3")(self.pool(normalise(x))))
        x = features["conv4"] = nn.relu(conv(conv4, 3, "conv4", groups=groups)(x))
        x = conv(conv5, 3, "conv5", groups=groups)(x)
        features["conv5"] = nn.relu(x) if self.last_relu else x
        return features


def local_response_norm(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """`x / (1 + 2e-5 s)**0.75`, `s` the sum of squares over the five channels around each (Krizhevsky et al. 2012)."""
    channels = x.shape[-1]
    squares = jnp.pad(jnp.square(x), ((0, 0), (0, 0), (0, 0), (2, 2)))
    total = sum(squares[..., shift : shift + channels] for shift in range(5))
    root = lax.rsqrt(1 + 2e-5 * total)
    return x * root * jnp.sqrt(root)  # d**-0.75 = d**-0.5 * d**-0.25


def _conv(
    features: int,
    side: int,
    name: str,
    *,
    convolve: Operation,
    strides: int = 1,
    groups: int = 1,
    use_bias: bool = True,
) -> nn.Conv:
    return nn.Conv(
        features,
        (side, side),
        strides=strides,
        padding="VALID",
        feature_group_count=groups,
        use_bias=use_bias,
        conv_general_dilated=convolve,
        name=name,
    )
