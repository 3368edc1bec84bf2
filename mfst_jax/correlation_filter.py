"""Correlation filters: they learn what the target looks like by now, beside the exemplar, which never changes.

A filter f answers a feature map x with the response `sum_k x_k * f_k` (`*` is convolution, k counts channels), which is
to be a Gaussian y at the target. It is background-aware (Galoogahi et al. 2017, "Learning background-aware correlation
filters for visual tracking", equation 3): it learns from the whole search region what the target is not, but has
coefficients in as many cells as the target covers alone. That is solved by ADMM in the frequency domain, for a running
mean of feature maps with the target at their centre: the template. docs/choices.md has the measurements.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfst_jax.localisation import CELL, UPSAMPLED_SIZE, UPSAMPLING_FACTOR, cubic_kernel

RATE = 0.013
"""Share of a new frame in a template."""
SIGMA = 0.1
"""Deviation of the Gaussian, in sides of the target (the root of its area)."""
LEAST_SIGMA = 0.5
"""Least deviation of the Gaussian, in cells."""
PENALTIES = (1.0, 10.0)
"""Penalties of the two iterations of ADMM, on the difference between the filter and the one with few coefficients."""
SAMPLES_PER_PIXEL = UPSAMPLING_FACTOR // CELL
"""Samples of an upsampled response map for each sample of the search region."""


class Geometry(NamedTuple):
    """Geometry of a layer's map of the search region.

    Attributes:
      stride: Samples of the search region from one cell to the next.
      cells: Cells on a side.
      padded: Cells on a side once zeros were added, a number with small factors.
    """

    stride: int
    cells: int
    padded: int

    @property
    def centre(self) -> float:
        """Place of the map's centre, in cells."""
        return (self.cells - 1) / 2


GEOMETRIES = {"pool1": Geometry(4, 61, 72), "conv5": Geometry(8, 22, 32)}
"""Layers of A that filters look at."""

Templates = dict[str, Float[Array, "_ _ _"]]
Maps = dict[str, Float[Array, "_ _ _"]]


class Spectrum(NamedTuple):
    """Spectrum of a map with real values, by its parts, so that real arrays multiply it without a conversion.

    Attributes:
      real: Real part, [c, n, n // 2 + 1].
      imag: Imaginary part.
    """

    real: Float[Array, "c n frequencies"]
    imag: Float[Array, "c n frequencies"]


def filter_maps(features: Mapping[Any, Float[Array, "_ _ _"]]) -> Maps:
    """Maps that the filters look at: of each layer, with cells of about one norm and channels of a mean of zero.

    Args:
      features: those of A in one search region, by layer.
    """
    return {layer: _normalised(features[layer]) for layer in GEOMETRIES}


def first_templates(maps: Maps) -> Templates:
    """Templates after the first frame, in which the target is at the centre of the search region."""
    return {layer: maps[layer] * cell_window(geometry.cells) for layer, geometry in GEOMETRIES.items()}


def learn(templates: Templates, maps: Maps, offset: Float[Array, "2"]) -> Templates:
    """Templates after a further frame: running means of maps that have the target at their centre, under a Hann window.

    Args:
      templates: those so far.
      maps: from `filter_maps`.
      offset: from the region's centre to the target, (x, y) in samples of the search region.
    """
    learned = {}
    for layer, geometry in GEOMETRIES.items():
        sample = _recentred(maps[layer], offset / geometry.stride) * cell_window(geometry.cells)
        learned[layer] = templates[layer] + RATE * (sample - templates[layer])
    return learned


def mix_in(
    response: Float[Array, "272 272"],
    templates: Templates,
    maps: Maps,
    target: Float[Array, "2"],
    share: float | Float[Array, ""],
) -> Float[Array, "272 272"]:
    """Response map with those of the filters mixed in.

    Each is relative to what the filter answers to its own template. Where its highest value is above 1, or above 0 in
    the fused map, the map is divided by it. So a filter counts the less, the less it finds what it has learned.

    Args:
      response: the fused map under its window.
      templates: what was learned so far.
      maps: from `filter_maps`.
      target: the target's size, (w, h) in samples of the search region.
      share: that of the filters, together.
    """
    mixed = (1 - share) * _divide_or_keep(response, jnp.max(response))
    for layer, geometry in GEOMETRIES.items():
        learned = filter_response(templates[layer], maps[layer], target, geometry)
        mixed += share / len(GEOMETRIES) * learned / jnp.maximum(jnp.max(learned), 1)
    return mixed


def filter_response(
    template: Float[Array, "n n c"], maps: Float[Array, "n n c"], target: Float[Array, "2"], geometry: Geometry
) -> Float[Array, "272 272"]:
    """Response of the filter learned from a template, at the samples of an upsampled response map.

    It is relative to the response to the template itself in the cell where that is highest, and 0 where there is none.

    Args:
      template: the mean of the maps so far.
      maps: of the search region.
      target: the target's size, (w, h) in samples of the search region.
      geometry: of the layer.
    """
    padded = geometry.padded
    width, height = target / geometry.stride
    sigma = jnp.maximum(SIGMA * jnp.sqrt(width * height), LEAST_SIGMA)
    gaussian = jnp.exp(-0.5 * ((np.arange(padded, dtype=np.float32) - np.float32(geometry.centre)) / sigma) ** 2)
    lags = np.minimum(np.arange(padded), padded - np.arange(padded)).astype(np.float32)
    rows, columns = (lags <= jnp.maximum(side / 2, 1) for side in (height, width))
    support = (rows[:, None] & columns[None]).astype(jnp.float32)

    label = _transform((gaussian[:, None] * gaussian[None])[None])
    learned, to_template = _solve(_spectrum(template, padded), label, support)
    to_maps = _over_channels(_multiply(_spectrum(maps, padded), learned))
    response, expected = (_transform_back(each, padded)[0] for each in (to_maps, to_template))
    matrix = jnp.asarray(interpolation_matrix(geometry), jnp.float32)
    return _divide_or_keep(matrix @ response @ matrix.T, jnp.max(expected))


