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
from mfst_jax.errors import InputError, reason

_VERSION = 1
_DEEPEST = 200
"""Greatest number of levels of the JSON object. A conversion adds two to those of its source."""


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
    """JSON object that goes with arrays, as it is in every kind of file.

    Raises:
      InputError: the provenance is no JSON object, or has so many levels that it would not be read.
    """
    recommended = None if config is None else to_dict(config)
    try:
        text = json.dumps({"version": _VERSION, "config": recommended, "provenance": dict(provenance)})
        metadata = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"provenance: expected JSON values by name, found {reason(error)}") from error
    if _is_deeper(metadata, _DEEPEST):
        raise InputError(f"provenance: expected JSON values of at most {_DEEPEST - 1} levels, found more")
    return metadata


def interpret(path: Path, arrays: dict[str, np.ndarray], metadata: Any) -> Stored:
    """Content of a checkpoint, from its arrays and the JSON object that goes with them; None where there is none.

    Raises:
      InputError: it is not such an object.
    """
    if metadata is None:
        return Stored(arrays, None, {})
    check_version(path, metadata)
    config, origin = metadata.get("config"), metadata.get("provenance")
    if not isinstance(config, dict | None) or not isinstance(origin, dict):
        raise InputError(f"{path}: expected a configuration and a provenance in the metadata, found something else")
    if _is_deeper(metadata, _DEEPEST):  # than Python's own functions go, though its reader of JSON does from 3.12 on
        raise InputError(f"{path}: expected metadata of at most {_DEEPEST} levels, found more")
    try:
        return Stored(arrays, None if config is None else from_dict(config), origin)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_metadata(path: Path, text: str) -> dict[str, Any]:
    """JSON object that goes with arrays, of a version that is read here. Raises `InputError` for another version."""
    metadata = json.loads(text)
    check_version(path, metadata)
    return metadata


def check_version(path: Path, metadata: Any) -> None:
    """Raises `InputError` where the object that goes with arrays is not of a version that is read here."""
    version = metadata.get("version") if isinstance(metadata, dict) else None
    if version != _VERSION:
        raise InputError(f"{path}: expected checkpoint version {_VERSION}, found {version!r:.40}")


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether a JSON value has more than so many levels of objects and lists within each other."""
    nodes = [value]
    for _ in range(levels):
        nested = [node for node in nodes if isinstance(node, dict | list)]
        nodes = [inner for node in nested for inner in (node.values() if isinstance(node, dict) else node)]
    return any(isinstance(node, dict | list) for node in nodes)


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
