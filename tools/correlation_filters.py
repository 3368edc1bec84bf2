"""Correlation filters on feature maps of backbone A that learn the target while it is tracked, for `study_filters.py`.

A filter f answers a feature map x, under a Hann window, with the response `sum_k x_k * f_k` (`*` is the circular
convolution, k counts channels), which should be a Gaussian y at the target. It is learned background-aware (Galoogahi
et al. 2017, "Learning background-aware correlation filters for visual tracking", equation 3): it sees the whole search
region as examples of what the target is not, but has coefficients in as many cells as the target covers alone. That is
solved by ADMM, in the frequency domain, for a running mean of the feature maps so far, each with the target at its
centre.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex64, Float

from mfst_jax.localisation import UPSAMPLED_SIZE, cubic_kernel

SAMPLES_PER_PIXEL = 2
"""Samples of an upsampled response map for each pixel of the search crop."""
LEAST_SIGMA = 0.5
"""Least deviation of the Gaussian, in cells."""
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Penalty of each iteration of ADMM, on the difference between the filter and the one with few coefficients."""
RIDGE = 0.01
"""Weight of the filter's squared norm."""

Spectrum = Complex64[Array, "cells frequencies channels"]


class Geometry(NamedTuple):
    """Geometry of a layer's map of the search region.

    Attributes:
      stride: Pixels of the search crop from one cell to the next.
      size: Cells on a side of the map.
      padded: Cells on a side once zeros were added, a number with small factors.
    """

    stride: int
    size: int
    padded: int

    @property
    def centre(self) -> float:
        """Place of the crop's centre in the padded map, in cells."""
        return (self.padded - self.size) // 2 + (self.size - 1) / 2


GEOMETRIES = {
    "pool1": Geometry(4, 61, 63),
    "conv3": Geometry(8, 26, 27),
    "conv4": Geometry(8, 24, 25),
    "conv5": Geometry(8, 22, 24),
}


class Learned(NamedTuple):
    """What a filter has learned.

    Attributes:
      mean: Running mean of the feature maps, each with the target at its centre.
      filter: The filter, that answers with the response.
      label: The Gaussian that the response should be.
      support: Cells in which the filter may have coefficients, 1 there and 0 elsewhere.
    """

    mean: Spectrum
    filter: Spectrum
    label: Complex64[Array, "cells frequencies"]
    support: Float[Array, "cells cells 1"]


