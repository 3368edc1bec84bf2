"""The prepared inference path: weights folded and transformed once, the same results as the Flax modules, sooner."""

from mfst_jax.fast.prepared import AnyParams, PreparedParams, as_prepared, prepare

__all__ = ["AnyParams", "PreparedParams", "as_prepared", "prepare"]
