"""The user's cache folder, and what JAX compiles kept in it from one process to the next."""

import hashlib
import logging
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax

CACHE_VARIABLE = "MFST_JAX_CACHE"


def cache_folder() -> Path:
    """$MFST_JAX_CACHE, else mfst_jax in the user's cache folder. Raises `RuntimeError` for a user without a home."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mfst_jax"


def content(folder: Path) -> tuple[int, int]:
    """How many files lie in and below a folder, and their bytes; a file counts as itself, what cannot be read not."""
    files = (
        [folder] if folder.is_file() else (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    )
    sizes = []
    for file in files:
        with suppress(OSError):
            sizes.append(file.lstat().st_size)
    return len(sizes), sum(sizes)


def megabytes(count: int) -> str:
    """Bytes as people read them: `12.3 MB`."""
    return f"{count / 1e6:.1f} MB"


def keep_compilations() -> Path | None:
    """Has JAX keep what it compiles from now on in the cache folder, and take from there what it finds.

    For programs, before they compile anything: the settings are JAX's own, and the process's. A folder that the user
    has given JAX (`JAX_COMPILATION_CACHE_DIR`) stays, `JAX_ENABLE_COMPILATION_CACHE=0` switches everything off, and a
    folder that cannot be written to is none.

    Returns:
      Where they are kept; None where they are not.
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
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:  # the many small ones add up
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if settings.jax_logging_level in (None, "NOTSET"):
        # XLA calls a processor another one for tuning hints that it added itself (jax issue 38445): a line for each
        # compilation that is found, of no consequence.
        jax.config.update("jax_logging_level", "CRITICAL")
        logging.getLogger("jax").setLevel(logging.WARNING)
    return Path(str(settings.jax_compilation_cache_dir))


def _processor() -> str:
    """Tells processors apart that need other machine code, where several share a home."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    told = sorted({line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))} or lines)
    return f"{platform.machine()}-{hashlib.sha256(''.join(told).encode()).hexdigest()[:8]}"
