"""JSON files from anywhere, of bounded size: what cannot be read is refused by one line."""

import json
from pathlib import Path
from typing import Any

from mfst_jax.errors import InputError, reason

LARGEST = 2**29
"""Greatest number of bytes of a file."""


def load(path: Path) -> Any:
    """Value of a JSON file in UTF-8, with or without a mark of the byte order.

    Raises:
      OSError: it cannot be read.
      ValueError: it is too large, is no JSON, or has too many levels within each other.
    """
    check_size(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise ValueError(error) from None


def read_json(path: Path, expected: str, *, name: str | None = None) -> Any:
    """Value of a JSON file, as `load` reads it.

    Args:
      path: the file.
      expected: what it should be, for the error.
      name: what the error calls it; by default its path.

    Raises:
      InputError: a file that cannot be read, is too large or is no JSON.
    """
    try:
        return load(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{name or path}: expected {expected}, found {reason(error)}") from None


def check_size(path: Path) -> None:
    """Raises `ValueError` where a file is too large to be read whole, and `OSError` where it is not there."""
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{size} bytes, more than {LARGEST}")
