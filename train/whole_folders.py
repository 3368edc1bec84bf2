"""Folders of what is computed once: each appears when it is complete. Its arrays stay on disk until they are read."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mfst_jax.errors import InputError, reason


def made_once(place: Path, compute: Callable[[Path], None], what: str) -> Path:
    """Folder `place`, as it is if it is there, else as `compute` fills it.

    Args:
      place: where it is to be.
      compute: writes into the folder that it is given, which takes its place at the end.
      what: what needs room there, in words.

    Raises:
      InputError: it cannot be written.
    """
    if not place.is_dir():
        unfinished = place.with_name(f".{place.name}.unfinished")
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            compute(unfinished)
            unfinished.rename(place)
        except OSError as error:
            raise InputError(f"{place}: expected room for {what}, found {error.strerror}") from error
    return place


def open_array(path: Path) -> np.ndarray:
    """Array of an npy file, which stays on disk until it is read.

    Raises:
      InputError: there is none, or a damaged one.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy does not say what it raises on a damaged header
        raise InputError(f"{path}: expected an array that was kept there, found {reason(error)}; remove it") from None