@cache
def interpolation_matrix(geometry: Geometry) -> np.ndarray:
    """Matrix [272, padded] of the cubic interpolation from cells to the samples of an upsampled response map."""
    samples = (np.arange(UPSAMPLED_SIZE) - (UPSAMPLED_SIZE - 1) / 2) / SAMPLES_PER_PIXEL
    return _interpolation(geometry.centre + samples / geometry.stride, geometry.padded)


@cache
def cell_window(size: int) -> np.ndarray:
    """Hann window [size, size, 1], float32, that is above 0 everywhere."""
    row = np.hanning(size + 2)[1:-1]
    return np.outer(row, row)[..., None].astype(np.float32)


def _normalised(maps: Float[Array, "n n c"]) -> Float[Array, "n n c"]:
    norms = _root(jnp.sum(jnp.square(maps), axis=-1, keepdims=True))
    cells = maps / (norms + 0.1 * jnp.mean(norms) + 1e-6)
    return cells - jnp.mean(cells, axis=(0, 1), keepdims=True)


@jax.custom_jvp
def _root(square: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Square root, which at 0 has a derivative of 0 instead of an infinite one."""
    return jnp.sqrt(square)


@_root.defjvp
def _derivative_of_root(at: tuple[Array], along: tuple[Array]) -> tuple[Array, Array]:
    (square,), (change,) = at, along
    root = _root(square)
    # The inner condition keeps derivatives of this one from dividing by 0.
    return root, jnp.where(square > 0, change / (2 * jnp.where(square > 0, root, 1)), 0)


def _recentred(maps: Float[Array, "n n c"], offset: Float[Array, "2"]) -> Float[Array, "n n c"]:
    """Map with what lies at `offset`, (x, y) in cells, at its centre. What lies beyond the map is zero."""
    cells = np.arange(len(maps), dtype=np.float32)
    columns, rows = (_interpolation(cells + shift, len(maps)) for shift in offset)
    return jnp.einsum("yi,xj,ijc->yxc", rows, columns, maps)


def _interpolation(places: Float[Any, " places"], cells: int) -> Float[Any, "places cells"]:
    """Weights of the cells at each place, by cubic interpolation. Beyond the cells there are zeros."""
    return cubic_kernel(places[:, None] - np.arange(cells, dtype=places.dtype)[None], a=-0.5)


def _solve(x: Spectrum, label: Spectrum, support: Float[Any, "n n"]) -> tuple[Spectrum, Spectrum]:
    """Filter whose response to x is to be the label, by two iterations of ADMM from zero, and that response."""
    count, (first, second) = support.size, PENALTIES
    energy = jnp.sum(jnp.square(x.real) + jnp.square(x.imag), axis=0)
    matched = _multiply(_conjugate(x), label)
    anywhere = jax.tree.map(lambda part: part / (first * count + energy)[None], matched)
    restricted = _transform(support[None] * _transform_back(anywhere, len(support)))
    # At each frequency by itself the equations have an outer product for a matrix (Sherman and Morrison).
    aim = jax.tree.map(lambda m, r, a: m / count + (first + second) * r - first * a, matched, restricted, anywhere)
    shared = jax.tree.map(lambda part: part / (second * count + energy)[None], _over_channels(_multiply(x, aim)))
    learned = jax.tree.map(lambda part, rest: (part - rest) / second, aim, _multiply(_conjugate(x), shared))
    # The sum over channels of x * learned, by the same equations.
    return learned, jax.tree.map(lambda part: count * part, shared)


def _spectrum(maps: Float[Array, "n n c"], padded: int) -> Spectrum:
    """Spectrum of a map to which zeros were added at the bottom and on the right."""
    after = (0, padded - len(maps))
    return _transform(jnp.pad(jnp.moveaxis(maps, -1, 0), ((0, 0), after, after)))


def _transform(maps: Float[Array, "c n n"]) -> Spectrum:
    found = jnp.fft.rfft2(maps)
    return Spectrum(found.real, found.imag)


def _transform_back(spectrum: Spectrum, side: int) -> Float[Array, "c n n"]:
    return jnp.fft.irfft2(jax.lax.complex(*spectrum), (side, side))


def _multiply(a: Spectrum, b: Spectrum) -> Spectrum:
    return Spectrum(a.real * b.real - a.imag * b.imag, a.real * b.imag + a.imag * b.real)


def _over_channels(a: Spectrum) -> Spectrum:
    """Sum over the channels, which remain as an axis of length 1."""
    return jax.tree.map(lambda part: jnp.sum(part, axis=0, keepdims=True), a)


def _conjugate(a: Spectrum) -> Spectrum:
    return Spectrum(a.real, -a.imag)


def _divide_or_keep(value: Float[Array, "n n"], divisor: Float[Array, ""]) -> Float[Array, "n n"]:
    """Value over a divisor; where the divisor is not above 0, the value itself."""
    return value / jnp.where(divisor > 0, divisor, 1)
