"""XML and JSON files from anywhere: of bounded size and depth, XML without declarations of a document type."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mfst_jax.errors import InputError, reason
from mfst_jax.json_files import LARGEST, load, read_bytes
from mfst_jax.sequences.image_files import natural_key
from mfst_jax.sequences.text import changes

DEEPEST = 64
"""Greatest number of XML elements within each other."""
LONGEST_NAME, LONGEST_PATH = 255, 4000
"""Number of bytes of a file's name, and of characters of its path, at most."""


def read_xml(path: Path, kind: str) -> Element:
    """Root of an XML file. Entities can be declared in a document type alone, which is refused, so none can be a bomb.

    Args:
      path: the file.
      kind: what it should be, for the error.

    Raises:
      InputError: a file that cannot be read, is too large or deep, is no XML or declares a document type.
    """
    builder, parser, depth = TreeBuilder(), expat.ParserCreate(), 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} elements within each other")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(*declaration: object) -> None:
        raise ValueError("a document type, which could declare entities")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(read_bytes(path), True)
        return builder.close()
    except (OSError, ValueError, LookupError, expat.ExpatError) as error:  # `LookupError` for an encoding
        raise InputError(f"{path}: expected {kind}, found {reason(error)}") from None


def read_json(path: Path, kind: str) -> Any:
    """Value of a JSON file. The file that was read last is kept, as each of its sequences is read from it.

    Args:
      path: the file.
      kind: what it should be, for the error.

    Raises:
      InputError: a file that cannot be read, is too large or is no JSON.
    """
    try:
        return _load(path, changes(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected {kind}, found {reason(error)}") from None


def json_files(folders: Iterable[Path], begins: bytes, holds: Callable[[bytes], bool]) -> list[Path]:
    """JSON files in some folders that begin with a bracket and whose content passes, in natural order.

    Args:
      folders: where to look; one that is not there has none.
      begins: the opening bracket, looked at before a file is read whole.
      holds: whether a file's bytes are those that are looked for.
    """

    def looks_right(path: Path) -> bool:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return False
        with path.open("rb") as file:
            if not file.read(100).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(begins):
                return False
        return holds(path.read_bytes())

    found = [path for folder in folders for path in folder.glob("*.json")]
    return sorted(filter(looks_right, found), key=natural_key)


def only_file(root: Path, files: list[Path], kind: str) -> Path:
    """The one file of its kind in a folder. Raises `InputError` where there are several."""
    if len(files) > 1:
        raise InputError(f"{root}: expected one file of {kind}, found {', '.join(path.name for path in files)}")
    (path,) = files
    return path


def name_inside(name: Any) -> str:
    """Name of an image file as an annotation has it. Raises `ValueError` where it leads out of the folder."""
    sound = isinstance(name, str) and "\0" not in name and len(name) <= LONGEST_PATH
    sound = sound and all(len(part.encode("utf-8", "replace")) <= LONGEST_NAME for part in Path(name).parts)
    if not sound or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name!r:.60} in the place of a file's name in the folder")
    return name


@lru_cache(maxsize=2)
def _load(path: Path, version: int) -> Any:
    return load(path)
