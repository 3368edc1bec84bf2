"""JSON: files from anywhere, of bounded size, where what cannot be read is refused by one line; and text to read."""

import json
import os
from pathlib import Path
from typing import Any

from mfst_jax.errors import InputError, reason

LARGEST = 2**29
"""Greatest number of bytes of a file."""


def load(path: Path) -> Any:
    """Value of a JSON file in UTF-8, with or without a mark of the byte order.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no file, is too large, is no JSON, or has too many levels within each other.
    """
    text = read_bytes(path).decode("utf-8-sig")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(error) from None


def indented(value: Any, spaces: int = 0) -> str:
    """Text of a JSON value with a line for each entry, but one line for a list of numbers and strings alone.

    Args:
      value: the value.
      spaces: how far its lines but the first are indented.
    """
    brackets = "[]" if isinstance(value, list) else "{}"
    entries: list[str] = []
    if isinstance(value, dict):
        entries = [f"{json.dumps(key)}: {indented(each, spaces + 2)}" for key, each in value.items()]
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        entries = [indented(each, spaces + 2) for each in value]
    if not entries:
        return json.dumps(value)
    start, end = "\n" + " " * (spaces + 2), "\n" + " " * spaces
    return brackets[0] + start + f",{start}".join(entries) + end + brackets[1]


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


def read_bytes(path: Path) -> bytes:
    """Content of a file of at most `LARGEST` bytes.

    Raises:
      OSError: it cannot be read.
      ValueError: it is too large, or a device or a pipe, which need not end.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError("a device or a pipe")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(LARGEST + 1) if size <= LARGEST else b""
    if (size := max(size, len(content))) > LARGEST:
        raise ValueError(f"{size} bytes, more than {LARGEST}")
    return content
