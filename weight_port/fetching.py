"""The published weights: where they are, and how they get here, over a connection that may break.

A download goes to a partial file in the cache, which a later attempt continues; it gets its name only once its SHA-256
is the pinned one. Of files whose SHA-256 nobody has published, the one seen first is recorded beside them, and holds.
"""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfst_jax.cache import cache_folder
from mfst_jax.errors import InputError
from mfst_jax.version import __version__

_BLOCK = 2**18
_TIMEOUT = 30
"""Seconds of silence after which a connection counts as lost."""


@dataclass(frozen=True)
class Published:
    """One published file."""

    url: str
    about: str
    sha256: str | None
    size: int | None = None
    """In bytes, where it is known."""

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.url.rsplit("/", 1)[1]


_OXFORD = "https://www.robots.ox.ac.uk/~luca/stuff/siam-fc_nets"
PUBLISHED = {
    "siamfc": Published(f"{_OXFORD}/2016-08-17.net.mat", "SiamFC-3s in colour, by its authors (MatConvNet)", None),
    "siamfc-grey": Published(
        f"{_OXFORD}/2016-08-17_gray025.net.mat",
        "SiamFC-3s trained with a quarter in grey, by its authors (MatConvNet)",
        None,
    ),
    "alexnet": Published(
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "torchvision's AlexNet, trained on ImageNet (PyTorch)",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        244_408_911,
    ),
    "alexnet-caffe": Published(
        "https://www.cs.toronto.edu/~guerzhoy/tf_alexnet/bvlc_alexnet.npy",
        "Caffe's AlexNet, trained on ImageNet, as the authors of MFST have it (NumPy)",
        "1294ef51496c52f2e4879ee3b5e1da22c35d61f3240937491b4469403d5428cc",
    ),
}
"""What `fetch` knows, by the word for it."""

Progress = Callable[[int, int | None], None]
"""Is told the bytes so far and of how many, None where the server does not say."""


def fetch(
    what: str, *, cache: Path | None = None, url: str | None = None, progress: Progress = lambda done, total: None
) -> Path:
    """The path of a published file in the cache, downloaded if it is not there.

    Args:
      what: a key of PUBLISHED.
      cache: the folder to keep it in; by default `cache_folder()`.
      url: where to get it from instead, such as a mirror; what is pinned stays pinned.
      progress: is called as bytes arrive.

    Raises:
      InputError: there is no such file; it cannot be had, and the message says which URL to fetch by other means and
        where to put it; or what came is not what it should be.
    """
    if what not in PUBLISHED:
        raise InputError(f"fetch: expected one of {', '.join(PUBLISHED)}, found {what!r}")
    published = PUBLISHED[what]
    cache = cache_folder() if cache is None else cache
    path = cache / published.name
    record = path.with_name(f"{path.name}.sha256")
    expected = published.sha256 or (record.read_text().strip() if record.exists() else None)
    if path.exists():
        _check(path, expected)
    else:
        partial = path.with_name(f"{path.name}.part")
        try:
            cache.mkdir(parents=True, exist_ok=True)
            _download(url or published.url, partial, published.size, progress)
        except (OSError, urllib.error.URLError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise InputError(
                f"{published.url}: expected to download it, found {reason}; "
                f"fetch it by other means, put it at {path}, and try again"
            ) from error
        try:
            _check(partial, expected)
        except InputError:
            partial.unlink()
            raise
        partial.replace(path)
    if published.sha256 is None and expected is None:
        record.write_text(_sha256(path) + "\n")
    return path


def _download(url: str, partial: Path, size: int | None, progress: Progress) -> None:
    """Appends what `partial` lacks."""
    done = partial.stat().st_size if partial.exists() else 0
    if size is not None and done >= size:
        return
    headers = {"User-Agent": f"mfst_jax/{__version__}", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.build_opener(_NoDowngrade).open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # nothing lies beyond what is here already
            return
        raise
    with response:
        if done and response.status != 206:  # the server sends everything again
            done = 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length and length.isdigit() else None
        with partial.open("ab" if done else "wb") as file:
            progress(done, total)
            while block := response.read(_BLOCK):
                file.write(block)
                done += len(block)
                progress(done, total)
    if total is not None and done < total:
        raise OSError(f"only {done} of {total} bytes before the connection ended (the next attempt goes on from there)")


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from HTTPS to something that anyone on the way could have changed."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise urllib.error.URLError(f"a redirection from HTTPS to {newurl:.200}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check(path: Path, expected: str | None) -> None:
    if expected is not None and (found := _sha256(path)) != expected:
        raise InputError(
            f"{path}: expected the file of SHA-256 {expected}, found one of {found}; delete it to try again"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
