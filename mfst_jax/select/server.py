"""Server of the page: on 127.0.0.1 alone, under an address that nobody can guess, until targets are chosen.

Other pages in the same browser are kept out by three checks: the token in the address; the Host header, since a foreign
name may lead here; and the Origin header of every request that changes something.
"""

import hmac
import json
import math
import os
import re
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

from mfst_jax.errors import InputError, reason
from mfst_jax.media.palette import BRIGHT_COLOURS, colour
from mfst_jax.select.frames import Frames
from mfst_jax.targets import MOST_TARGETS, Number, Target, check_boxes, check_names, default_names

TIMEOUT = 600.0
"""Seconds without a sign of life from the page, which gives one every few seconds, or every minute in the
background."""
REOPENING = 10.0
"""Seconds after the last page was closed in which it may be opened again, as reloading does."""
LARGEST_BODY = 64 * 1024
LONGEST_PAGE = 64
"""Number of characters of the name by which one page is told from another."""
SCRIPTS = ("frames.js", "boxes.js", "pointers.js", "controls.js")
"""The page's program, in folder script, in the order in which the page loads it."""
FILES = {"": "page.html", "page.css": "page.css", **{f"script/{name}": f"script/{name}" for name in SCRIPTS}}
KINDS = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server:
    """Server of the page on a thread, as a context manager.

    Args:
      frames: what to draw in.
      port: of 127.0.0.1; 0 for a free one.

    Raises:
      InputError: a port that does not exist or is in use.
    """

    def __init__(self, frames: Frames, port: int):
        self.frames, self.token = frames, secrets.token_urlsafe(24)
        self._came, self._last_sign = False, time.monotonic()
        self._pages: set[str] = set()
        self._closed: float | None = None  # the time at which the last of the pages was closed
        self._lock, self._settled, self._done = threading.Lock(), False, threading.Event()
        self._choice: tuple[int, list[Target]] | None = None
        if not 0 <= port <= 65535:
            raise InputError(f"--port: expected 0 to 65535, found {port}")
        try:
            self._http = _Http(("127.0.0.1", port), type("Handler", (_Handler,), {"server_of": self}))
        except OSError as error:
            raise InputError(f"--port {port}: expected a port that is free, found {reason(error)}") from None
        self.port = self._http.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}/{self.token}/"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    def describe(self) -> dict[str, Any]:
        """Description of the frames for the page, as JSON values."""
        source, colours = self.frames.source, [BRIGHT_COLOURS[colour(place)] for place in range(MOST_TARGETS)]
        height, width = source.size
        known = {"name": source.name, "width": width, "height": height, "count": source.count, "live": source.live}
        return known | {"colours": colours}

    def sign(self) -> None:
        """Notes a sign of life from a browser."""
        with self._lock:
            self._came, self._last_sign, self._closed = True, time.monotonic(), None

    def note_page(self, page: str, *, is_open: bool) -> None:
        """Notes that a page, of which there may be several, is open or was closed."""
        with self._lock:
            if is_open:
                self._pages.add(page)
            elif page in self._pages:
                self._pages.remove(page)
                self._closed = None if self._pages else time.monotonic()

    def settle(self) -> bool:
        """Whether this is the first call, by the one who chooses or cancels; that one then has to `end` the wait."""
        with self._lock:
            first, self._settled = not self._settled, True
            return first

    def end(self, choice: tuple[int, list[Target]] | None) -> None:
        """Ends the wait with the frame and its targets, or without a choice."""
        self._choice = choice
        self._done.set()

    def wait(self, timeout: float | int) -> tuple[int, list[Target]]:
        """Frame and targets, once they are chosen. Raises `InputError` without a choice.

        Args:
          timeout: seconds without a sign of life from a page after which to give up.
        """
        self._last_sign = time.monotonic()
        while not self._done.wait(0.1):
            if (why := self._given_up(timeout)) is not None and self.settle():
                raise InputError(f"--select: expected targets from {self.address}, but {why}")
        if self._choice is None:
            raise InputError("--select: expected at least one target, found the choice cancelled")
        return self._choice

    def _given_up(self, timeout: float | int) -> str | None:
        """Reason why there is nothing more to wait for; None while there is."""
        with self._lock:
            now = time.monotonic()
            if self._closed is not None and now - self._closed > REOPENING:
                return "the page was closed"
            if now - self._last_sign > timeout:
                return f"{'the page went away' if self._came else 'no browser came'} for {timeout:g} s"
            return None

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # on Windows it would share a port that is in use

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Does nothing: browsers break off connections all the time."""


class _Handler(BaseHTTPRequestHandler):
    server_of: Server
    timeout = 30
    server_version, sys_version = "mfst", ""

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if (path := self._admitted()) is None:
            return
        if path in FILES:
            text = (resources.files("mfst_jax") / "select" / FILES[path]).read_bytes()
            return self._answer(200, text, KINDS[FILES[path].rsplit(".", 1)[1]])
        if path == "source.json":
            return self._say(200, **self.server_of.describe())
        if (asked := re.fullmatch(r"frame/([0-9]{1,9})\.jpg", path)) is None:
            return self._say(404, error="expected one of the page's own paths")
        try:
            return self._answer(200, self.server_of.frames.jpeg(int(asked[1])), "image/jpeg")
        except InputError as error:
            return self._say(404, error=str(error))

    def do_POST(self) -> None:
        if (path := self._admitted()) is None:
            return
        if self.headers.get("Origin") not in {f"http://{host}" for host in self._hosts()}:
            return self._say(403, error="expected the page's own origin")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length):
            return self._say(411, error="expected the length of the body")
        if int(length) > LARGEST_BODY:
            return self._say(413, error=f"expected a body of at most {LARGEST_BODY} bytes, found {length}")
        body = self.rfile.read(int(length))
        if path in ("freeze", "thaw"):
            try:
                self.server_of.frames.freeze(path == "freeze")
            except InputError as error:
                return self._say(409, error=str(error))
            return self._say(200)
        if path in ("open", "closed"):
            self.server_of.note_page(body.decode("utf-8", "replace")[:LONGEST_PAGE], is_open=path == "open")
            return self._say(200)
        choice = None
        if path == "start":
            try:
                choice = parse_choice(body, self.server_of.frames)
            except InputError as error:
                return self._say(400, error=str(error))
        elif path != "cancel":
            return self._say(404, error="expected one of the page's own paths")
        if not self.server_of.settle():
            return self._say(409, error="targets were chosen or cancelled in another page")
        try:
            self._say(200)
        finally:
            self.server_of.end(choice)

    def _hosts(self) -> tuple[str, str]:
        return f"127.0.0.1:{self.server_of.port}", f"localhost:{self.server_of.port}"

    def _admitted(self) -> str | None:
        """Path after the token; None where the request is refused."""
        if self.headers.get("Host") not in self._hosts():
            self._say(403, error="expected another host")
            return None
        _, token, *rest = [*self.path.partition("?")[0].split("/", 2), ""][:3]
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.server_of.token.encode()):
            self._say(404, error="expected the address as it was printed")
            return None
        self.server_of.sign()
        return rest[0]

    def _say(self, status: int, **words: Any) -> None:
        self._answer(status, json.dumps(words).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def parse_choice(body: bytes, frames: Frames) -> tuple[int, list[Target]]:
    """Frame and targets that the page sends, clipped to the frame.

    Args:
      body: JSON, {"frame": 0, "targets": [{"name": "a", "box": [x, y, w, h]}]}; a name may be empty.
      frames: what they are chosen from.

    Raises:
      InputError: it is not that, a name is unsound, a box is smaller than a pixel, there is no such frame.
    """
    try:
        said = json.loads(body)
        first_frame, drawn = said["frame"], [(each["name"], each["box"]) for each in said["targets"]]
        sound = type(first_frame) is int and all(isinstance(name, str) and len(box) == 4 for name, box in drawn)
        sound = sound and all(type(side) in (int, float) and math.isfinite(side) for _, box in drawn for side in box)
        if not sound:
            raise ValueError("no frame, name or box")
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        raise InputError("targets: expected a frame, names and boxes as JSON, found something else") from None
    if not drawn:
        raise InputError("targets: expected at least one box, found none")
    names = [name.strip() or default for (name, _), default in zip(drawn, default_names(len(drawn)), strict=True)]
    check_names(names)
    source = frames.source
    source.starting_at(first_frame)
    if not source.live:
        frames.jpeg(first_frame)
    height, width = source.size
    targets = []
    for name, (_, (x, y, w, h)) in zip(names, drawn, strict=True):
        (left, across), (top, down) = _within(x, w, width), _within(y, h, height)
        if across < 1 or down < 1:
            raise InputError(f"box of {name}: expected at least 1 x 1 pixel within the frame, found {x, y, w, h}")
        targets.append(Target(name, (left, top, across, down)))
    check_boxes(targets, source.size)
    return first_frame, targets


def _within(start: Number, length: Number, end: Number) -> tuple[Number, Number]:
    """Part of a side that lies between 0 and `end`: its start, and its length, which may be less than 0."""
    inside = max(start, 0)
    return (start, length) if inside == start and start + length <= end else (inside, min(start + length, end) - inside)
