"""Annotated sequences on disk, read in one way by every command: images in order, true boxes, and absences.

The layouts are those of `layouts`, in which a sequence is a folder of its own, and those of `dataset_layouts`.
"""

from mfst_jax.sequences.dataset_layouts import find_dataset
from mfst_jax.sequences.layouts import places_in
from mfst_jax.sequences.places import Place, Request
from mfst_jax.sequences.reading import read_sequence
from mfst_jax.sequences.sequence import Sequence

__all__ = ["Place", "Request", "Sequence", "find_dataset", "places_in", "read_sequence"]
