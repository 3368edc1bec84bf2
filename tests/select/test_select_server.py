"""What the server of the page refuses."""

import http.client
import json
import re
from collections.abc import Iterator
from importlib import resources
from unittest.mock import Mock

import numpy as np
import pytest

from mfst_jax.errors import InputError
from mfst_jax.media.source import Source
from mfst_jax.select import server as server_module
from mfst_jax.select.frames import StoredFrames
from mfst_jax.select.server import FILES, LARGEST_BODY, SCRIPTS, Server, parse_choice


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


def test_a_webcam_that_has_no_frame_to_freeze_is_said(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server.frames, "freeze", Mock(side_effect=InputError("webcam 0: found its end")))
    assert ask(server, f"/{server.token}/freeze", "") == 409


def choice(*box: float, frame: int = 0) -> str:
    return json.dumps({"frame": frame, "targets": [{"name": "", "box": box}]})


def test_of_several_pages_the_first_choice_counts(server: Server):
    root = f"/{server.token}/"
    assert ask(server, root + "start", choice(1, 2, 30, 20)) == 200
    assert ask(server, root + "start", choice(5, 5, 9, 9)) == 409
    assert ask(server, root + "cancel", "") == 409
    _, (target,) = server.wait(1)
    assert target.box == (1, 2, 30, 20)


def test_while_another_page_is_open_a_closed_one_ends_nothing(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "REOPENING", 0.0)
    root = f"/{server.token}/"
    for path, page in [("open", "a"), ("open", "b"), ("closed", "a"), ("closed", "never there")]:
        assert ask(server, root + path, page) == 200
    with pytest.raises(InputError, match=r"but the page went away for 0\.3 s"):
        server.wait(0.3)


def test_when_the_last_page_is_closed_it_ends(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "REOPENING", 0.0)
    for path in ("open", "closed"):
        assert ask(server, f"/{server.token}/{path}", "a") == 200
    with pytest.raises(InputError, match="but the page was closed"):
        server.wait(60)


def test_tokens_are_new_each_time_and_nothing_listens_beyond_loopback(server: Server):
    with Server(server.frames, 0) as other:
        assert len(server.token) >= 32
        assert other.token != server.token
        assert ask(other, f"/{server.token}/") == 404
    assert server._http.socket.getsockname()[0] == "127.0.0.1"


def test_a_port_is_free_again_when_it_is_not_served_any_more(server: Server):
    with Server(server.frames, 0) as other:
        assert ask(other, f"/{other.token}/") == 200
    with Server(server.frames, other.port) as again:
        assert ask(again, f"/{again.token}/") == 200


def test_the_page_may_load_nothing_from_elsewhere(server: Server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", f"/{server.token}/")
    answer = connection.getresponse()
    page = answer.read().decode()
    connection.close()
    policy = dict(each.strip().split(" ", 1) for each in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert {source for sources in policy.values() for source in sources.split()} <= {"'none'", "'self'", "data:"}
    assert "//" not in page.replace("<!DOCTYPE html>", "")
    assert re.findall('(?:src|href)="([^":]+)"', page) == ["page.css", *(f"script/{name}" for name in SCRIPTS)]
    addresses = []
    for name in FILES.values():
        text = (resources.files("mfst_jax") / "select" / name).read_text(encoding="utf-8")
        addresses += re.findall(r"\w+://[\w./]+", text)
    assert addresses == ["http://www.w3.org/2000/svg"]  # a mere name


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ((60, 10, 40, 20), (60, 10, 4, 20)),
        ((0.25, 0.1, 63.75, 47.9), (0.25, 0.1, 63.75, 47.9)),
        ((64, 10, 5, 5), "box of target: expected at least 1 x 1 pixel within the frame, found (64, 10, 5, 5)"),
        ((5, 5, -3, 5), "box of target: expected at least 1 x 1 pixel within the frame"),
    ],
)
def test_a_box_is_what_lies_within_the_frame(server: Server, box: tuple[float, ...], said: str | tuple[float, ...]):
    if isinstance(said, str):
        with pytest.raises(InputError, match=re.escape(said)):
            parse_choice(choice(*box).encode(), server.frames)
    else:
        _, (target,) = parse_choice(choice(*box).encode(), server.frames)
        assert target.box == said


def test_a_frame_that_is_not_there_is_refused(server: Server):
    fewer = "source s: expected a frame {}, found fewer frames"
    for frame, said in ((2, fewer.format(2)), (10**20, fewer.format(10**20)), (-1, "from 0 on, found -1")):
        with pytest.raises(InputError, match=re.escape(said)):
            parse_choice(choice(1, 2, 30, 20, frame=frame).encode(), server.frames)
