"""Folders of what is computed once: each appears when it is complete. Its arrays stay on disk until they are read."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mfst_jax import padding
from mfst_jax.errors import InputError, reason
from mfst_jax.whole_files import put, working_folder


def made_once(place: Path, compute: Callable[[Path], None], what: str) -> Path:
    """Folder `place`, as it is if it is there, else as `compute` fills it; another process that does so is waited for.

    Args:
      place: where it is to be.
      compute: writes into the folder that it is given, which takes its place at the end.
      what: what needs room there, in words.

    Raises:
      InputError: it cannot be written.
    """
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(place, wait=True) as folder:
            if not place.is_dir():  # nor did another process make it meanwhile
                unfinished = folder / "new"
                unfinished.mkdir()
                compute(unfinished)
                put(unfinished, place)
    except OSError as error:
        raise InputError(f"{place}: expected room for {what}, found {reason(error)}") from error
    return place


def gather(rows: Sequence[np.ndarray], like: np.ndarray) -> np.ndarray:
    """Rows as one array, at an address from which a CPU device takes it without another copy.

    Args:
      rows: rows of arrays on disk; there may be none.
      like: an array of such rows.
    """
    gathered = padding.empty((len(rows), *like.shape[1:]), like.dtype)
    for place, row in zip(gathered, rows, strict=True):
        place[...] = row
    return gathered


def open_array(path: Path) -> np.ndarray:
    """Array of an npy file, which stays on disk until it is read.

    Raises:
      InputError: there is none, or a damaged one.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy does not say what it raises on a damaged header
        raise InputError(f"{path}: expected an array that was kept there, found {reason(error)}; remove it") from None
