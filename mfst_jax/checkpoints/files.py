"""Checkpoints: weights in an Orbax directory or a `.safetensors` file, with a configuration and a provenance.

Both hold the arrays under the names of `weight_names` and one JSON object: in the file's metadata under `mfst_jax`, in
the directory as `mfst_jax.json`. It has the `version` of this scheme, `config` (the recommended one as `config.to_dict`
gives it, or null), `provenance` (where the numbers come from), and what the arrays are verified by: `sha256` of all
arrays in a file, and `files`, the SHA-256 of each file of a directory. Checkpoints without that object, such as those
of other programs, load too if their tensors fit.
"""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from mfst_jax.checkpoints import file_kinds, known_weights, weight_names
from mfst_jax.checkpoints.bundled_se import attach, with_attached
from mfst_jax.checkpoints.orbax_directories import METADATA_FILE, read_orbax, write_orbax
from mfst_jax.checkpoints.safetensors_files import read_safetensors, write_safetensors
from mfst_jax.checkpoints.stored import Stored, interpret, make_metadata
from mfst_jax.errors import InputError
from mfst_jax.params import Contents, Params, check_plain
from mfst_jax.version import __version__
from mfst_jax.whole_files import replacing

BUILT_IN = known_weights.place("builtin")
"""File of the weights that come with the package: S and A in float16."""

SUFFIX = ".safetensors"
"""Suffix of a checkpoint that is one file; any other is an Orbax directory."""
_FOREIGN = (".pth", ".pt", ".bin", ".pkl", ".pickle", ".npz", ".npy", ".mat", ".h5", ".onnx")
"""Suffixes of other programs' files, of which none is a name for a directory."""
_log = logging.getLogger(__name__)
_SHOWN = 4
"""Number of problems that an error message spells out."""


def load(path: str | Path | None = None, *, bundled_se: bool = True) -> Params:
    """Weights from an Orbax directory or a safetensors file, as float32 on JAX's default device.

    Nothing is downloaded. A file or directory goes before known weights of the same name, and a log message says so;
    `./paper` cannot be a name.

    Args:
      path: the directory or file, or the name of known weights (`mfst weights` lists them); None for the built-in
        weights, which hold S and A.
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
    arrays, contents = _read_weights(path)
    variables = weight_names.nest({name: jnp.asarray(weight_names.to_float32(array)) for name, array in arrays.items()})
    return Params(variables, contents)


def known_contents(name: str) -> tuple[Contents | None, str | None]:
    """Contents of a known set of weights, as `load` gives it, and what is wrong with it.

    Its file is read and checked as by `load`, but no array is put on a device.

    Args:
      name: of the set, a key of `known_weights.KNOWN`.

    Returns:
      The contents, None where the set is not here or is damaged; and the problem of a damaged one, or of one that the
      package should have and lacks.

    Raises:
      InputError: there is no such name, or no cache folder.
    """
    path = known_weights.place(name)
    if not path.exists():
        missing = f"{path}: expected the weights of this package, found nothing there"
        return None, missing if known_weights.find(name).packaged else None
    try:
        arrays, contents = _read_weights(path)
    except InputError as error:
        return None, str(error)
    return with_attached(Params(weight_names.nest(arrays), contents)), None


def _read_weights(path: Path) -> tuple[dict[str, np.ndarray], Contents]:
    """Arrays of MFST at a path as they are stored, and what they are."""
    stored = read(path)
    contents, problems = weight_names.check(stored.arrays)
    problems += [f"{name}: expected floating point, found {dtype}" for name, dtype in stored.unread.items()]
    if contents is None:
        advice = f"if they are another program's: {file_kinds.convert_command(path)}"
        raise InputError(f"{path}: {_summary(problems)}; {advice}")
    if problems:
        raise InputError(f"{path}: expected weights of MFST, found {_summary(problems)}")
    return stored.arrays, dataclasses.replace(contents, config=stored.config)


def save(params: Params, path: str | Path, *, provenance: Mapping[str, Any] | None = None) -> None:
    """Writes weights to `path`: one file where it ends in `.safetensors`, else an Orbax directory.

    The arrays keep their dtype. Missing parent folders are made. The path holds either what it held before or the
    complete new checkpoint, also where writing fails half-way.

    Args:
      params: weights that fit their own contents.
      path: a new path, an older file, or a directory that is empty or a checkpoint of ours; these are replaced. A link
        to a directory is not.
      provenance: JSON values that say where the weights come from; `provenance(path)` returns them.

    Raises:
      InputError: the weights are prepared ones or not fit for use, the provenance is not of JSON values, or the path
        cannot be written, holds something else or is called as another program's file.
    """
    path = Path(path)
    check_plain(params)
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
        (write_safetensors if path.suffix == SUFFIX else write_orbax)(new, arrays, metadata)


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
        arrays, metadata = read_orbax(path) if path.is_dir() else read_safetensors(path, unread)
    except InputError:
        raise
    except Exception as error:  # the parsers do not say what they raise on damaged input
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: expected {kind}, found none or a damaged one ({reason:.200})") from error
    return dataclasses.replace(interpret(path, arrays, metadata), unread=unread)


def check_replaceable(path: Path) -> None:
    """Raises `InputError` for a name of another program's file, or the place of something that is no checkpoint."""
    if path.suffix != SUFFIX and path.is_symlink():  # a directory cannot take its place in one step
        raise InputError(f"{path}: expected a directory or nothing to replace, found a link to {path.readlink()}")
    if not path.exists():
        if path.suffix.lower() in _FOREIGN:
            found = f"{path.suffix}, as of another program's file (python -m weight_port export writes those)"
            raise InputError(f"{path}: expected a name that ends in {SUFFIX}, or one for a directory, found {found}")
        return
    if path.suffix == SUFFIX:
        if not path.is_file():
            raise InputError(f"{path}: expected a file or nothing to replace, found a directory")
    elif not path.is_dir():
        raise InputError(f"{path}: expected a directory or nothing to replace (files end in {SUFFIX}), found a file")
    elif any(path.iterdir()) and not (path / METADATA_FILE).exists():
        raise InputError(f"{path}: expected an empty directory or a checkpoint of ours to replace, found another one")


def _summary(problems: list[str]) -> str:
    """Problems in one line, whatever characters the tensors' names have."""
    more = len(problems) - _SHOWN
    text = "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return " ".join(text.splitlines())
