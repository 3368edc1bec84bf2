"""Correlation filters of the ONNX graph: a second writing of `mfst_jax.correlation_filter`.

Fourier transforms are products with constant matrices: ONNX Runtime's own operator for them took at least 30 times as
long for maps of these sizes, and was less precise. Maps are [rows, channels, columns] here, so that one product
transforms all channels along an axis, and spectra are [rows, channels, frequencies].
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import spox.opset.ai.onnx.v17 as op
from spox import Var

from mfst_jax.correlation_filter import (
    GEOMETRIES,
    LEAST_SIGMA,
    PENALTIES,
    RATE,
    SIGMA,
    Geometry,
    cell_window,
    interpolation_matrix,
)
from mfst_jax.export.values import divide_or_keep, floats, highest, ints, mean_over, sum_over

Maps = dict[Any, Var]
"""Maps of the layers that filters look at, or their templates; in the state templates are [rows, columns, channels]."""
BY_ROW = (0, 2, 1)
"""Permutation from [rows, columns, channels] to the order here, and back."""


class Spectrum(NamedTuple):
    """Complex values: their real and their imaginary parts, of one shape."""

    real: Var
    imaginary: Var


def filter_maps(features: Maps) -> Maps:
    """Maps that the filters look at, from the features [channels, rows, columns] of A in one search region."""
    return {layer: _normalised(features[layer]) for layer in GEOMETRIES}


def first_templates(maps: Maps) -> Maps:
    """Templates after the first frame, in which the target is at the centre of the search region."""
    return {layer: _template(maps[layer], geometry) for layer, geometry in GEOMETRIES.items()}


def learn(templates: Maps, maps: Maps, offset: Var) -> Maps:
    """Templates after a further frame, whose target is at `offset`, (x, y) in samples of the search region."""
    learned = {}
    for layer, geometry in GEOMETRIES.items():
        there = _recentred(maps[layer], op.div(offset, floats(geometry.stride)), geometry)
        change = op.sub(_template(there, geometry), templates[layer])
        learned[layer] = op.add(templates[layer], op.mul(floats(RATE), change))
    return learned


def mix_in(response: Var, templates: Maps, maps: Maps, target: Var, share: float) -> Var:
    """Response map [272, 272] with those of the filters mixed in, each divided by its maximum where that is above 1.

    Args:
      response: the fused map under its window, [272, 272].
      templates: what was learned so far.
      maps: from `filter_maps`.
      target: the target's size, (w, h) in samples of the search region.
      share: that of the filters, together.
    """
    mixed = op.mul(floats(1 - share), divide_or_keep(response, highest(response)))
    for layer, geometry in GEOMETRIES.items():
        learned = filter_response(op.transpose(templates[layer], perm=BY_ROW), maps[layer], target, geometry)
        learned = op.div(learned, op.max([highest(learned), floats(1)]))
        mixed = op.add(mixed, op.mul(floats(share / len(GEOMETRIES)), learned))
    return mixed


def filter_response(template: Var, maps: Var, target: Var, geometry: Geometry) -> Var:
    """Response [272, 272] of the filter learned from a template, for a target of a size (w, h) in samples.

    It is relative to the response to the template itself in the cell where that is highest.
    """
    width, height = (op.div(op.gather(target, ints(axis)), floats(geometry.stride)) for axis in (0, 1))
    sigma = op.max([op.mul(floats(SIGMA), op.sqrt(op.mul(width, height))), floats(LEAST_SIGMA)])
    distance = op.div(floats(np.arange(geometry.padded) - geometry.centre), sigma)
    gaussian = op.exp(op.mul(floats(-0.5), op.mul(distance, distance)))
    waves = Waves.of(geometry)
    x, z = _spectra(template, maps, waves)
    solved = _solve(x, z, _label(gaussian, waves), _support(width, height, waves), geometry.padded**2)
    response, to_template = (_cells(each, waves) for each in solved)
    matrix = floats(interpolation_matrix(geometry))
    upsampled = op.matmul(op.matmul(matrix, response), op.transpose(matrix, perm=[1, 0]))
    return divide_or_keep(upsampled, highest(to_template))


def _solve(
    x: Spectrum, z: Spectrum, label: Spectrum, support: Callable[[Spectrum], Spectrum], count: int
) -> tuple[Spectrum, Spectrum]:
    """Responses to z and to x, [rows, 1, frequencies], of the filter whose response to x is to be the label.

    The maps have `count` cells. Neither the filter itself nor `aim`, of which it is made, is written down: sums over
    channels are enough.
    """
    first, second = PENALTIES
    energy = sum_over(op.add(op.mul(x.real, x.real), op.mul(x.imaginary, x.imaginary)), [1], keepdims=True)
    cross = _over_channels(_times(_conjugate(x), z))
    quotient = _scaled(label, op.div(floats(1), op.add(floats(first * count), energy)))
    restricted = support(_times(_conjugate(x), quotient))
    x_restricted, z_restricted = (_over_channels(_times(each, restricted)) for each in (x, z))

    # aim = conj(x) * remainder + (first + second) * restricted
    remainder = _minus(_scaled(label, floats(1 / count)), _scaled(quotient, floats(first)))
    share = op.div(floats(1), op.add(floats(second * count), energy))
    x_aim = _plus(_scaled(remainder, energy), _scaled(x_restricted, floats(first + second)))
    shared = _scaled(x_aim, share)
    to_z = _plus(_times(cross, _minus(remainder, shared)), _scaled(z_restricted, floats(first + second)))
    return _scaled(to_z, floats(1 / second)), _scaled(shared, floats(count))


class Waves(NamedTuple):
    """Discrete Fourier transform of maps of a layer.

    Attributes:
      geometry: Of the layer.
      cosines: Cosines [padded, padded].
      sines: Sines [padded, padded].
    """

    geometry: Geometry
    cosines: Var
    sines: Var

    @classmethod
    def of(cls, geometry: Geometry) -> "Waves":
        """That of a layer, as constants."""
        numbers = np.arange(geometry.padded)
        angles = 2 * np.pi / geometry.padded * (np.outer(numbers, numbers) % geometry.padded)
        return cls(geometry, floats(np.cos(angles)), floats(np.sin(angles)))

    @property
    def frequencies(self) -> int:
        """Frequencies of a real map along its columns: half of them, as the others are their conjugates."""
        return self.geometry.padded // 2 + 1

    @property
    def are_mirrored(self) -> np.ndarray:
        """Which of these have a conjugate among the others, bool [frequencies]."""
        numbers = np.arange(self.frequencies)
        return (numbers > 0) & (2 * numbers < self.geometry.padded)

    def by_row(self, cells: int, *, inverse: bool = False) -> Var:
        """Matrix [2 padded, 2 cells] that transforms the columns of complex maps, their parts one above the other."""
        cosines, sines = (_first(wave, cells, axis=1) for wave in self[1:])
        upper, lower = (op.neg(sines), sines) if inverse else (sines, op.neg(sines))
        blocks = op.concat([cosines, upper], axis=1), op.concat([lower, cosines], axis=1)
        return op.concat(list(blocks), axis=0)


def _spectra(template: Var, maps: Var, waves: Waves) -> tuple[Spectrum, Spectrum]:
    """Spectra of a template and of maps, padded with zeros: those of both by the same products."""
    (_, cells, padded), count = waves.geometry, waves.frequencies
    both = op.concat([template, maps], axis=1)
    of_columns = (_first(_first(wave, cells, axis=0), count, axis=1) for wave in waves[1:])
    real, negative = (op.matmul(both, wave) for wave in of_columns)
    rows = op.reshape(op.concat([real, op.neg(negative)], axis=0), ints([2 * cells, -1]))
    by_part = op.reshape(op.matmul(waves.by_row(cells), rows), ints([2, padded, 2, -1, count]))
    x, z = (
        Spectrum(*(op.gather(op.gather(by_part, ints(part)), ints(number), axis=1) for part in (0, 1)))
        for number in (0, 1)
    )
    return x, z


def _label(gaussian: Var, waves: Waves) -> Spectrum:
    """Spectrum [rows, 1, frequencies] of the product of two Gaussians, of the row and of the column."""
    real, imaginary = op.matmul(gaussian, waves.cosines), op.neg(op.matmul(gaussian, waves.sines))
    of_rows = Spectrum(*(op.reshape(part, ints([-1, 1, 1])) for part in (real, imaginary)))
    of_columns = Spectrum(*(_first(part, waves.frequencies, axis=0) for part in (real, imaginary)))
    return _times(of_rows, of_columns)


def _support(width: Var, height: Var, waves: Waves) -> Callable[[Spectrum], Spectrum]:
    """Function that leaves of a real map, given by its spectrum, the cells around (0, 0) that the target covers.

    A product with a mask is a convolution of spectra. That of the mask is real, as the mask is even; so the rows are
    multiplied by one real matrix. Along the columns half of the frequencies are left out: they are the conjugates of
    the others, at the opposite row.
    """
    padded, kept = waves.geometry.padded, np.arange(waves.frequencies)
    everywhere = np.arange(padded)

    def spectrum_of_mask(side: Var) -> Var:
        lags = floats(np.minimum(everywhere, padded - everywhere))
        mask = op.less_or_equal(lags, op.max([op.div(side, floats(2)), floats(1)]))
        return op.matmul(op.where(mask, floats(1 / padded), floats(0)), waves.cosines)

    def at(values: Var, numbers: np.ndarray) -> Var:
        return op.gather(values, op.const((numbers % padded).astype(np.int32)))

    of_rows, of_columns = spectrum_of_mask(height), spectrum_of_mask(width)
    by_row = at(of_rows, everywhere - everywhere[:, None])
    mirrored = op.mul(at(of_columns, kept + kept[:, None]), floats(waves.are_mirrored[:, None]))
    by_column = op.concat([at(of_columns, kept - kept[:, None]), mirrored], axis=0)

    def restrict(part: Var, sign: int) -> Var:
        rows = op.matmul(by_row, op.reshape(part, ints([padded, -1])))
        rows = op.reshape(rows, ints([padded, -1, len(kept)]))
        opposite = op.gather(rows, ints(-everywhere % padded), axis=0)
        both = op.concat([rows, opposite if sign > 0 else op.neg(opposite)], axis=2)
        return op.matmul(both, by_column)

    return lambda spectrum: Spectrum(restrict(spectrum.real, 1), restrict(spectrum.imaginary, -1))


def _cells(response: Spectrum, waves: Waves) -> Var:
    """Map [padded, padded] of a response's spectrum [rows, 1, frequencies]."""
    padded, count = waves.geometry.padded, waves.frequencies
    parts = op.reshape(op.concat(list(response), axis=0), ints([2 * padded, count]))
    rows = op.reshape(op.matmul(waves.by_row(padded, inverse=True), parts), ints([2, padded, count]))
    # Frequencies that are left out are the conjugates of others, which so count twice.
    counts = floats(np.where(waves.are_mirrored, 2, 1) / padded**2)
    real, imaginary = (op.mul(op.gather(rows, ints(part)), counts) for part in (0, 1))
    cosines, sines = (_first(wave, count, axis=0) for wave in waves[1:])
    return op.sub(op.matmul(real, cosines), op.matmul(imaginary, sines))


