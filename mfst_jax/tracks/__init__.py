"""Tracks: which of their frames are lost, and the files that hold them."""

from mfst_jax.tracks.lost_frames import LOST_BELOW, is_lost

__all__ = ["LOST_BELOW", "is_lost"]
