"""Settings of the C library's allocator, so that programs hold on to less freed memory. Without glibc nothing happens.

Compiling a step takes some hundred megabytes for a moment. The library keeps them for later use, and does so several
times over, since each thread that compiles has an arena of its own.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""Numbers of two parameters of `mallopt` (malloc.h): the size from which a block is mapped by itself, and how many
arenas there are."""
ARENAS = 1
"""Number of arenas that all threads share."""
COMPILING, USUAL = 2**16, 2**25
"""Bytes from which a block is mapped by itself, so that it goes back to the system when it is freed. While compiling
the threshold is low; otherwise it is 32 MiB, the most that the library itself chooses, so that the memory of a step is
not mapped anew in each step."""


def keep_little() -> None:
    """Makes all threads share one arena. To be called before there are threads."""
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)


@contextmanager
def compiling() -> Iterator[None]:
    """Maps large blocks by themselves within the block, while weights are read and steps are compiled.

    They then go back to the system when they are freed, instead of leaving gaps between small blocks that stay. The
    threshold holds for the whole process.
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
    """Hands freed memory back to the system: once all is compiled, and now and then."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """Function of the C library by its name; None where there is none."""
    return getattr(_c_library(), name, None) if sys.platform == "linux" else None


@cache
def _c_library() -> ctypes.CDLL:
    """The C library of this process, opened once: each opening leaves a class behind."""
    return ctypes.CDLL(None)
