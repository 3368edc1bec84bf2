"""Prepared inference: weights folded and transformed once, for the same results as the Flax modules in less time."""

from mfst_jax.fast.prepared import AnyParams, PreparedParams, as_prepared, method_for, prepare, prepare_for

__all__ = ["AnyParams", "PreparedParams", "as_prepared", "method_for", "prepare", "prepare_for"]
