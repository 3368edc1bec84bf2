"""The prepared inference path: weights folded and transformed once, the same results as the Flax modules, sooner."""

from mfst_jax.fast.prepared import AnyParams, PreparedParams, as_prepared, method_for, prepare, prepare_for

__all__ = ["AnyParams", "PreparedParams", "as_prepared", "method_for", "prepare", "prepare_for"]
