"""Text files of numbers, however they were saved: rows between commas, tabs or spaces. Errors name file and line."""

import codecs
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int

from mfst_jax.errors import InputError

LARGEST_TEXT = 2**28
"""Greatest number of bytes of a file of numbers."""
LARGEST_NOTE = 2**22
"""Number of bytes that are read at most of a file of names or properties."""
SHOWN = 60
"""Number of characters of a line that an error repeats at most."""


def read_start(path: Path) -> str:
    """First `LARGEST_NOTE` bytes of a text file as text; empty where there is no file, or a device or a pipe."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(LARGEST_NOTE).decode("utf-8-sig", errors="replace")
    except (OSError, ValueError):
        return ""


def read_text(path: Path) -> str:
    """Text of a file, without a byte order mark and without blank lines at its end: UTF-8, or UTF-16 if marked so.

    Raises:
      InputError: it cannot be read, is no text, is empty, or has more than `LARGEST_TEXT` bytes.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("a folder" if path.is_dir() else "a device or a pipe")
        with path.open("rb") as file:
            content = file.read(LARGEST_TEXT + 1)
        if len(content) > LARGEST_TEXT:
            raise ValueError(f"more than {LARGEST_TEXT} bytes")
        marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if marked else "utf-8-sig").rstrip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a text file, found {getattr(error, 'strerror', None) or error}") from None
    if not text:
        raise InputError(f"{path}, line 1: expected numbers, found an empty file")
    return text


def changes(*paths: Path) -> int:
    """Number that differs once one of the files has changed, by sizes and times: a key for what was read of them."""
    return hash(tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


def read_numbers(path: Path, columns: Collection[int]) -> Float64[np.ndarray, "rows columns"]:
    """Numbers in a text file, a row for each line, between commas, tabs or spaces; a comma may end a line.

    Args:
      path: the file.
      columns: how many numbers a line may have; all lines have as many.

    Raises:
      InputError: a file that cannot be read, an empty one, or a line that is not as many numbers.
    """
    lines = read_text(path).splitlines()
    numbers = parse_lines(lines)
    if numbers is not None and numbers.shape[1] in columns:
        return numbers
    width = len(fields(lines[0]))
    allowed = {width} if width in columns else {*columns}
    parsed = (parse_lines([line]) for line in lines)
    wrong = next(number for number, row in enumerate(parsed) if row is None or row.shape[1] not in allowed)
    raise line_error(path, wrong, " or ".join(map(str, sorted(allowed))) + " numbers", lines[wrong])


def parse_lines(lines: list[str]) -> Float64[np.ndarray, "rows columns"] | None:
    """Numbers of lines that all have as many of them; None if they do not, or if something is no number."""
    text = "\n".join(lines)
    compact = "\n" + text.replace(" ", "").replace("\t", "")
    if not compact.strip() or ",," in compact or "\n," in compact:  # blank, or an empty field
        return None
    try:
        numbers = np.loadtxt(text.replace(",", " ").split("\n"), comments=None, ndmin=2)
    except ValueError:
        return None
    return numbers if len(numbers) == len(lines) else None  # loadtxt passes over blank lines


def fields(line: str) -> list[str]:
    """Fields of a line between commas, tabs or spaces; empty where a comma begins the line or follows another."""
    return re.split(r"\s*,\s*|\s+", line.strip().removesuffix(",").rstrip())


def line_error(path: Path, line: int, expected: str, found: str) -> InputError:
    """Error for a line of a file, counted from 0."""
    found = found if len(found) <= SHOWN else found[:SHOWN] + "..."
    return InputError(f"{path}, line {line + 1}: expected {expected}, found {found!r}")


def line_numbers(rows: Int[np.ndarray, " rows"]) -> str:
    """Rows of a file, counted from 0, in words that count from 1: `line 3` or `lines 3, 7-9`."""
    numbers = rows + 1
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    spans = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"line{'s' if len(numbers) > 1 else ''} {spans}"
