"""Checkpoints: weights in an Orbax directory or a `.safetensors` file, with a configuration and a provenance.

Both hold the arrays under the names of `weight_names` and one JSON object: in the file's metadata under `mfst_jax`, in
the directory as `mfst_jax.json`. It has the `version` of this scheme, `config` (the recommended one as `config.to_dict`
gives it, or null), `provenance` (where the numbers come from), and what the arrays are verified by: `sha256` of all
arrays in a file, and `files`, the SHA-256 of each file of a directory. Checkpoints without that object, such as those
of other programs, load too if their tensors fit.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from mfst_jax.checkpoints import file_kinds, known_weights, weight_names
from mfst_jax.checkpoints.bundled_se import attach
from mfst_jax.config import Config, from_dict, to_dict
from mfst_jax.errors import InputError, system_errors
from mfst_jax.params import Params
from mfst_jax.version import __version__
from mfst_jax.whole_files import replacing

BUILT_IN = known_weights.place("builtin")
"""File of the weights that come with the package: torchvision's AlexNet, in float16."""

SUFFIX = ".safetensors"
"""Suffix of a checkpoint that is one file; any other is an Orbax directory."""
_log = logging.getLogger(__name__)
_KEY = "mfst_jax"
_METADATA_FILE = "mfst_jax.json"
_VERSION = 1
_SHOWN = 4
"""Number of problems that an error message spells out."""


@dataclass(frozen=True)
class Stored:
    """Content of a checkpoint as it lies on disk: its tensors need not be those of MFST.

    Attributes:
      arrays: Arrays by flat name, in the stored dtype.
      config: Configuration that the checkpoint recommends; None where it recommends none.
      provenance: Where the weights come from, as JSON values.
      unread: Tensors of types that NumPy lacks, and their types.
    """

    arrays: dict[str, np.ndarray]
    config: Config | None
    provenance: dict[str, Any]
    unread: Mapping[str, str] = dataclasses.field(default_factory=dict)


def load(path: str | Path | None = None, *, bundled_se: bool = True) -> Params:
    """Weights from an Orbax directory or a safetensors file, as float32 on JAX's default device.

    Nothing is downloaded. A file or directory goes before known weights of the same name, and a log message says so;
    `./paper` cannot be a name.

    Args:
      path: the directory or file, or the name of known weights (`mfst weights` lists them); None for the built-in
        weights, an AlexNet.
      bundled_se: whether backbones without SE-blocks get those of this package, if these were trained on them
        (`bundled_se.attach`).

    Raises:
      InputError: nothing there, a name that is not known or whose weights are not in the cache yet, not a checkpoint, a
        damaged one, or weights of another kind, shape or dtype.
    """
    found = known_weights.locate(path)
    try:
        params = _load(found)
    except InputError as error:
        raise InputError(f"{error}{known_weights.remedy(path)}") from error
    if known_weights.is_shadowed(path):
        _log.warning(
            "weights %r: taken from the path of that name, not from the known weights that are called so", path
        )
    return attach(params) if bundled_se else params


def _load(path: Path) -> Params:
    """Weights at a path, with no SE-blocks but their own."""
    stored = read(path)
    contents, problems = weight_names.check(stored.arrays)
    problems += [f"{name}: expected floating point, found {dtype}" for name, dtype in stored.unread.items()]
    if contents is None:
        advice = f"if they are another program's: {file_kinds.convert_command(path)}"
        raise InputError(f"{path}: expected weights of MFST, found {_summary(problems)}; {advice}")
    if problems:
        raise InputError(f"{path}: expected weights of MFST, found {_summary(problems)}")
    variables = weight_names.nest(
        {name: jnp.asarray(weight_names.to_float32(array)) for name, array in stored.arrays.items()}
    )
    return Params(variables, dataclasses.replace(contents, config=stored.config))


def save(params: Params, path: str | Path, *, provenance: Mapping[str, Any] | None = None) -> None:
    """Writes weights to `path`: one file where it ends in `.safetensors`, else an Orbax directory.

    The arrays keep their dtype. Missing parent folders are made. The path holds either what it held before or the
    complete new checkpoint, also where writing fails half-way.

    Args:
      params: weights that fit their own contents.
      path: a new path, an older file, or a directory that is empty or a checkpoint of ours; these are replaced.
      provenance: JSON values that say where the weights come from; `provenance(path)` returns them.

    Raises:
      InputError: the weights are not fit for use, or the path cannot be written or holds something else.
    """
    path = Path(path)
    arrays = {name: np.ascontiguousarray(array) for name, array in weight_names.flatten(params.variables).items()}
    contents, problems = weight_names.check(arrays)
    if contents is not None and (claimed := dataclasses.replace(params.contents, config=None)) != contents:
        problems = [f"{contents.describe()} where the contents say {claimed.describe()}", *problems]
    if problems:
        raise InputError(f"{path}: expected weights of MFST to save, found {_summary(problems)}")
    if provenance is None:
        provenance = {"tool": f"mfst_jax {__version__}", "sources": []}
    metadata = make_metadata(params.contents.config, provenance)
    check_replaceable(path)
    with replacing(path, "a place to write a checkpoint") as new:
        if path.suffix == SUFFIX:
            write_safetensors(new, arrays, metadata)
        else:
            with system_errors(), _quiet():
                _orbax().save(new, weight_names.nest(arrays))
            metadata["files"] = _file_digests(new)
            (new / _METADATA_FILE).write_text(json.dumps(metadata, indent=2))


