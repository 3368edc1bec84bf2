"""Checkpoints: weights read and written, the names of their tensors, and weights that are known by name."""

from mfst_jax.checkpoints.files import BUILT_IN, SUFFIX, load, provenance, read, save
from mfst_jax.checkpoints.stored import Stored, digest

__all__ = ["BUILT_IN", "SUFFIX", "Stored", "digest", "load", "provenance", "read", "save"]
