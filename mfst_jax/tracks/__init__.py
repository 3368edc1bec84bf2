"""Tracks: which of their frames are lost, the files that hold them, and clips of them to train on."""

from mfst_jax.tracks.clips import Clip, Clips
from mfst_jax.tracks.lost_frames import LOST_BELOW, describe, is_lost, stretches

__all__ = ["LOST_BELOW", "Clip", "Clips", "describe", "is_lost", "stretches"]
