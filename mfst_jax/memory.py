"""What the C library keeps of the memory that it is given back: for programs, less. Without glibc nothing happens.

Compiling a step takes some hundred megabytes for a moment. The library keeps them for a next use that does not come,
and keeps them several times, since each thread that compiles has an arena of its own.
"""

import ctypes
import sys
from typing import Any

M_ARENA_MAX = -8
"""What `mallopt` knows the number of arenas by (malloc.h)."""
ARENAS = 1


def keep_little() -> None:
    """Has threads share arenas. To be called before there are threads."""
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Hands what is free back to the system: once all is compiled, and now and then."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function of the C library; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
