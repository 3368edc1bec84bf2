"""`Parser`: something of ours that reads what strangers wrote, with sound inputs to damage."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from mfst_jax.errors import InputError

Content = dict[str, bytes | str]
"""Files of an input by their paths from its folder."""


@dataclass(frozen=True)
class Parser:
    """Reader of files, and its seeds.

    Attributes:
      name: Name in the table.
      read: Reads what lies in a folder. It raises `InputError` where it refuses that, and may raise nothing else.
      seeds: Functions that each make a sound input.
      damaged: Ends of the names of the files that are damaged; the others stay as they are.
      text: Share of inputs that are damaged as text is (`mutations.rewritten`), and not byte by byte.
      share: Number of inputs for each input of a parser with a share of 1.
      compiled: Whether compiled libraries do most of the reading: then which Python is reached says little.
    """

    name: str
    read: Callable[[Path], object]
    seeds: tuple[Callable[[], Content], ...]
    damaged: tuple[str, ...] = ("",)
    text: float = 0.0
    share: float = 1.0
    compiled: bool = False


def picture(kind: str = "JPEG", size: tuple[int, int] = (6, 4), mode: str = "L", **options: object) -> bytes:
    """File of a small picture.

    Args:
      kind: Pillow's name of the format.
      size: width and height.
      mode: Pillow's.
      **options: those of saving in that format.
    """
    buffer = BytesIO()
    image = Image.new(mode, size)
    bands = len(image.getbands())
    shades = [(37 * place) % 251 for place in range(size[0] * size[1])]
    image.putdata(shades if bands == 1 else [(shade,) * bands for shade in shades])
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def written_by(name: str, write: Callable[[Path], object]) -> Callable[[], Content]:
    """Seed that a function writes to the path that it is given, with whatever else it writes beside that."""

    def make() -> Content:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder, name))
            paths = [path for path in Path(folder).rglob("*") if path.is_file()]
            return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}

    return make


def each_tried(reads: list[Callable[[], object]]) -> None:
    """Calls all functions. Raises the first `InputError` among theirs, once all were called."""
    refused: InputError | None = None
    for read in reads:
        try:
            read()
        except InputError as error:
            refused = refused or error
    if refused is not None:
        raise refused
