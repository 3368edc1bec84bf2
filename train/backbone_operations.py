"""Operations of a backbone in training: on CPUs such as have quick gradients there.

XLA's own gradients of convolutions and of maxima over windows take CPUs several times as long as those here; on
accelerators XLA's own are best.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mfst_jax.fast.backbones import max_pool
from mfst_jax.fast.toom_cook import F_4_3, F_6_5
from mfst_jax.train import toom_cook_gradients

SCHEMES = {3: F_4_3, 5: F_6_5}
"""Toom-Cook schemes by the number of taps."""
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def operations() -> dict[str, Callable[..., Any]]:
    """Fields `convolve` and `pool` of the backbones' modules, for the default backend."""
    if jax.default_backend() == "cpu":
        return {"convolve": convolve, "pool": max_pool}
    return {}


def convolve(maps: Array, kernel: Array, strides: tuple[int, int], padding: Any, **options: Any) -> Array:
    """Convolution, called as the backbones' modules call `lax.conv_general_dilated`.

    Kernels are square, nothing is padded, and the layouts are NHWC and HWIO.
    """
    del padding, options  # there is no padding, and the shapes tell the number of groups
    if strides == (1, 1):
        return toom_cook_gradients.convolve(SCHEMES[len(kernel)], maps, kernel)
    return convolve_strided(strides[0], maps, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def convolve_strided(
    stride: int, images: Float[Array, "n h w i"], kernel: Float[Array, "taps taps i o"]
) -> Float[Array, "n _ _ o"]:
    """Convolution at a stride, nothing padded, whose kernel's gradient is a matrix product for each of its rows."""
    return lax.conv_general_dilated(images, kernel, (stride, stride), "VALID", dimension_numbers=DIMENSIONS)


def _forward(stride: int, images: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return convolve_strided(stride, images, kernel), (images, kernel)


def _backward(stride: int, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    images, kernel = kept
    taps, outputs = len(kernel), kernel.shape[3]
    _, transposed = jax.vjp(lambda x: convolve_strided.__wrapped__(stride, x, kernel), images)
    rows, flat = [], gradient.reshape(-1, outputs)
    for row in range(taps):
        seen = images[:, row : row + stride * gradient.shape[1] : stride][:, : gradient.shape[1]]
        columns = [
            seen[:, :, column : column + stride * gradient.shape[2] : stride][:, :, : gradient.shape[2]]
            for column in range(taps)
        ]
        patches = lax.optimization_barrier(jnp.concatenate(columns, axis=-1)).reshape(len(flat), -1)
        # XLA takes CPUs several times as long for a product over three axes as over one.
        rows.append(jnp.einsum("mp,mo->po", patches, flat).reshape(taps, -1, outputs))
    return *transposed(gradient), jnp.stack(rows)


convolve_strided.defvjp(_forward, _backward)
