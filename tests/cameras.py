"""Cameras on loopback: an RTSP server, and one by HTTP without a length, which stall, break off or end as told."""

import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PACKET = 188
"""Bytes of a packet of MPEG-TS."""


class Camera:
    """Sends a recording in MPEG-TS to whoever asks, one at a time.

    Args:
      content: the recording.
      speaks: `rtsp`, or `http` for an answer without a length.
    """

    def __init__(self, content: bytes, speaks: str):
        self.content, self.speaks = content, speaks
        self.stalls_after: int | None = None
        """Bytes after which nothing comes any more, though the connection stays."""
        self.silent = False
        """Whether it takes connections and never answers."""
        self.asked: list[str] = []
        """First lines of the requests."""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.done = threading.Event()

    @property
    def url(self) -> str:
        return f"{self.speaks}://127.0.0.1:{self.port}/camera"

    def serve(self) -> None:
        while not self.done.is_set():
            with suppress(OSError):
                client, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def close(self) -> None:
        self.done.set()
        self._socket.close()

    def _answer(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self.silent:
                self.done.wait()
            elif self.speaks == "http":
                self._request(client)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nTransfer-Encoding: chunked\r\n\r\n")
                self._send(lambda part: client.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n"))
                client.sendall(b"0\r\n\r\n")
            else:
                self._converse(client)

    def _request(self, client: socket.socket) -> str:
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            if not (part := client.recv(1)):
                raise ConnectionError
            text = (text + part).lstrip(b"\r\n")
            if text[:1] == b"$":  # what the player says about what it got
                client.recv(struct.unpack(">H", client.recv(3)[1:])[0], socket.MSG_WAITALL)
                text = b""
        self.asked.append(text.decode().splitlines()[0])
        return text.decode()

    def _converse(self, client: socket.socket) -> None:
        """Answers in RTSP, and sends RTP between the answers once it is told to play."""
        sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\n"
        while True:
            request = self._request(client)
            number = re.search(r"CSeq: *(\d+)", request)
            assert number is not None
            head, body = f"RTSP/1.0 200 OK\r\nCSeq: {number[1]}\r\n", ""
            match request.split()[0]:
                case "OPTIONS":
                    head += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                case "DESCRIBE":
                    body = sdp + "a=control:track1\r\n"
                    head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
                case "SETUP":
                    head += "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
                case _:
                    head += "Session: 1\r\n"
            client.sendall(f"{head}\r\n{body}".encode())
            if request.startswith("PLAY"):
                self._play(client)
                return

    def _play(self, client: socket.socket) -> None:
        sequence = 0

        def send(part: bytes) -> None:
            nonlocal sequence
            rtp = struct.pack(">BBHII", 0x80, 33, sequence & 0xFFFF, sequence * 3600, 7) + part
            client.sendall(struct.pack(">cBH", b"$", 0, len(rtp)) + rtp)
            sequence += 1

        self._send(send)

    def _send(self, send) -> None:
        for start in range(0, len(self.content), 7 * PACKET):
            if self.stalls_after is not None and start >= self.stalls_after:
                self.done.wait()
                raise ConnectionError
            send(self.content[start : start + 7 * PACKET])
            time.sleep(0.001)


@contextmanager
def filming(content: bytes, speaks: str) -> Iterator[Camera]:
    """A camera that answers until the end of the `with` block."""
    camera = Camera(content, speaks)
    thread = threading.Thread(target=camera.serve, daemon=True)
    thread.start()
    try:
        yield camera
    finally:
        camera.close()
