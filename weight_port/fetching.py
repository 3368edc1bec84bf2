"""Published weights in the user's cache: downloaded once, and checked.

A file gets its name only once its SHA-256 is the published one. Of files whose SHA-256 nobody has published, the one
seen first is recorded beside them if it holds weights, and later downloads must match it.
"""

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mfst_jax.cache import cache_folder
from mfst_jax.checkpoints.known_weights import PUBLISHED, Published
from mfst_jax.errors import InputError, reason
from mfst_jax.locks import exclusive
from mfst_jax.whole_files import put, write_atomically
from weight_port import reading
from weight_port.downloads import DownloadError, Progress, discard, download, storing
from weight_port.problems import SourceError


def fetch(
    what: str,
    *,
    cache: str | Path | None = None,
    url: str | None = None,
    progress: Progress = lambda done, total: None,
    waiting: Callable[[], None] = lambda: None,
) -> Path:
    """Path of a published file in the cache, downloaded if it is not there.

    Args:
      what: a key of PUBLISHED.
      cache: the folder to keep it in; by default `cache_folder()`.
      url: where to get it from instead, such as a mirror; pinned digests stay pinned.
      progress: is called as bytes arrive.
      waiting: is called before waiting for another process that downloads it.

    Raises:
      InputError: there is no such file; it cannot be had (a `DownloadError`: the message says where to put it once it
        comes by other means); there is no room for it; or what came is not what it should be.
    """
    if what not in PUBLISHED:
        raise InputError(f"fetch: expected one of {', '.join(PUBLISHED)}, found {what!r}")
    published = PUBLISHED[what]
    try:
        path = (cache_folder() if cache is None else Path(cache)) / published.name
    except RuntimeError as error:
        raise InputError(f"cache: expected a folder for {published.name}, found none: {error}") from error
    if path.exists():
        try:
            check(path, published, record=True)
        except InputError as error:
            raise InputError(f"{error}; delete it to try again") from error
        return path
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path.with_name(f".{path.name}.lock"), waiting):
            if not path.exists():  # nor did another process download it meanwhile
                try:
                    _download(url or published.url, path, published, progress)
                except DownloadError as error:
                    advice = f"fetch {published.url} by other means, put it at {path}, and try again"
                    raise DownloadError(error.url, error.found, advice) from error
    return path


def check(path: Path, published: Published, *, record: bool, name: str | None = None) -> None:
    """Refuses a file that is not the published one, or not the one of that name seen before, or holds no weights.

    Args:
      path: the file.
      published: what it should be.
      record: whether to note the SHA-256 of a file without a published one, and to compare it with what was noted.
      name: the name in messages; by default the path.

    Raises:
      InputError: it is another one, or cannot be read.
    """
    noted = path.with_name(f"{published.name}.sha256")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        seen = noted.read_text().strip() if record and noted.exists() else ""
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a file to read, found {reason(error)}") from error
    expected, whose = published.sha256, ""
    if expected is None and re.fullmatch("[0-9a-f]{64}", seen):
        expected, whose = seen, f" that {noted.name} beside it has from an earlier download"
    if expected is None:
        try:
            reading.read(path)
        except SourceError as error:
            problem = "; ".join(error.problems[:2])
            raise InputError(f"{name or path}: expected {published.about}, found something else: {problem}") from error
        if record:
            with suppress(InputError):  # a folder that is only read
                write_atomically(noted, found + "\n")
    elif found != expected:
        raise InputError(f"{name or path}: expected the file of SHA-256 {expected}{whose}, found one of {found}")


def _download(url: str, path: Path, published: Published, progress: Progress) -> None:
    """Downloads a file and checks it.

    Where part of it is from an earlier attempt and the check fails, it is downloaded once more from the start.
    """
    partial = path.with_name(f"{path.name}.part")
    while True:
        resumed = download(url, partial, progress=progress, size=published.size, checked=published.sha256 is not None)
        try:
            check(partial, published, record=True, name=url)
            break
        except InputError:
            discard(partial)
            if not resumed:
                raise
    put(partial, path)
    discard(partial)
