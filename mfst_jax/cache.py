"""The user's cache folder, and JAX's persistent compilation cache in it."""

import hashlib
import logging
import os
import platform
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax

__all__ = ["cache_folder", "keep_compilations"]

CACHE_VARIABLE = "MFST_JAX_CACHE"
"""Environment variable that names the cache folder."""


_CHECKED = ".checked"
"""File of a folder of compilations whose time is that of the last look for half-written ones."""
_GRAIN = 2_000_000_000
"""Nanoseconds by which times of files may be rounded."""
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


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


def size_in_words(count: int) -> str:
    """Number of bytes as people read it: `12.3 MB`, `73.4 GB`."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


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
        remove_half_written(folder)
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:  # many small compilations add up
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if settings.jax_logging_level in (None, "NOTSET"):
        # XLA warns of another processor for each compilation that it finds, because of tuning hints that it added
        # itself (jax issue 38445). The warning means nothing.
        jax.config.update("jax_logging_level", "CRITICAL")
        logging.getLogger("jax").setLevel(logging.WARNING)
    return Path(str(settings.jax_compilation_cache_dir))


def remove_half_written(folder: Path) -> int:
    """Removes compilations of which a killed process has left a part, or a full disk; returns how many.

    JAX writes each under its own name, would warn of a part at every start, and never replaces it. What was there at
    the last call has been looked at then. What another process is writing at this moment may go too: it is compiled
    again.
    """
    stamp, removed = folder / _CHECKED, 0
    with suppress(OSError):
        before = stamp.stat().st_mtime_ns if stamp.exists() else 0
        files = [path for path in folder.glob("*-cache") if path.stat().st_mtime_ns >= before - _GRAIN]
        stamp.touch()
        for path in files:
            if not _is_complete(path.read_bytes()):
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _is_complete(content: bytes) -> bool:
    """Whether one of JAX's compilations can be unpacked; true where there is nothing here that could tell."""
    try:
        if content[:4] == _ZSTANDARD:
            import zstandard

            zstandard.ZstdDecompressor().decompress(content)
        else:
            zlib.decompress(content)
    except ImportError:
        return True
    except Exception:  # each library has an error of its own
        return False
    return True


def _processor() -> str:
    """Name of the processor's kind: processors that need different machine code have different names."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    told = sorted({line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))} or lines)
    return f"{platform.machine()}-{hashlib.sha256(''.join(told).encode()).hexdigest()[:8]}"
