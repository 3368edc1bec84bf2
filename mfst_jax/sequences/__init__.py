"""Annotated sequences on disk, read in one way by every command: images in order, true boxes, and absences.

The layouts are those of OTB, GOT-10k, LaSOT and VOT.
"""

from mfst_jax.sequences.annotations import read_boxes
from mfst_jax.sequences.layouts import Place, describe_other, places_in, sequence_folders
from mfst_jax.sequences.reading import Sequence, read_sequence

__all__ = ["Place", "Sequence", "describe_other", "places_in", "read_boxes", "read_sequence", "sequence_folders"]
