"""ZIP archives from anywhere, of bounded size."""

import io
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_LARGEST_DIRECTORY = 2**20
"""Largest directory of an archive, in bytes: 10,000 entries fit."""


@contextmanager
def open_zip(path: Path, *, largest: int | None = None) -> Generator[zipfile.ZipFile]:
    """Zip archive with a directory of bounded size, all of which `zipfile` reads before anything else.

    Args:
      path: the archive.
      largest: how many bytes all its files may have once unpacked; None for one of which nothing is unpacked.

    Raises:
      ValueError: the directory or the files are too large.
      zipfile.BadZipFile: it is no zip archive, or a damaged one.
    """
    with _DirectoryFirst(path.open("rb", buffering=0)) as file, zipfile.ZipFile(file) as archive:
        file.largest = None
        size = sum(info.file_size for info in archive.infolist())
        if largest is not None and size > largest:
            raise ValueError(f"it unpacks to {size} bytes, more than {largest}")
        yield archive


class _DirectoryFirst(io.BufferedReader):
    """File from which `zipfile` reads a directory, in one piece, wherever it takes that to be.

    Attributes:
      largest: Greatest number of bytes of the directory; None once it is read.
    """

    largest: int | None = _LARGEST_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if self.largest is not None and size is not None and size > self.largest:
            raise ValueError(f"expected a directory of at most {self.largest} bytes, found {size}")
        return super().read(size)
