"""The prepared inference path: weights folded and transformed once, the same results as the Flax modules, sooner."""

from mfst_jax.fast.prepared import AnyParams, PreparedParams, prepare

__all__ = ["AnyParams", "PreparedParams", "prepare"]
