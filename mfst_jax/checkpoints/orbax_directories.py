"""Checkpoints that are Orbax directories: the JSON object is a file, with the SHA-256 of each other file."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mfst_jax.checkpoints import weight_names
from mfst_jax.checkpoints.stored import parse_metadata
from mfst_jax.errors import InputError, system_errors

METADATA_FILE = "mfst_jax.json"
"""Name of the file with the JSON object."""


def write_orbax(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Writes named arrays to a new Orbax directory, with `metadata` and the digests by which they are verified.

    It is not atomic by itself.
    """
    with system_errors(), _quiet():
        import_orbax().save(path, weight_names.nest(dict(arrays)))
    (path / METADATA_FILE).write_text(json.dumps({**metadata, "files": _file_digests(path)}, indent=2))


def read_orbax(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Arrays and metadata of an Orbax directory.

    Our own directories are verified before Orbax sees them, since it also reports damage by log messages and stray
    asyncio tasks.
    """
    metadata = None
    if (path / METADATA_FILE).exists():
        metadata = parse_metadata(path, (path / METADATA_FILE).read_text())
        found = _file_digests(path)
        for name, sha256 in metadata["files"].items():
            if found.get(name) != sha256:
                raise InputError(
                    f"{path}: expected the files that were written there, found {name!r} missing or changed"
                )
    return weight_names.flatten(import_orbax().load(path.absolute())), metadata


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
