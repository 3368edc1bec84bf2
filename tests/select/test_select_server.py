"""What the server of the page refuses."""

import http.client
import json
from collections.abc import Iterator

import numpy as np
import pytest

from mfst_jax.errors import InputError
from mfst_jax.select.frames import StoredFrames
from mfst_jax.select.server import LARGEST_BODY, Server
from mfst_jax.video import Source


@pytest.fixture
def server() -> Iterator[Server]:
    source = Source("s", (48, 64), 2, 25.0, None, lambda: (("0", np.zeros((48, 64, 3), np.uint8)) for _ in range(2)))
    with StoredFrames(source) as frames, Server(frames, 0) as made:
        yield made


def ask(server: Server, path: str, body: str | None = None, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    known = {"Origin": f"http://127.0.0.1:{server.port}"} if body is not None else {}
    connection.request("GET" if body is None else "POST", path, body, {**known, **headers})
    status = connection.getresponse().status
    connection.close()
    return status


def test_tokens_hosts_origins_and_bodies_are_checked(server: Server):
    root = f"/{server.token}/"
    assert ask(server, root) == 200
    assert ask(server, "/wrong/") == ask(server, root + "server.py") == ask(server, root + "../server.py") == 404
    assert ask(server, root, Host="evil.example") == 403
    assert ask(server, root + "start", "{}", Origin="http://evil.example") == 403
    assert ask(server, root + "alive", " " * (LARGEST_BODY + 1)) == 413


@pytest.mark.parametrize("body", ["", "[]", "{", '{"frame": 0, "targets": []}', '{"frame": NaN, "targets": [1]}'])
def test_a_malformed_choice_is_refused(server: Server, body: str):
    assert ask(server, f"/{server.token}/start", body) == 400


def test_a_box_is_clipped_to_the_frame(server: Server):
    said = {"frame": 1, "targets": [{"name": "", "box": [-5, 40, 10.5, 20]}]}
    assert ask(server, f"/{server.token}/start", json.dumps(said)) == 200
    first, (target,) = server.wait(1)
    assert (first, target.box) == (1, (0, 40, 5.5, 8))


def test_no_browser_and_a_port_in_use_are_said(server: Server):
    with pytest.raises(InputError, match="no browser came"):
        server.wait(0.1)
    with pytest.raises(InputError, match="a port that is free"):
        Server(server.frames, server.port)
