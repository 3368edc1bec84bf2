"""The compiled inference path: weights folded and transformed once, the same results as the Flax modules, sooner."""

from mfst_jax.fast.compiled import Compiled, compile

__all__ = ["Compiled", "compile"]
