"""Folders of what is computed once: each appears when it is complete."""

import shutil
from collections.abc import Callable
from pathlib import Path

from mfst_jax.errors import InputError


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
