"""What the C library keeps of the memory that it is given back: for programs, less. Without glibc nothing happens.

Compiling a step takes some hundred megabytes for a moment. The library keeps them for a next use that does not come,
and keeps them several times, since each thread that compiles has an arena of its own.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""What `mallopt` knows by these numbers (malloc.h): from which size a block lies by itself, and how many arenas."""
ARENAS = 1
COMPILING, USUAL = 2**16, 2**25
"""Bytes from which a block lies by itself, so that it goes back when it is freed whatever lies around it. What a step
needs must not, or it would be mapped anew in each; 32 MiB is what the library itself comes to."""


def keep_little() -> None:
    """Has threads share arenas. To be called before there are threads."""
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)


@contextmanager
def compiling() -> Iterator[None]:
    """While weights are read and steps are compiled, large blocks lie by themselves: fewer small ones that stay lie
    between those that go. The threshold is of the whole process.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        yield
        return
    mallopt(M_MMAP_THRESHOLD, COMPILING)
    try:
        yield
    finally:
        mallopt(M_MMAP_THRESHOLD, USUAL)


def give_back() -> None:
    """Hands what is free back to the system: once all is compiled, and now and then."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function of the C library; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
