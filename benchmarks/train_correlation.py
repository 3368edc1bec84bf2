"""Time of all exemplars' cross-correlation with all search features, with its gradient, by taps and by spectra.

    python benchmarks/train_correlation.py [--pairs 8] [--rounds 15]

Features are random, of the sizes of AlexNet's layers. Both ways take turns in one process; a line has the median wall
time of either, and the median over rounds of their ratio within a round, with quartiles.
"""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from mfst_jax.bench.side_by_side import machine, ratios, spread, table
from mfst_jax.compilation import compiler_options
from mfst_jax.train.correlation_gradients import MANY_CELLS, correlate_by_taps
from mfst_jax.train.spectral_correlation import correlate_by_spectra

LAYERS = {"conv3": (10, 26, 384), "conv4": (8, 24, 256), "conv5": (6, 22, 256)}
"""Cells of an exemplar on a side, those of a search region, and channels."""


def gradients_by(correlate: Callable[[jax.Array, jax.Array], jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Gradients of a number that depends on all responses, with respect to exemplars and search features."""

    def loss(exemplars: jax.Array, searches: jax.Array) -> jax.Array:
        return jnp.mean(jax.nn.softplus(correlate(exemplars, searches)))

    return jax.jit(jax.grad(loss, (0, 1)), compiler_options=compiler_options(thorough=True))


def main(pairs: int = 8, rounds: int = 15) -> None:
    """Prints the table.

    Args:
        pairs: in a batch.
        rounds: how often each way takes its turn.
    """
    ways = {"taps": gradients_by(correlate_by_taps), "spectra": gradients_by(correlate_by_spectra)}
    rng = np.random.default_rng(0)
    rows = []
    print(f"{machine()}; jax {jax.__version__}; {pairs} pairs")
    for layer, (cells, side, channels) in LAYERS.items():
        shapes = (pairs, cells, cells, channels), (pairs, side, side, channels)
        features = [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, gradients in ways.items():
                start = time.perf_counter()
                jax.block_until_ready(gradients(*features))
                if number > 0:
                    times[name].append(time.perf_counter() - start)
        medians = [f"{statistics.median(seconds) * 1e3:.0f}" for seconds in times.values()]
        chosen = "spectra" if pairs * cells**2 >= MANY_CELLS else "taps"
        rows.append((layer, *medians, spread(ratios(times["spectra"], times["taps"])), chosen))
    print(table(("layer", "taps, ms", "spectra, ms", "spectra to taps", "in training"), rows))


if __name__ == "__main__":
    tyro.cli(main)
