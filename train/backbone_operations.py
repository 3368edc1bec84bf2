"""Operations of a backbone in training: on CPUs such as have quick gradients there.

XLA's own gradients of convolutions and of maxima over windows take CPUs several times as long as those here; on
accelerators XLA's own are best.
"""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array

from mfst_jax.fast.backbones import max_pool
from mfst_jax.fast.toom_cook import F_4_3, F_6_5
from mfst_jax.train import stem_gradients, toom_cook_gradients

SCHEMES = {3: F_4_3, 5: F_6_5}
"""Toom-Cook schemes by the number of taps."""


def operations() -> dict[str, Callable[..., Any]]:
    """Fields `convolve` and `pool` of the backbones' modules, for the default backend."""
    if jax.default_backend() == "cpu":
        return {"convolve": convolve, "pool": max_pool}
    return {}


def convolve(maps: Array, kernel: Array, strides: tuple[int, int], padding: Any, **options: Any) -> Array:
    """Convolution, called as the backbones' modules call `lax.conv_general_dilated`.

    Kernels are square, nothing is padded, and the layouts are NHWC and HWIO. At a stride it is conv1.
    """
    del padding, options  # there is no padding, and the shapes tell the number of groups
    if strides == (1, 1):
        return toom_cook_gradients.convolve(SCHEMES[len(kernel)], maps, kernel)
    return stem_gradients.convolve(maps, kernel)