def _normalised(maps: Var) -> Var:
    """Maps [rows, channels, columns] with cells of about one norm and channels of mean 0.

    Args:
      maps: [channels, rows, columns].
    """
    norms = op.sqrt(sum_over(op.mul(maps, maps), [0]))
    cells = op.div(maps, op.add(op.add(norms, op.mul(floats(0.1), mean_over(norms))), floats(1e-6)))
    centred = op.sub(cells, op.reduce_mean(cells, axes=[1, 2], keepdims=1))
    return op.transpose(centred, perm=[1, 0, 2])


def _template(maps: Var, geometry: Geometry) -> Var:
    """Template [rows, columns, channels] of maps that have the target at their centre: they are under a Hann window."""
    row = np.sqrt(np.diag(cell_window(geometry.cells)[..., 0]))  # the window is the outer product of two
    window = op.mul(floats(row[:, None, None]), floats(row[:, None]))
    return op.mul(op.transpose(maps, perm=BY_ROW), window)


def _recentred(maps: Var, offset: Var, geometry: Geometry) -> Var:
    """Maps with what lies at `offset`, (x, y) in cells, at their centre."""
    cells, numbers = geometry.cells, floats(np.arange(geometry.cells))

    def weights(axis: int) -> Var:  # of the cells at each place
        places = op.add(numbers, op.gather(offset, ints(axis)))
        return _cubic_kernel(op.sub(op.unsqueeze(places, ints([1])), numbers))

    columns, rows = weights(0), weights(1)
    moved = op.reshape(op.matmul(rows, op.reshape(maps, ints([cells, -1]))), ints([cells, -1, cells]))
    return op.matmul(moved, op.transpose(columns, perm=[1, 0]))


