"""Settings of the C library's allocator: what compiling takes goes back to the system, what a step takes is kept.

Compiling a step takes some hundred megabytes for a moment. A step takes some ten, and takes them again in each frame:
if they went back to the system meanwhile, it would have to map and clear them anew. Without glibc nothing happens.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of two parameters of `mallopt` (malloc.h): how many free bytes an arena may hold at its end, and the size
from which a block is mapped by itself."""
COMPILING, USUAL = 2**16, 2**25
"""Bytes from which a block is mapped by itself, so that it goes back to the system when it is freed. While compiling
the threshold is low; otherwise it is 32 MiB, the most that the library allows."""
KEPT = 2**28
"""Free bytes that an arena may hold at its end while nothing is compiled. The library's own choice would be 128 KiB, so
that most of a step's memory would go back to the system in each frame."""


@contextmanager
def compiling() -> Iterator[None]:
    """Maps large blocks by themselves within the block, while weights are read and steps are compiled.

    They then go back to the system when they are freed, instead of leaving gaps between small blocks that stay.
    Afterwards arenas keep what is freed until `give_back`. Both hold for the whole process.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        yield
        return
    mallopt(M_MMAP_THRESHOLD, COMPILING)
    mallopt(M_TRIM_THRESHOLD, COMPILING)
    try:
        yield
    finally:
        mallopt(M_MMAP_THRESHOLD, USUAL)
        mallopt(M_TRIM_THRESHOLD, KEPT)


def give_back() -> None:
    """Hands freed memory back to the system: once all is compiled, and now and then."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def resident_bytes() -> float:
    """Resident memory of this process in bytes; infinite where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("inf")
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def _of_glibc(name: str) -> Any:
    """Function of the C library by its name; None where there is none."""
    return getattr(_c_library(), name, None) if sys.platform == "linux" else None


@cache
def _c_library() -> ctypes.CDLL:
    """The C library of this process, opened once: each opening leaves a class behind."""
    return ctypes.CDLL(None)
