"""Fetching: resumed, checked against what is pinned, kept, and clear where it cannot be had; over a local server."""

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mfst_jax.cache import CACHE_VARIABLE
from mfst_jax.errors import InputError
from weight_port import fetching
from weight_port.__main__ import main
from weight_port.fetching import PUBLISHED, fetch

CONTENT = np.random.default_rng(0).bytes(3 * 2**18 + 17)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; what it is asked is on record."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.cut: int | None = None
        """Where the next connection ends, before its time."""
        self.resumes = True
        self.content = CONTENT

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/2016-08-17.net.mat"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", self.server.url)
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.resumes else 0
        content = self.server.content
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end, self.server.cut = self.server.cut or len(content), None
        self.wfile.write(content[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the SHA-256 of SiamFC's file is published, and it is that of CONTENT."""
    monkeypatch.setitem(PUBLISHED, "siamfc", dataclasses.replace(PUBLISHED["siamfc"], sha256=SHA256))


def test_a_file_is_fetched_once(server: Server, pinned: None, tmp_path: Path):
    told: list[tuple[int, int | None]] = []
    path = fetch("siamfc", cache=tmp_path / "new" / "cache", url=server.url, progress=lambda *step: told.append(step))
    assert path == tmp_path / "new" / "cache" / "2016-08-17.net.mat"
    assert path.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert fetch("siamfc", cache=tmp_path / "new" / "cache", url=server.url) == path
    assert server.ranges == [None]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_download_goes_on(server: Server, pinned: None, tmp_path: Path, resumes: bool):
    server.cut, server.resumes = 300_000, resumes
    with pytest.raises(InputError, match=r"https://www\.robots\.ox\.ac\.uk/.*300000 of \d+ bytes.*put it at"):
        fetch("siamfc", cache=tmp_path, url=server.url)
    assert [path.name for path in tmp_path.iterdir()] == ["2016-08-17.net.mat.part"]
    assert fetch("siamfc", cache=tmp_path, url=server.url).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_a_complete_partial_file_is_taken(server: Server, pinned: None, tmp_path: Path):
    (tmp_path / "2016-08-17.net.mat.part").write_bytes(CONTENT)
    assert fetch("siamfc", cache=tmp_path, url=server.url).read_bytes() == CONTENT


def test_what_is_not_the_pinned_file_is_refused(server: Server, pinned: None, tmp_path: Path):
    server.content = bytes(100)
    with pytest.raises(InputError, match=f"expected the file of SHA-256 {SHA256}"):
        fetch("siamfc", cache=tmp_path, url=server.url)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "2016-08-17.net.mat").write_bytes(b"put there by hand, wrongly")
    with pytest.raises(InputError, match="delete it to try again"):
        fetch("siamfc", cache=tmp_path, url=server.url)


def test_an_unpublished_digest_is_the_one_seen_first(server: Server, tmp_path: Path):
    path = fetch("siamfc", cache=tmp_path, url=server.url)
    assert (tmp_path / "2016-08-17.net.mat.sha256").read_text() == f"{SHA256}\n"
    path.write_bytes(b"changed since")
    with pytest.raises(InputError, match=SHA256):
        fetch("siamfc", cache=tmp_path, url=server.url)
    path.unlink()
    server.content = b"another one"
    with pytest.raises(InputError, match=SHA256):
        fetch("siamfc", cache=tmp_path, url=server.url)


def test_a_file_put_there_by_hand_will_do(tmp_path: Path):
    (tmp_path / "2016-08-17.net.mat").write_bytes(CONTENT)
    assert fetch("siamfc", cache=tmp_path, url="http://127.0.0.1:1/").read_bytes() == CONTENT


def test_offline_it_says_what_to_fetch_and_where_to_put_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["fetch", "alexnet", "--cache", str(tmp_path), "--url", "http://127.0.0.1:1/x"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(
        "weight_port: https://download.pytorch.org/models/alexnet-owt-7be5be79.pth: expected to download it, found "
    )
    assert told.endswith(f"fetch it by other means, put it at {tmp_path / 'alexnet-owt-7be5be79.pth'}, and try again")
    with pytest.raises(InputError, match=r"expected one of siamfc, .*, found 'vgg'"):
        fetch("vgg", cache=tmp_path)


def test_a_missing_file_is_no_partial_one(server: Server, tmp_path: Path):
    server.content = b""
    with pytest.raises(InputError, match="found"):
        fetch("siamfc", cache=tmp_path, url=server.url)
    assert list(tmp_path.iterdir()) == []


def test_redirections_are_followed_but_not_out_of_https(server: Server, pinned: None, tmp_path: Path):
    away = server.url.rsplit("/", 1)[0] + "/away"
    assert fetch("siamfc", cache=tmp_path, url=away).read_bytes() == CONTENT
    request = fetching.urllib.request.Request("https://example.org/x")
    with pytest.raises(fetching.urllib.error.URLError, match="redirection from HTTPS"):
        fetching._NoDowngrade().redirect_request(request, None, 302, "Found", {}, "http://example.org/x")


def test_the_command_prints_the_path(
    server: Server, pinned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert main(["fetch", "siamfc", "--url", server.url]) == 0
    assert capsys.readouterr().out == f"{tmp_path / '2016-08-17.net.mat'}\n"


def test_what_is_pinned_looks_like_a_digest():
    digests = [published.sha256 for published in PUBLISHED.values() if published.sha256]
    assert len(digests) == len(set(digests)) == 2
    assert all(len(digest) == 64 and int(digest, 16) for digest in digests)
    assert all(published.url.startswith("https://") for published in PUBLISHED.values())
    assert PUBLISHED["alexnet"].sha256.startswith("7be5be79")  # which is what the name of the file says
