"""How well a track agrees with the ground truth."""

from mfst_jax.evaluation.metrics import centre_errors, overlaps, precision_20px, success_auc

__all__ = ["centre_errors", "overlaps", "precision_20px", "success_auc"]
