"""A web server on loopback that hands out files as tests want it to: whole, broken off, changed meanwhile."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


class Server(ThreadingHTTPServer):
    """Serves `files`; what it is asked is on record."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        """By name."""
        self.asked: list[tuple[str, str | None]] = []
        """The name and the range of each request."""
        self.cut: int | None = None
        """How many bytes the next answer has before the connection ends."""
        self.resumes = True
        """Whether it knows ranges."""
        self.versions = True
        """Whether it says which version of a file it hands out."""
        self.lengths = True
        """Whether it says how long its answers are."""
        self.kind = "application/octet-stream"
        self.gate = threading.Event()
        """Answers wait for it."""
        self.gate.set()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients go away as they like."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, name = self.server, self.path.rsplit("/", 1)[1]
        server.asked.append((name, self.headers.get("Range")))
        server.gate.wait(60)
        if self.path.startswith("/away/"):
            self.send_response(302)
            self.send_header("Location", f"{server.url}/{name}")
            self.end_headers()
            return
        if name not in server.files:
            self.send_error(404)
            return
        content = server.files[name]
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        start = self._start(etag) if server.resumes else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", server.kind)
        if server.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if server.versions:
            self.send_header("ETag", etag)
        self.end_headers()
        end, server.cut = len(content) if server.cut is None else start + server.cut, None
        self.wfile.write(content[start:end])

    def _start(self, etag: str) -> int:
        """Where the answer begins: at 0 where the range is of another version of the file."""
        asked, version = self.headers.get("Range"), self.headers.get("If-Range")
        if asked is None or version not in (None, etag):
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Server]:
    """A server that answers until the end of the `with` block."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.gate.set()
            server.shutdown()
            thread.join()


CONTENT = np.random.default_rng(0).bytes(3 * 2**18 + 17)
"""A file of no kind."""
SHA256 = hashlib.sha256(CONTENT).hexdigest()
