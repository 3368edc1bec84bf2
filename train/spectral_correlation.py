"""Cross-correlation of all exemplars with all search features by their spectra, which takes fewer products.

By the correlation theorem a response is the inverse discrete Fourier transform of `sum_c conj(Z_c) X_c`: one product of
all exemplars with all search maps at each frequency, where the sum over shifts has one for each of an exemplar's cells.
The maps are small, so that transforms are matrix products as well, along one axis after the other. All of it is linear:
the gradients that JAX derives are the same products, transposed.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

Matrix = Float[np.ndarray, "_ _"]


def correlate_by_spectra(
    exemplars: Float[Array, "m h w c"], searches: Float[Array, "n height width c"]
) -> Float[Array, "m n rows columns"]:
    """Cross-correlation of each exemplar with all search features.

    The product of spectra is a circular correlation, whose period is the size of the search features. The rows and
    columns that are kept are those where the exemplar lies within them.
    """
    (m, high, wide, _), (n, height, width, _) = exemplars.shape, searches.shape
    rows, columns = height - high + 1, width - wide + 1
    of_exemplars, of_searches = (spectra(maps, height, width) for maps in (exemplars, searches))
    products = of_searches @ of_exemplars.transpose(0, 2, 1)
    parts = products.reshape(-1, width, 2, n, 2, m)  # real and imaginary parts of either
    real = parts[:, :, 0, :, 0] + parts[:, :, 1, :, 1]  # of conj(Z) X
    imaginary = parts[:, :, 1, :, 0] - parts[:, :, 0, :, 1]
    products = jnp.concatenate([real, imaginary], axis=1).reshape(-1, 2 * width, n * m)
    back = _on_parts(np.conj(_fourier(width)[:columns]) / width)
    halfway = jnp.asarray(back, products.dtype) @ products
    responses = jnp.asarray(_to_real(height)[:rows], products.dtype) @ halfway.reshape(-1, columns * n * m)
    return responses.reshape(rows, columns, n, m).transpose(3, 2, 0, 1)


def spectra(maps: Float[Array, "n h w c"], height: int, width: int) -> Float[Array, "frequencies parts c"]:
    """Spectra of maps with zeros below and beside them up to this size.

    Returns:
      For each of `(height // 2 + 1) * width` frequencies, the others of a real map being conjugates of these, the real
      parts of all n maps and then the imaginary ones.
    """
    n, h, w, channels = maps.shape
    by_row = jnp.moveaxis(maps, 0, 2).reshape(h, -1)
    halfway = jnp.asarray(_of_real(height)[:, :h], maps.dtype) @ by_row
    across = _on_parts(_fourier(width)[:, :w])
    across = across.reshape(2, width, -1).transpose(1, 0, 2).reshape(2 * width, -1)  # both parts of each frequency
    whole = jnp.asarray(across, maps.dtype) @ halfway.reshape(-1, 2 * w, n * channels)
    return whole.reshape(-1, 2 * n, channels)


def _fourier(size: int) -> Complex[np.ndarray, "size size"]:
    """Matrix of the discrete Fourier transform."""
    numbers = np.arange(size)
    return np.exp(-2j * np.pi * (np.outer(numbers, numbers) % size) / size)


def _of_real(size: int) -> Matrix:
    """Transform of real numbers: for each of the first half of the frequencies a row for either part."""
    matrix = _fourier(size)[: size // 2 + 1]
    return np.stack([matrix.real, matrix.imag], axis=1).reshape(-1, size)


def _to_real(size: int) -> Matrix:
    """Inverse of `_of_real`: what is not given are the conjugates, so most frequencies count twice."""
    half = size // 2 + 1
    times = np.where(np.isin(np.arange(half), (0, size / 2)), 1, 2)
    matrix = times * _fourier(size)[:, :half] / size
    return np.stack([matrix.real, matrix.imag], axis=2).reshape(size, -1)


def _on_parts(matrix: Complex[np.ndarray, "_ _"]) -> Matrix:
    """Matrix that does to real parts, followed by imaginary ones, what a complex one does to complex numbers."""
    return np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])
