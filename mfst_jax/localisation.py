"""Localisation: from response maps to a displacement, by upsampling, choice of the scale, Hann window and peak.

Maps are upsampled bicubically from 17 x 17 cells to 272 x 272 samples. A centre search has the middle of these maps
alone: 9 cells, 144 samples on a side.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mfst_jax.config import Config, Layer, Model, Upsampling

# Sec. IV-A b)
RESPONSE_SIZE = 17
"""Cells on a side of a response map."""
UPSAMPLING_FACTOR = 16
UPSAMPLED_SIZE = RESPONSE_SIZE * UPSAMPLING_FACTOR
CELL = 8
"""The backbones' total stride: pixels of the search crop between two cells of a response map."""


def upsample_layers(
    responses: Mapping[Model, Mapping[Layer, Float[Array, "regions n n"]]], config: Config
) -> dict[Model, Float[Array, "layers regions _ _"]]:
    """Upsampled response maps of each model, its layers in the order of `Config.layers`."""
    return {
        model: upsample(jnp.stack([by_layer[layer] for layer in config.layers(model)]), config.upsampling)
        for model, by_layer in responses.items()
    }


def upsample(responses: Float[Array, "*batch n n"], geometry: Upsampling) -> Float[Array, "*batch _ _"]:
    """Upsampled response maps: bicubic interpolation (Keys' kernel with a = -3/4) to 16 samples a cell.

    It is one constant matrix on either side. `half_pixel` keeps the area: sample i lies at cell `(i + 1/2) / 16 - 1/2`.
    `corners` and `tf1` put the first and the last sample on the first and the last cell: sample i lies at cell
    `16 i / 271`. `tf1` also rounds the distance between cells to 1/1024, as TensorFlow's table of weights does. Beyond
    the map its edge is repeated.
    """
    matrix = jnp.asarray(upsampling_matrix(geometry, responses.shape[-1]), responses.dtype)
    return matrix @ responses @ matrix.T


@cache
def upsampling_matrix(geometry: Upsampling, cells: int = RESPONSE_SIZE) -> np.ndarray:
    """Matrix [16 cells, cells], float64, whose row i holds the weights of the cells around sample i."""
    count = UPSAMPLING_FACTOR * cells
    sample = np.arange(count)
    if geometry == "half_pixel":
        position = (sample + 0.5) / UPSAMPLING_FACTOR - 0.5
    else:
        position = sample * ((cells - 1) / (count - 1))
    cell = np.floor(position)
    if geometry == "tf1":  # positions in float32, as there; np.rint takes ties to even
        single = sample.astype(np.float32) * np.float32((cells - 1) / (count - 1))
        index = np.rint((single - np.floor(single)) * np.float32(1024))
        cell = np.floor(single).astype(np.float64)
        position = cell + index.astype(np.float64) / 1024
    matrix = np.zeros((count, cells))
    for tap in range(-1, 3):
        source = np.clip(cell + tap, 0, cells - 1).astype(int)
        np.add.at(matrix, (sample, source), cubic_kernel(position - cell - tap, a=-0.75))
    return matrix


def cubic_kernel(distance: Float[Any, "*shape"], a: float) -> Float[Any, "*shape"]:
    """Keys' cubic convolution kernel (Keys 1981, equation 4), of arrays of NumPy or JAX.

    With an `a` of -1/2 it reproduces parabolas; image libraries have -3/4.
    """
    xp = distance.__array_namespace__()
    x = xp.abs(distance)
    within_one = ((a + 2) * x - (a + 3)) * x**2 + 1
    within_two = a * (((x - 5) * x + 8) * x - 4)
    return xp.where(x <= 1, within_one, xp.where(x < 2, within_two, 0))


@cache
def hann_window(size: int = UPSAMPLED_SIZE) -> np.ndarray:
    """Hann window [size, size]: the outer product of two of 272 samples, or the middle of it, with a sum of 1."""
    margin = (UPSAMPLED_SIZE - size) // 2
    row = np.hanning(UPSAMPLED_SIZE)[margin : UPSAMPLED_SIZE - margin]
    window = np.outer(row, row)
    return window / window.sum()


