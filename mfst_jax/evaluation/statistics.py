"""Statistics of scores, one for each sequence: bootstrap intervals and paired comparisons. NumPy alone.

Sequences are resampled, since the frames of one video are anything but independent. Intervals are percentile intervals:
BCa would move the ends of those of ten published results on OTB-100, about 0.1 wide, by at most 0.006.

References: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 13 and 15. Holm 1979, "A simple
sequentially rejective multiple test procedure".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Num

LEVEL = 0.95
"""Level of confidence intervals."""
RESAMPLES = 10_000

Scores = Num[np.ndarray, "sequences"]


def bootstrap_interval(
    scores: Scores, *, weights: Scores | None = None, level: float = LEVEL, seed: int = 0
) -> tuple[float, float] | None:
    """Confidence interval of the mean score of sequences like these: percentiles of the means of resampled ones.

    None for fewer than two sequences, which say nothing about how much sequences differ.

    Args:
      scores: a number for each sequence.
      weights: the weight of each sequence; by default all the same.
      level: how often such intervals hold the true mean, for many sequences. For few they are too narrow.
      seed: of the resampling.
    """
    if len(scores) < 2:
        return None
    counts = _resample(len(scores), seed)
    means = counts @ scores / len(scores) if weights is None else counts @ (weights * scores) / (counts @ weights)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """Comparison of two trackers on the same sequences.

    Attributes:
      difference: Mean of the first one's scores less mean of the second one's.
      interval: Confidence interval of the difference at `LEVEL`, by bootstrap over the sequences; None for only one.
      p_value: Probability of a difference as large as this, either way, if the trackers were swapped at random on each
        sequence.
    """

    difference: float
    interval: tuple[float, float] | None
    p_value: float


def compare(first: Scores, second: Scores, *, level: float = LEVEL, seed: int = 0) -> Comparison:
    """Comparison of two trackers by their scores on the same sequences, at least one, each counting the same.

    The p-value is that of a permutation test of the differences' signs, by 10,000 random ones and the observed ones.
    """
    differences = np.subtract(first, second, dtype=np.float64)
    signs = np.random.default_rng(seed).integers(0, 2, (RESAMPLES, len(differences))) * 2.0 - 1
    observed = abs(differences.sum())
    as_large = np.abs(signs @ differences) >= observed * (1 - 1e-9)  # another order of the sum rounds differently
    return Comparison(
        float(differences.mean()),
        bootstrap_interval(differences, level=level, seed=seed),
        float((1 + as_large.sum()) / (1 + RESAMPLES)),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, raised so that below 0.05 the chance of any false alarm is 5 %.

    The smallest of n is multiplied by n, the next by n - 1 and so on; none becomes less than one before it.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    raised = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return raised[np.argsort(order, kind="stable")].tolist()


@lru_cache(maxsize=4)
def _resample(count: int, seed: int) -> Float64[np.ndarray, "resamples sequences"]:
    """Number of times that each sequence is drawn in each resample."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
