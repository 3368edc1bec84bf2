"""Tracks: which of their frames are lost, the files that hold them, and clips of them to train on."""

from mfst_jax.tracks.clips import Clip, Clips
from mfst_jax.tracks.files import Record, Track, read_record, read_table
from mfst_jax.tracks.lost_frames import LOST_BELOW, describe, is_lost, stretches
from mfst_jax.tracks.recorded_source import open_frames

__all__ = [
    "LOST_BELOW",
    "Clip",
    "Clips",
    "Record",
    "Track",
    "describe",
    "is_lost",
    "open_frames",
    "read_record",
    "read_table",
    "stretches",
]
