"""Checkpoints that are Orbax directories: the JSON object is a file, with the SHA-256 of each other file."""

import contextlib
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mfst_jax import json_files
from mfst_jax.checkpoints import weight_names
from mfst_jax.checkpoints.stored import check_version
from mfst_jax.errors import InputError, system_errors

METADATA_FILE = "mfst_jax.json"
"""Name of the file with the JSON object."""
LARGEST = 2**30
"""Greatest number of bytes of all arrays of a directory, which may be far smaller on disk, as it is compressed."""


def write_orbax(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Writes named arrays to a new Orbax directory, with `metadata` and the digests by which they are verified.

    It is not atomic by itself. Where it fails, what it has written so far is left to the caller.
    """
    with system_errors(), _quiet():
        try:
            import_orbax().save(path, weight_names.nest(dict(arrays)))
        except BaseException:
            _wait_until_still(path)
            raise
    (path / METADATA_FILE).write_text(json.dumps({**metadata, "files": _file_digests(path)}, indent=2))


def read_orbax(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Arrays and metadata of an Orbax directory.

    Our own directories are verified before Orbax sees them, since it also reports damage by log messages and stray
    asyncio tasks.

    Raises:
      InputError: it is of another version, damaged, larger than `LARGEST`, or has a device or a pipe in it.
      Exception: whatever Orbax raises on damage.
    """
    for entry in path.rglob("*"):
        if entry.exists() and not entry.is_file() and not entry.is_dir():  # of which reading need not end
            found = f"a device or a pipe, {entry.relative_to(path)}"
            raise InputError(f"{path}: expected files and folders in an Orbax directory, found {found}")
    metadata = None
    if (path / METADATA_FILE).exists():
        metadata = json_files.load(path / METADATA_FILE)
        check_version(path, metadata)
        found = _file_digests(path)
        for name, sha256 in metadata["files"].items():
            if found.get(name) != sha256:
                raise InputError(
                    f"{path}: expected the files that were written there, found {name!r} missing or changed"
                )
    orbax = import_orbax()
    sizes = map(_nbytes, jax.tree_util.tree_leaves(orbax.metadata(path.absolute()).metadata))
    if (size := sum(sizes)) > LARGEST:
        raise InputError(f"{path}: expected at most {LARGEST} bytes of arrays, found {size}")
    return weight_names.flatten(orbax.load(path.absolute())), metadata


def _nbytes(leaf: Any) -> int:
    """Number of bytes that reading an array takes, by Orbax's metadata; 0 for a number or text by itself.

    Arrays are stored in chunks, each of which is unpacked as a whole, even if the array ends within it.
    """
    if getattr(leaf, "shape", None) is None:
        return 0
    chunk = getattr(leaf.storage_metadata, "chunk_shape", None) or leaf.shape
    return math.prod(max(sides) for sides in zip(leaf.shape, chunk, strict=True)) * np.dtype(leaf.dtype).itemsize


def _wait_until_still(path: Path) -> None:
    """Waits until nothing in the folder of `path`, where Orbax writes, has changed for a fifth of a second.

    Orbax raises the first error of a file while its threads still write other files, and make folders for them again
    where they are gone. It offers no way to wait for them. After five seconds this waits no longer.
    """
    still, last = 0, None
    for _ in range(100):
        found = {}
        for folder, folders, files in os.walk(path.parent):  # which goes on where a folder has vanished
            for name in (*folders, *files):
                with contextlib.suppress(OSError):  # it was renamed or removed meanwhile
                    status = Path(folder, name).stat()
                    found[folder, name] = (status.st_size, status.st_mtime_ns)
        still = still + 1 if found == last else 0
        if still == 4:
            break
        last = found
        time.sleep(0.05)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Orbax from logging, several times over, the error that it raises in the end."""
    log = logging.getLogger("absl")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


def import_orbax() -> Any:
    """Orbax, imported at first use: importing it takes seconds, and safetensors files do not need it."""
    from orbax.checkpoint import v1

    return v1


def _file_digests(path: Path) -> dict[str, str]:
    """SHA-256 of every file below `path` but the one that records them."""
    digests = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name != METADATA_FILE:
            with file.open("rb") as stream:
                digests[file.relative_to(path).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return digests
