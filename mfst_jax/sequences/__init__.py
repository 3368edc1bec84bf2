"""Annotated sequences on disk, read in one way by every command: images in order, true boxes, and absences.

The layouts are those of OTB, GOT-10k, LaSOT and VOT.
"""

from mfst_jax.sequences.layouts import Place, places_in
from mfst_jax.sequences.reading import Sequence, read_sequence

__all__ = ["Place", "Sequence", "places_in", "read_sequence"]
