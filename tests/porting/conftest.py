"""The published files of `paper` in small, a server that has them, one for downloads alone, and an empty cache."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import CONTENT, SHA256, Server, running
from sources import A, affine_arrays, affine_names, lpips_names, random_arrays, write_npz

from mfst_jax.cache import CACHE_VARIABLE
from mfst_jax.checkpoints.known_weights import PUBLISHED

Files = dict[str, bytes]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files as far as names and shapes go: all zeros, so that they are a few kB."""
    folder, files = tmp_path_factory.mktemp("published"), {}
    for what, arrays in (("siamfc", affine_names(affine_arrays())), ("alexnet", lpips_names(random_arrays(A)))):
        name = PUBLISHED[what].name
        path = write_npz(folder / name, {key: 0 * array for key, array in arrays.items()}, compression=8)
        files[name] = path.read_bytes()
    return files


@pytest.fixture
def server(published: Files, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Has them; AlexNet's SHA-256 is pinned."""
    content = published[PUBLISHED["alexnet"].name]
    pinned = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    monkeypatch.setitem(PUBLISHED, "alexnet", dataclasses.replace(PUBLISHED["alexnet"], **pinned))
    with running() as server:
        server.files |= published
        yield server


@pytest.fixture
def siamfc(published: Files) -> bytes:
    """A file that holds a SiamFC."""
    return published[PUBLISHED["siamfc"].name]


@pytest.fixture
def siamfc_server() -> Iterator[Server]:
    """Has a file of no kind under the name of SiamFC's."""
    with running() as server:
        server.files[PUBLISHED["siamfc"].name] = CONTENT
        yield server


@pytest.fixture
def url(siamfc_server: Server) -> str:
    """Address of that file."""
    return f"{siamfc_server.url}/{PUBLISHED['siamfc'].name}"


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the SHA-256 of SiamFC's file is published, and it is that of the file of no kind."""
    monkeypatch.setitem(PUBLISHED, "siamfc", dataclasses.replace(PUBLISHED["siamfc"], sha256=SHA256))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that is yet to be made, and an empty folder to be in."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"
