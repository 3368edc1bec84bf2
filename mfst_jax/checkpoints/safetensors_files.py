"""Checkpoints that are safetensors files: the JSON object is in the file's metadata, with the SHA-256 of all arrays."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from mfst_jax.checkpoints.stored import digest, parse_metadata
from mfst_jax.errors import InputError, system_errors

_KEY = "mfst_jax"


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Writes named arrays to a safetensors file, with `metadata` and the digest by which `read` verifies them.

    It is not atomic by itself.
    """
    text = json.dumps({**metadata, "sha256": digest(arrays)})
    path.touch()
    mode = path.stat().st_mode
    try:
        with system_errors():
            safetensors.numpy.save_file(dict(arrays), path, metadata={_KEY: text})
    except safetensors.SafetensorError as error:  # raised where the disk is full
        raise OSError(str(error)) from error
    path.chmod(mode)  # as for any new file of this user; save_file lets nobody else read its file


def is_safetensors(head: bytes) -> bool:
    """Whether a file that starts with `head`, nine bytes or more of it, is a safetensors file."""
    return head[5:9] == b"\0\0\0{"  # the length of the header in eight bytes, then JSON


def read_safetensors(path: Path, unread: dict[str, str]) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Arrays and metadata of a safetensors file; tensors that NumPy has no type for go into `unread`."""
    arrays: dict[str, np.ndarray] = {}
    with safetensors.safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 (it is no mapping)
            dtype = file.get_slice(name).get_dtype()
            if re.fullmatch(r"F(16|32|64)|BF16|[IU](8|16|32|64)|BOOL", dtype):
                arrays[name] = file.get_tensor(name)
            else:
                unread[name] = dtype
        text = (file.metadata() or {}).get(_KEY)
    if text is None:
        return arrays, None
    metadata = parse_metadata(path, text)
    if metadata.get("sha256") != digest(arrays):
        raise InputError(f"{path}: expected the arrays that were written there, found others (SHA-256 differs)")
    return arrays, metadata
