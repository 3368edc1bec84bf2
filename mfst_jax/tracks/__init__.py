"""Tracks: which of their frames are lost, and the files that hold them."""

from mfst_jax.tracks.lost_frames import LOST_BELOW, describe, is_lost, stretches

__all__ = ["LOST_BELOW", "describe", "is_lost", "stretches"]