def _cubic_kernel(distance: Var) -> Var:
    """Keys' cubic convolution kernel with an `a` of -1/2 (`mfst_jax.localisation.cubic_kernel`)."""
    x = op.abs(distance)

    def polynomial(*coefficients: float) -> Var:
        value = floats(coefficients[0])
        for each in coefficients[1:]:
            value = op.add(op.mul(value, x), floats(each))
        return value

    outside = op.where(op.less(x, floats(2)), polynomial(-0.5, 2.5, -4.0, 2.0), floats(0))
    return op.where(op.less_or_equal(x, floats(1)), polynomial(1.5, -2.5, 0.0, 1.0), outside)


def _first(value: Var, count: int, axis: int) -> Var:
    """The first so many along an axis."""
    return op.slice(value, ints([0]), ints([count]), ints([axis]))


def _conjugate(a: Spectrum) -> Spectrum:
    return Spectrum(a.real, op.neg(a.imaginary))


def _times(a: Spectrum, b: Spectrum) -> Spectrum:
    real = op.sub(op.mul(a.real, b.real), op.mul(a.imaginary, b.imaginary))
    return Spectrum(real, op.add(op.mul(a.real, b.imaginary), op.mul(a.imaginary, b.real)))


def _plus(a: Spectrum, b: Spectrum) -> Spectrum:
    return Spectrum(op.add(a.real, b.real), op.add(a.imaginary, b.imaginary))


def _minus(a: Spectrum, b: Spectrum) -> Spectrum:
    return Spectrum(op.sub(a.real, b.real), op.sub(a.imaginary, b.imaginary))


def _scaled(a: Spectrum, factor: Var) -> Spectrum:
    return Spectrum(op.mul(a.real, factor), op.mul(a.imaginary, factor))


def _over_channels(a: Spectrum) -> Spectrum:
    return Spectrum(sum_over(a.real, [1], keepdims=True), sum_over(a.imaginary, [1], keepdims=True))