def choose_region(fused: Float[Array, "regions n n"], config: Config) -> Int[Array, ""]:
    """Number of the search region whose map has the highest peak once `scale_priors` are applied; the first of equals.

    Several regions are one for each scale.
    """
    return jnp.int32(0) if len(fused) == 1 else highest_peak(fused, scale_priors(config))


def highest_peak(maps: Float[Array, "maps n n"], priors: Float[Any, " maps"]) -> Int[Array, ""]:
    """Number of the map whose peak, times its prior, is the highest; the first of equal ones."""
    return jnp.argmax(jnp.max(maps, axis=(1, 2)) * priors).astype(jnp.int32)


def scale_priors(config: Config) -> np.ndarray:
    """Factors by which the scales count, float32: the penalty of all but the middle one, times the tilt."""
    penalties = np.full(config.scale_count, config.scale_penalty)
    penalties[config.scale_count // 2] = 1
    return (penalties * np.array(config.scale_factors()) ** config.scale_tilt).astype(np.float32)


def add_window(
    response: Float[Array, "n n"],
    influence: float | Float[Array, ""],
    window: Float[np.ndarray, "n n"] | None = None,
) -> Float[Array, "n n"]:
    """Response map with the Hann window mixed in: `(1 - influence) r + influence h`.

    The map r is shifted to a minimum of 0 and divided by its sum, as the window h has a sum of 1.

    Args:
      response: the map.
      influence: share of the window, in [0, 1].
      window: the window; by default `hann_window` of the map's size.
    """
    window = hann_window(len(response)) if window is None else window
    response = response - jnp.min(response)
    total = jnp.sum(response)
    response = response / jnp.where(total > 0, total, 1)
    return (1 - influence) * response + influence * jnp.asarray(window, response.dtype)


def displacement(
    response: Float[Array, "n n"],
    geometry: Upsampling,
    temperature: float = 0.0,
    *,
    samples_per_cell: int = UPSAMPLING_FACTOR,
) -> Float[Array, "2"]:
    """Displacement from the search region's centre to the map's peak, (x, y) in samples of the search crop.

    Each component is at most 64, in a centre search at most 32. The peak is the first highest sample in row-major
    order, or with a temperature above 0 the soft-argmax. `tf1` takes a cell to be 16 samples wide where it is 271 / 16,
    as the authors do, and so overshoots by 6 %.
    """
    size = len(response)
    cells = size // samples_per_cell
    spacing = (size - 1) / (cells - 1) if geometry == "corners" else samples_per_cell
    peak = soft_argmax(response, temperature) if temperature else _argmax(response)
    offset = (peak - (size - 1) / 2) / spacing
    reach = (cells - 1) / 2
    return jnp.clip(offset, -reach, reach) * CELL


def pad_response(response: Float[Array, "n n"]) -> Float[Array, "272 272"]:
    """Response map of the whole search region: that of its centre is padded with its lowest value."""
    margin = (UPSAMPLED_SIZE - len(response)) // 2
    return jnp.pad(response, margin, constant_values=jnp.min(response)) if margin else response


def _argmax(response: Float[Array, "n n"]) -> Float[Array, "2"]:
    """Place (x, y) of the highest sample, the first of equal ones."""
    row, column = jnp.divmod(jnp.argmax(response), len(response))
    return jnp.stack([column, row]).astype(jnp.float32)


def soft_argmax(response: Float[Array, "n n"], temperature: float) -> Float[Array, "2"]:
    """Soft-argmax of a map, a smooth function of it: `sum_i p_i i` over all samples i = (x, y).

    The shares are `p = softmax(r / (temperature max(r)))`.
    """
    highest = jnp.max(response)
    share = jax.nn.softmax(response / (temperature * jnp.where(highest > 0, highest, 1)), axis=(0, 1))
    sample = jnp.arange(len(response), dtype=jnp.float32)
    return jnp.stack([jnp.sum(share, axis=0) @ sample, jnp.sum(share, axis=1) @ sample])
