"""Success AUC and precision of two ways to track the same sequences, for studies: a row of a table for each."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from mfst_jax.evaluation.metrics import measure
from mfst_jax.evaluation.statistics import compare
from mfst_jax.train.data.curation import stem

Measures = tuple[float, float]
"""Success AUC, and precision at 20 px."""


def measures(boxes: Float[np.ndarray, "frames 4"], truth: Float[np.ndarray, "frames 4"]) -> Measures:
    """Success AUC and precision of one track."""
    found = measure(boxes, truth)
    return found.success_auc, found.precision_20px


def paired_rows(before: Mapping[str, Measures], after: Mapping[str, Measures]) -> list[tuple[str, str, str, str]]:
    """Rows of a table: both means over the sequences, and their difference with an interval of 95 %, if there is one.

    Intervals are by resampling videos: sequences whose names differ in a part or a target alone are of one.

    Args:
      before: Measures of each sequence by its name.
      after: Those of the same sequences in the other way.
    """
    rows, groups = [], [stem(name) for name in before]
    for column, name in enumerate(("success AUC", "precision at 20 px")):
        first, second = (np.array([found[name][column] for name in before]) for found in (before, after))
        found = compare(second, first, groups=groups)
        rows.append((name, f"{first.mean():.3f}", f"{second.mean():.3f}", str(found)))
    return rows
