"""Evaluation of trackers against ground truth: datasets, raw results, measures, statistics and reports."""

from mfst_jax.evaluation.datasets import Dataset, Protocol, load
from mfst_jax.evaluation.metrics import Measures, centre_errors, overlaps, precision_20px, success_auc
from mfst_jax.evaluation.results import Result, Results, find_results, write_result
from mfst_jax.evaluation.scoring import Summary, score
from mfst_jax.sequences import Sequence

__all__ = [
    "Dataset",
    "Measures",
    "Protocol",
    "Result",
    "Results",
    "Sequence",
    "Summary",
    "centre_errors",
    "find_results",
    "load",
    "overlaps",
    "precision_20px",
    "score",
    "success_auc",
    "write_result",
]
