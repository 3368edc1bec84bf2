"""Exported trackers on disk: written whole or not at all, and read back with a check of their format."""

import json
import os
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from mfst_jax.errors import InputError, MissingExtraError, reason_in_content
from mfst_jax.export.signature import FORMAT
from mfst_jax.export.stablehlo import ABOUT
from mfst_jax.whole_files import check_free, write_atomically
from mfst_jax.zip_files import open_zip

Kind = Literal["onnx", "stablehlo"]
LARGEST = 2**30
"""Greatest number of bytes of a file that is read, once it is unpacked."""


def check_place(out: Path, kind: Kind) -> None:
    """Raises `InputError` where a file cannot be written there, or its name does not end as its kind of file does."""
    suffix = f".{kind}"
    if out.suffix != suffix:
        raise InputError(f"--out {out}: expected a name that ends in {suffix}, found {out.suffix or 'no suffix'}")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: expected a folder that is there, found no {out.parent}")
    if out.is_dir():
        raise InputError(f"--out {out}: expected a file or a place for one, found a folder")
    if not os.access(out.parent, os.W_OK):
        raise InputError(f"--out {out}: expected a folder to write to, found one that may not be written to")
    check_free(out)


def write(out: Path, content: bytes) -> None:
    """Writes a file that appears when it is complete. Raises `InputError` where that fails."""
    try:
        write_atomically(out, content)
    except InputError as error:
        raise InputError(f"--out {error}") from error


def read_metadata(path: Path) -> dict[str, Any]:
    """What an exported tracker says of itself.

    Raises:
      InputError: no file there, none that `mfst export` wrote, one in another format than this version's, or one of
        more than `LARGEST` bytes.
      MissingExtraError: it is an ONNX model, and the package that reads those is not installed.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected an exported tracker, found no file")
    try:
        about = _read_archive(path) if zipfile.is_zipfile(path) else _read_onnx(path)
    except MissingExtraError:
        raise
    except Exception as error:  # `zipfile` and ONNX may raise anything on damage
        raise InputError(f"{path}: expected a file of mfst export, found {reason_in_content(error)}") from None
    found = about.get("format") if isinstance(about, dict) else None
    if found != FORMAT:
        made = f"{found} (mfst_jax {about.get('mfst_jax')})" if found is not None else "none"
        raise InputError(f"{path}: expected an exported tracker of format {FORMAT}, found {made}; export it anew")
    return about


def open_archive(path: Path) -> AbstractContextManager[zipfile.ZipFile]:
    """Archive of a StableHLO program. Raises `ValueError` for one that unpacks to more than `LARGEST` bytes."""
    return open_zip(path, largest=LARGEST)


def _read_archive(path: Path) -> Any:
    with open_archive(path) as archive:
        return json.loads(archive.read(ABOUT))


def _read_onnx(path: Path) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "export", "an ONNX model") from None
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{size} bytes, more than {LARGEST}")
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise ValueError("no ONNX model") from error
    texts = {each.key: each.value for each in model.metadata_props}
    if "mfst_jax" not in texts:
        raise ValueError("an ONNX model that says nothing of mfst_jax")
    return json.loads(texts["mfst_jax"])
