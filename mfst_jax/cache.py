"""The user's cache folder, and JAX's persistent compilation cache in it."""

import hashlib
import logging
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax

__all__ = ["cache_folder", "keep_compilations"]

CACHE_VARIABLE = "MFST_JAX_CACHE"
"""Environment variable that names the cache folder."""


def cache_folder() -> Path:
    """Cache folder: $MFST_JAX_CACHE, else mfst_jax in the user's cache folder.

    Raises:
      RuntimeError: the user has no home.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mfst_jax"


def content(folder: Path) -> tuple[int, int]:
    """Number of files in and below a folder, and their bytes.

    A file counts as itself; what cannot be read does not count.
    """
    files = (
        [folder] if folder.is_file() else (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    )
    sizes = []
    for file in files:
        with suppress(OSError):
            sizes.append(file.lstat().st_size)
    return len(sizes), sum(sizes)


def megabytes(count: int) -> str:
    """Number of bytes as people read it: `12.3 MB`."""
    return f"{count / 1e6:.1f} MB"


def keep_compilations() -> Path | None:
    """Turns on JAX's persistent compilation cache, in the cache folder.

    For programs, before they compile anything: the settings are JAX's own, and hold for the process. A folder that the
    user has given JAX (`JAX_COMPILATION_CACHE_DIR`) stays, and `JAX_ENABLE_COMPILATION_CACHE=0` turns everything off.

    Returns:
      The folder of the compilations; None where they are not kept, because that is turned off or the folder cannot be
      written to.
    """
    settings: Any = jax.config
    if not settings.jax_enable_compilation_cache:
        return None
    if settings.jax_compilation_cache_dir is None:
        try:
            folder = cache_folder() / "compilations" / _processor()
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):
            return None
        if not os.access(folder, os.W_OK):
            return None
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:  # many small compilations add up
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if settings.jax_logging_level in (None, "NOTSET"):
        # XLA warns of another processor for each compilation that it finds, because of tuning hints that it added
        # itself (jax issue 38445). The warning means nothing.
        jax.config.update("jax_logging_level", "CRITICAL")
        logging.getLogger("jax").setLevel(logging.WARNING)
    return Path(str(settings.jax_compilation_cache_dir))


def _processor() -> str:
    """Name of the processor's kind: processors that need different machine code have different names."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    told = sorted({line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))} or lines)
    return f"{platform.machine()}-{hashlib.sha256(''.join(told).encode()).hexdigest()[:8]}"
