"""Success AUC and precision of two ways to track the same sequences, for studies: a row of a table for each."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mfst_jax.evaluation.metrics import measure
from mfst_jax.evaluation.statistics import compare

Measures = tuple[float, float]
"""Success AUC, and precision at 20 px."""


def measures(boxes: Float[np.ndarray, "frames 4"], truth: Float[np.ndarray, "frames 4"]) -> Measures:
    """Success AUC and precision of one track."""
    found = measure(boxes, truth)
    return found.success_auc, found.precision_20px


def paired_rows(before: Sequence[Measures], after: Sequence[Measures]) -> list[tuple[str, str, str, str]]:
    """Rows of a table: both means, and their difference with an interval of 95 % over at least two sequences."""
    rows = []
    for column, name in enumerate(("success AUC", "precision at 20 px")):
        first, second = (np.array(scores)[:, column] for scores in (before, after))
        found = compare(second, first)
        ends = found.interval
        interval = f" ({ends[0]:+.3f} to {ends[1]:+.3f})" if ends is not None else ""
        rows.append((name, f"{first.mean():.3f}", f"{second.mean():.3f}", f"{found.difference:+.3f}{interval}"))
    return rows
