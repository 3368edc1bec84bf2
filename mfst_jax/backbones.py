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

from mfst_jax.config import LowerLayer
from mfst_jax.params import AlexNetVariant, Contents

LayerFeatures = dict[str, Float[Array, "n _ _ _"]]
Operation = Callable[..., Array]
"""A convolution, called as Flax calls `lax.conv_general_dilated`, or a max pool. Training brings its own."""

BATCH_NORM_EPSILON = 1e-6
BATCH_NORM_MOMENTUM = 0.95
"""Decay of BN's running statistics, in training."""
CHANNELS = {
    "siamfc": (96, 256, 384, 384, 256),
    "torchvision": (64, 192, 384, 256, 256),
    "caffe": (96, 256, 384, 384, 256),
}
"""Numbers of filters of conv1 to conv5."""
GROUPS = {
    "siamfc": (1, 2, 1, 2, 2),
    "torchvision": (1, 1, 1, 1, 1),
    "caffe": (1, 2, 1, 2, 2),
}
"""Numbers of groups of conv1 to conv5."""
SIDES = (11, 5, 3, 3, 3)
"""Sides of the filters of conv1 to conv5, in cells."""

IMAGENET_MEAN = np.array([[[[0.485, 0.456, 0.406]]]], np.float32)
IMAGENET_STD = np.array([[[[0.229, 0.224, 0.225]]]], np.float32)
"""Mean and deviation by which torchvision's AlexNet was trained to have its images normalised, for RGB in 0..1."""
LUMINANCE = np.array([[[[0.2989, 0.587, 0.114]]]], np.float32)
"""Weights of R, G and B in grey (ITU-R BT.601, as in MATLAB's rgb2gray)."""


def convolve_by_group(lhs: Array, rhs: Array, *args: Any, feature_group_count: int, **kwargs: Any) -> Array:
    """Convolution with its groups one after the other: XLA's grouped convolution is slow on CPUs.

    The signature is that of `lax.conv_general_dilated`.
    """
    convolve = partial(lax.conv_general_dilated, **kwargs)
    inputs = jnp.split(lhs, feature_group_count, axis=-1)
    kernels = jnp.split(rhs, feature_group_count, axis=-1)
    return jnp.concatenate([convolve(x, k, *args) for x, k in zip(inputs, kernels, strict=True)], axis=-1)


def max_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """Max pooling over 3 x 3 cells at a stride of 2."""
    return nn.max_pool(x, (3, 3), strides=(2, 2))


class SiamFC(nn.Module):
    """Backbone S: SiamFC's AlexNet (Bertinetto et al. 2016, table 1), without subtraction of a mean.

    BN and ReLU follow conv1 to conv4; conv5 has a bias and neither. conv2, conv4 and conv5 have two groups.

    Attributes:
      bias: Whether conv1 to conv4 have biases too: BN makes them redundant, but weights of other programs may have
        them.
      grey: Whether conv1 sees the images in grey (SiamFC's second published network).
      training: Whether BN uses the statistics of the batch and updates the running ones, instead of using the running
        ones.
      convolve: The convolution to compute with.
      pool: The max pool to compute with.
    """

    bias: bool = False
    grey: bool = False
    training: bool = False
    convolve: Operation = convolve_by_group
    pool: Operation = max_pool

    @nn.compact
    def __call__(self, images: Float[Array, "n side side 3"]) -> LayerFeatures:
        """Features of conv3, conv4 and conv5 by name, from RGB images in 0..255."""
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
    """Module of the backbone S for weights of these contents.

    Args:
      contents: which network S is, and whether it has biases and sees grey.
      training: as `SiamFC.training`.
      **operations: `convolve` and `pool`, where others are wanted.
    """
    if contents.siamfc_variant == "alexnet":
        return AlexNet("torchvision", last_relu=False, **operations)
    return SiamFC(contents.siamfc_bias, contents.siamfc_grey, training, **operations)


class AlexNet(nn.Module):
    """Backbone A: AlexNet's five convolutions with conv1 at stride 2 and all padding dropped.

    Attributes:
      variant: `torchvision` normalises the image as on ImageNet. `caffe` takes it raw, has two groups in conv2, conv4
        and conv5, and local response normalisation before each pool (the authors' code).
      last_relu: Whether ReLU follows conv5, as it follows every other convolution. Not where this is the network of S,
        whose conv5 is then used as SiamFC's.
      convolve: The convolution to compute with.
      pool: The max pool to compute with.
      below: Layers below conv3 whose features are returned too.
    """

    variant: AlexNetVariant
    last_relu: bool = True
    convolve: Operation = convolve_by_group
    pool: Operation = max_pool
    below: tuple[LowerLayer, ...] = ()

    @nn.compact
    def __call__(self, images: Float[Array, "n side side 3"]) -> LayerFeatures:
        """Features of conv3, conv4, conv5 and the layers `below` by name, from RGB images in 0..255."""
        conv1, conv2, conv3, conv4, conv5 = CHANNELS[self.variant]
        caffe = self.variant == "caffe"
        groups = 2 if caffe else 1
        normalise = local_response_norm if caffe else lambda x: x

        # Sec. IV-A a): the stride is changed so that features are of the sizes that those of S have
        conv = partial(_conv, convolve=self.convolve)
        x = images if caffe else (images / 255 - IMAGENET_MEAN) / IMAGENET_STD
        x = nn.relu(conv(conv1, 11, "conv1", strides=2)(x))
        x = self.pool(normalise(x))
        features: LayerFeatures = dict.fromkeys(self.below, x)
        x = nn.relu(conv(conv2, 5, "conv2", groups=groups)(x))
        x = features["conv3"] = nn.relu(conv(conv3, 3, "conv3")(self.pool(normalise(x))))
        x = features["conv4"] = nn.relu(conv(conv4, 3, "conv4", groups=groups)(x))
        x = conv(conv5, 3, "conv5", groups=groups)(x)
        features["conv5"] = nn.relu(x) if self.last_relu else x
        return features


def local_response_norm(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Local response normalisation, `x / (1 + 2e-5 s)**0.75`, s the sum of squares over the five nearest channels.

    Source: Krizhevsky et al. 2012, section 3.3, with the constants of Caffe's AlexNet.
    """
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