@dataclass(frozen=True)
class CorrelationFilter:
    """Correlation filter of one layer.

    Attributes:
      layer: Name of the layer, of `GEOMETRIES`.
      rate: Share of a new feature map in the running mean.
      sigma: Deviation of the Gaussian, in sides of the target (the root of its area).
      iterations: Iterations of ADMM for a new frame; the first frame has all of `PENALTIES`.
    """

    layer: str
    rate: float = 0.013
    sigma: float = 0.1
    iterations: int = 2
    geometry: Geometry = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "geometry", GEOMETRIES[self.layer])

    def spectrum(self, features: Float[Array, "size size channels"]) -> Spectrum:
        """Spectrum of a feature map: each cell normalised, the mean taken away, a Hann window applied."""
        _, size, padded = self.geometry
        norms = jnp.sqrt(jnp.sum(jnp.square(features), axis=-1, keepdims=True))
        cells = features / (norms + 0.1 * jnp.mean(norms) + 1e-6)
        cells = cells - jnp.mean(cells, axis=(0, 1), keepdims=True)
        row = np.hanning(size + 2)[1:-1]
        before = (padded - size) // 2
        margin = (before, padded - size - before)
        windowed = cells * jnp.asarray(np.outer(row, row)[..., None], jnp.float32)
        return jnp.fft.rfft2(jnp.pad(windowed, (margin, margin, (0, 0))), axes=(0, 1))

    def begin(self, spectrum: Spectrum, target: Float[Array, "2"]) -> Learned:
        """What the first frame teaches. `target` is the target's (width, height), in pixels of the search crop."""
        stride, _, padded = self.geometry
        width, height = target / stride
        sigma = jnp.maximum(self.sigma * jnp.sqrt(width * height), LEAST_SIGMA)
        away = jnp.arange(padded) - self.geometry.centre
        label = jnp.fft.rfft2(jnp.exp(-0.5 * (away[:, None] ** 2 + away**2) / sigma**2))
        around = jnp.minimum(jnp.arange(padded), padded - jnp.arange(padded))
        rows, columns = (around <= jnp.maximum(side / 2, 1) for side in (height, width))
        support = (rows[:, None] & columns)[..., None].astype(jnp.float32)
        return Learned(spectrum, self._solve(spectrum, label, support, len(PENALTIES)), label, support)

    def go_on(self, learned: Learned, spectrum: Spectrum) -> Learned:
        """What a further frame teaches, from its map with the target at the centre."""
        mean = (1 - self.rate) * learned.mean + self.rate * spectrum
        return learned._replace(mean=mean, filter=self._solve(mean, learned.label, learned.support, self.iterations))

    def _solve(
        self, x: Spectrum, label: Complex64[Array, "cells frequencies"], support: Array, iterations: int
    ) -> Spectrum:
        side = self.geometry.padded
        count, energy, wanted = side * side, jnp.sum(jnp.abs(x) ** 2, axis=-1), jnp.conj(x) * label[..., None]
        restricted = multiplier = solved = jnp.zeros_like(x)
        for penalty in PENALTIES[:iterations]:
            # The filter, at each frequency by itself: one row of an outer product, by Sherman and Morrison.
            aim = wanted / count + penalty * restricted - multiplier
            shared = jnp.sum(x * aim, axis=-1) / (count * penalty + energy)
            solved = (aim - jnp.conj(x) * shared[..., None]) / penalty
            # The one with coefficients in the target's cells alone.
            anywhere = jnp.fft.irfft2((penalty * solved + multiplier) / (RIDGE / count + penalty), (side, side), (0, 1))
            restricted = jnp.fft.rfft2(support * anywhere, axes=(0, 1))
            multiplier = multiplier + penalty * (solved - restricted)
        return solved

    def respond(self, learned: Learned, spectrum: Spectrum) -> Float[Array, "cells cells"]:
        """Response to a feature map. It is the highest where the target is."""
        side = self.geometry.padded
        return jnp.fft.irfft2(jnp.sum(spectrum * learned.filter, axis=-1), (side, side))

    def moved(self, spectrum: Spectrum, offset: Float[Array, "2"]) -> Spectrum:
        """Spectrum of the map with what lies at `offset`, (x, y) in pixels of the search crop, moved to its centre."""
        stride, _, padded = self.geometry
        x, y = offset / stride
        turns = jnp.fft.fftfreq(padded)[:, None] * y + jnp.fft.rfftfreq(padded) * x
        return spectrum * jnp.exp(2j * jnp.pi * turns)[..., None].astype(jnp.complex64)

    def upsampled(self, response: Float[Array, "cells cells"]) -> Float[Array, "272 272"]:
        """Response at the samples of an upsampled response map of the tracker, by cubic interpolation."""
        matrix = jnp.asarray(self._upsampling_matrix(), jnp.float32)
        return matrix @ response @ matrix.T

    def _upsampling_matrix(self) -> np.ndarray:
        sample = np.arange(UPSAMPLED_SIZE)
        pixel = (sample - (UPSAMPLED_SIZE - 1) / 2) / SAMPLES_PER_PIXEL
        position = self.geometry.centre + pixel / self.geometry.stride
        cell = np.floor(position)
        matrix = np.zeros((UPSAMPLED_SIZE, self.geometry.padded))
        for tap in range(-1, 3):
            source = np.clip(cell + tap, 0, self.geometry.padded - 1).astype(int)
            np.add.at(matrix, (sample, source), cubic_kernel(position - cell - tap, a=-0.5))
        return matrix
