"""Download of one file over HTTP into a partial file; after a broken connection the next attempt goes on from there.

A note beside the partial file has the server's name for this version of the file, so that no later version is appended
to it.
"""

import http.client
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mfst_jax.cache import CACHE_VARIABLE, size_in_words
from mfst_jax.errors import InputError, reason
from mfst_jax.version import __version__
from weight_port.formats.pickled_values import LIMIT

_BLOCK = 2**18
_RESERVE = 2**26
"""Number of bytes that a download of unknown length leaves free on the disk."""
_TIMEOUT = 30
"""Seconds of silence after which a connection counts as lost."""

Progress = Callable[[int, int | None], None]
"""Callback that takes the number of bytes so far and in all, None where the server does not say."""


class DownloadError(InputError):
    """Failed download of a file."""

    def __init__(self, url: str, found: str, advice: str = ""):
        super().__init__(f"{url}: expected to download it, found {found}{advice and '; '}{advice}")
        self.url, self.found = url, found


def download(url: str, partial: Path, *, progress: Progress, size: int | None = None, checked: bool = False) -> bool:
    """Brings the partial file to its full length: appends what it lacks, or begins anew where it cannot go on.

    It goes on only where the server says that the file is still the one that was begun, or where the caller compares
    the whole with a digest anyway.

    Args:
      url: begins with http:// or https://.
      partial: in a folder that exists. What an attempt got stays there, whatever ends it.
      progress: is called as bytes arrive.
      size: in bytes, where it is known: a file of another size is refused. Where it is not, one of more than `LIMIT`
        bytes is.
      checked: whether the caller compares the whole with a digest.

    Returns:
      Whether some of it is from an earlier attempt.

    Raises:
      DownloadError: it cannot be had from there, or not all of it.
      InputError: there is no room for it, or the folder cannot be written to.
    """
    if not re.match(r"https?://", url):
        raise InputError(f"{url}: expected an address that begins with https:// or http://, found another one")
    done, version = _begun(partial)
    if not (checked or version):
        done = 0
    if size is not None and done >= size:
        return True
    headers = {"User-Agent": f"mfst_jax/{__version__}", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
        if version:
            headers["If-Range"] = version
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.build_opener(_NoDowngrade).open(request, timeout=_TIMEOUT) as response:
            if response.status == 200:  # all of it
                done = 0
            if response.status == 200 or _goes_on(response, done, version):
                _receive(url, response, partial, done, size, progress)
                return done > 0
        if not done:
            raise DownloadError(url, f"HTTP status {response.status}")
    except InputError:
        raise
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416 or not done:
            raise DownloadError(url, f"HTTP status {error.code} ({error.reason})") from error
        if error.headers.get("Content-Range") == f"bytes */{done}":
            return True
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(url, _found(error)) from error
    discard(partial)  # the server has no more bytes for it, so it is not the same file
    return download(url, partial, progress=progress, size=size, checked=checked)


def discard(partial: Path) -> None:
    """Removes a partial file and the note about it."""
    partial.unlink(missing_ok=True)
    _note(partial).unlink(missing_ok=True)


@contextmanager
def storing(path: Path) -> Generator[None]:
    """Turns an `OSError` within the block, such as a full disk, into an `InputError` about the folder of `path`."""
    try:
        yield
    except OSError as error:
        raise no_room(path, reason(error)) from error


def no_room(path: Path, found: str) -> InputError:
    """Error for a `path` that cannot be written."""
    what = path.name.removesuffix(".part")
    return InputError(
        f"{path.parent}: expected a folder to write to, with room for {what}, found {found}; "
        f"{CACHE_VARIABLE} names another cache folder"
    )


def _begun(partial: Path) -> tuple[int, str | None]:
    """Length of a partial file, and the version of the file that it is of where that is known."""
    try:
        done = partial.stat().st_size
    except FileNotFoundError:
        return 0, None
    try:
        return done, _note(partial).read_text(encoding="latin-1").strip() or None
    except OSError:
        return done, None


def _note(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.version")


def _goes_on(response: Any, done: int, version: str | None) -> bool:
    """Whether an answer is what a partial file of `done` bytes lacks."""
    part = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    same = version is None or _version(response) in (None, version)
    return response.status == 206 and part is not None and int(part[1]) == done and same


def _version(response: Any) -> str | None:
    """Name of this version of the file, different for any other bytes: a strong ETag, else the last change."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _receive(url: str, response: Any, partial: Path, done: int, size: int | None, progress: Progress) -> None:
    """Writes an answer after the first `done` bytes of the partial file."""
    if response.headers.get_content_type() == "text/html":
        raise DownloadError(url, "a web page, as networks show where one has to sign in")
    length = response.headers.get("Content-Length") or ""
    total = done + int(length) if length.isdecimal() else None
    if None not in (total, size) and total != size:
        discard(partial)  # its beginning may be of another version
        raise DownloadError(url, f"a file of {total} bytes where the published one has {size}")
    most = LIMIT if size is None else size
    if total is not None and total > most:
        discard(partial)
        raise DownloadError(url, f"a file of {total} bytes, more than the {most} of the largest weights that are read")
    total = size if total is None else total
    with storing(partial):
        free = shutil.disk_usage(partial.parent).free
        if total is not None and free < total - done:
            raise no_room(partial, f"{size_in_words(free)} free of {size_in_words(total - done)} that it takes")
        if not done:
            partial.open("wb").close()  # or what is there would be taken for the beginning of this version
            _note(partial).write_text(_version(response) or "", encoding="latin-1")
        file = partial.open("ab" if done else "wb", buffering=0)
    with file:
        progress(done, total)
        while block := memoryview(response.read(_BLOCK)):
            done += len(block)
            if done > most:
                break
            with storing(partial):
                if total is None and (free := shutil.disk_usage(partial.parent).free) < len(block) + _RESERVE:
                    raise no_room(partial, f"{size_in_words(free)} free, and a server that does not say what it takes")
                while block:  # a write may end early
                    block = block[file.write(block) :]
            progress(done, total)
    if done > most:  # the server did not say so before
        discard(partial)
        whose = "the largest weights that are read have" if size is None else "the published file has"
        raise DownloadError(url, f"more than the {most} bytes that {whose}")
    if total is not None and done < total:
        raise DownloadError(
            url, f"the end of the connection after {done} of {total} bytes (the next attempt goes on from there)"
        )


def _found(error: Exception) -> str:
    """Description of a failed connection in a few words."""
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return f"no answer for {_TIMEOUT} seconds"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return reason(error)


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Handler that follows redirections, but never from HTTPS to an unprotected address."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise urllib.error.URLError(f"a redirection from HTTPS to {newurl:.200}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
