"""Content of a checkpoint: named arrays, and the JSON object that goes with them.

The object has the `version` of this scheme, `config` (the recommended one as `config.to_dict` gives it, or null) and
`provenance` (where the numbers come from), beside what the arrays are verified by.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mfst_jax.config import Config, from_dict, to_dict
from mfst_jax.errors import InputError

_VERSION = 1


@dataclass(frozen=True, eq=False)
class Stored:
    """Content of a checkpoint as it lies on disk: its tensors need not be those of MFST.

    Attributes:
      arrays: Arrays by flat name, in the stored dtype.
      config: Configuration that the checkpoint recommends; None where it recommends none.
      provenance: Where the weights come from, as JSON values.
      unread: Tensors of types that NumPy lacks, and their types.
    """

    arrays: dict[str, np.ndarray] = field(repr=False)
    config: Config | None
    provenance: dict[str, Any]
    unread: Mapping[str, str] = field(default_factory=dict)


def make_metadata(config: Config | None, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """JSON object that goes with arrays, as it is in every kind of file."""
    return {
        "version": _VERSION,
        "config": None if config is None else to_dict(config),
        "provenance": dict(provenance),
    }


def interpret(path: Path, arrays: dict[str, np.ndarray], metadata: Any) -> Stored:
    """Content of a checkpoint, from its arrays and the JSON object that goes with them; None where there is none.

    Raises:
      InputError: it is not such an object.
    """
    if metadata is None:
        return Stored(arrays, None, {})
    _check_version(path, metadata)
    config, origin = metadata.get("config"), metadata.get("provenance")
    if not isinstance(config, dict | None) or not isinstance(origin, dict):
        raise InputError(f"{path}: expected a configuration and a provenance in the metadata, found something else")
    try:
        return Stored(arrays, None if config is None else from_dict(config), origin)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_metadata(path: Path, text: str) -> dict[str, Any]:
    """JSON object that goes with arrays, of a version that is read here. Raises `InputError` for another version."""
    metadata = json.loads(text)
    _check_version(path, metadata)
    return metadata


def _check_version(path: Path, metadata: Any) -> None:
    version = metadata.get("version") if isinstance(metadata, dict) else None
    if version != _VERSION:
        raise InputError(f"{path}: expected checkpoint version {_VERSION}, found {version!r:.40}")


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of arrays, in the order of the names.

    Args:
      arrays: arrays [any axes] of any dtype, by their names.
    """
    sha256 = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        sha256.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        sha256.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return sha256.hexdigest()