def provenance(path: str | Path | None = None) -> dict[str, Any]:
    """Provenance of weights, as `save` was given it; {} where they have none.

    What `weight_port` writes: `tool`, and `sources`, each with `name`, `format`, `sha256` and `notes`.

    Args:
      path: as for `load`.

    Raises:
      InputError: nothing there, not a checkpoint, or a damaged one.
    """
    return read(known_weights.locate(path)).provenance


def read(path: Path) -> Stored:
    """Content of a safetensors file or an Orbax directory: whatever tensors it holds, and our metadata if it has them.

    Args:
      path: the file or the directory.

    Raises:
      InputError: nothing there, not a checkpoint, or a damaged one.
    """
    other = file_kinds.identify(path)
    if other is not None:
        remedy = other.remedy or f"convert it: {file_kinds.convert_command(path)}"
        raise InputError(f"{path}: expected an Orbax directory or a safetensors file, found {other.what}; {remedy}")
    if not path.exists():
        raise InputError(f"{path}: expected an Orbax directory or a safetensors file, found nothing there")
    kind = "an Orbax checkpoint" if path.is_dir() else "a safetensors file"
    unread: dict[str, str] = {}
    try:
        arrays, metadata = _read_orbax(path) if path.is_dir() else _read_safetensors(path, unread)
    except InputError:
        raise
    except Exception as error:  # the parsers do not say what they raise on damaged input
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: expected {kind}, found none or a damaged one ({reason:.200})") from error
    return dataclasses.replace(interpret(path, arrays, metadata), unread=unread)


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


def _read_safetensors(path: Path, unread: dict[str, str]) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
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
    metadata = _parse(path, text)
    if metadata.get("sha256") != digest(arrays):
        raise InputError(f"{path}: expected the arrays that were written there, found others (SHA-256 differs)")
    return arrays, metadata


def _read_orbax(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Arrays and metadata of an Orbax directory.

    Our own directories are verified before Orbax sees them, since it also reports damage by log messages and stray
    asyncio tasks.
    """
    metadata = None
    if (path / _METADATA_FILE).exists():
        metadata = _parse(path, (path / _METADATA_FILE).read_text())
        found = _file_digests(path)
        for name, sha256 in metadata["files"].items():
            if found.get(name) != sha256:
                raise InputError(
                    f"{path}: expected the files that were written there, found {name!r} missing or changed"
                )
    return weight_names.flatten(_orbax().load(path.absolute())), metadata


def _parse(path: Path, text: str) -> dict[str, Any]:
    metadata = json.loads(text)
    _check_version(path, metadata)
    return metadata


def _check_version(path: Path, metadata: Any) -> None:
    version = metadata.get("version") if isinstance(metadata, dict) else None
    if version != _VERSION:
        raise InputError(f"{path}: expected checkpoint version {_VERSION}, found {version!r:.40}")


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


def _orbax() -> Any:
    """Orbax, imported at first use: importing it takes seconds, and safetensors files do not need it."""
    from orbax.checkpoint import v1

    return v1


def check_replaceable(path: Path) -> None:
    """Raises `InputError` where a checkpoint would take the place of something that is none."""
    if not path.exists():
        return
    if path.suffix == SUFFIX:
        if not path.is_file():
            raise InputError(f"{path}: expected a file or nothing to replace, found a directory")
    elif not path.is_dir():
        raise InputError(f"{path}: expected a directory or nothing to replace (files end in {SUFFIX}), found a file")
    elif any(path.iterdir()) and not (path / _METADATA_FILE).exists():
        raise InputError(f"{path}: expected an empty directory or a checkpoint of ours to replace, found another one")


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


def _file_digests(path: Path) -> dict[str, str]:
    """SHA-256 of every file below `path` but the one that records them."""
    digests = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name != _METADATA_FILE:
            with file.open("rb") as stream:
                digests[file.relative_to(path).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return digests


def _summary(problems: list[str]) -> str:
    """Problems in one line, whatever characters the tensors' names have."""
    more = len(problems) - _SHOWN
    text = "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return " ".join(text.splitlines())
