"""No network unless asked: the tests' own guard, and that importing and tracking open no socket of the Internet."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import offline
import pytest
from one_layer import OPTIONS
from PIL import Image
from scenes import video
from servers import running

from mfst_jax.errors import InputError
from mfst_jax.media import open_source

NOWHERE = "192.0.2.1"
"""An address that is kept for documentation, and leads nowhere."""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), (b"127.0.0.1", True)),
        *((NOWHERE, False), ("10.0.0.1", False), ("fe80::1%eth0", False), ("example.org", False), ("", False)),
        *(("0.0.0.0", False), ("::", False), ("localhost.example.org", False), (None, True), (7, True)),
    ],
)
def test_what_is_on_loopback(host: object, expected: bool):
    assert offline.stays_here(host) is expected


def test_what_leaves_loopback_is_refused_and_noted():
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        for attempt in (
            lambda: stream.connect((NOWHERE, 80)),
            lambda: stream.connect_ex((NOWHERE, 80)),
            lambda: stream.bind(("0.0.0.0", 0)),
            lambda: datagrams.sendto(b"x", (NOWHERE, 53)),
            lambda: socket.getaddrinfo("example.org", 80),
            lambda: socket.gethostbyname("example.org"),
            lambda: socket.create_connection(("example.org", 80)),
        ):
            with pytest.raises(OSError, match="tests stay on loopback"):
                attempt()
    assert [line.split()[0] for line in offline.take_attempts()] == [
        *("socket.connect", "socket.connect", "socket.bind", "socket.sendto"),
        *("socket.getaddrinfo", "socket.gethostbyname", "socket.getaddrinfo"),
    ]


def test_a_name_that_there_never_is_is_not_found():
    with pytest.raises(socket.gaierror):
        socket.create_connection(("no.such.host.invalid", 80))


def test_loopback_and_sockets_of_this_machine_work(tmp_path: Path):
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as accepted,
    ):
        accepted.sendall(b"here")
        assert client.recv(4) == b"here"
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "socket"))


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat", "list.sdp", "list.mp4"])
def test_a_playlist_leads_no_source_to_the_network(tmp_path: Path, name: str):
    pytest.importorskip("av")
    with running() as server:
        server.files["part.ts"] = b"G" + bytes(187)
        url, path = f"{server.url}/part.ts", tmp_path / name
        texts = {
            "list.ffconcat": f"ffconcat version 1.0\nfile '{url}'\n",
            "list.sdp": f"v=0\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {server.server_port} RTP/AVP 96\n",
        }
        m3u8 = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n"
        path.write_text(texts.get(name, m3u8))
        with pytest.raises(InputError, match=name):
            next(open_source(path).frames())
        assert server.asked == []


def test_a_python_that_a_test_starts_stays_on_loopback_too():
    program = f"import socket; socket.create_connection(({NOWHERE!r}, 80), 1)"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.returncode == 1
    assert "tests stay on loopback" in process.stderr
    (line,) = offline.take_attempts()
    assert line.startswith(f"socket.getaddrinfo {NOWHERE!r}")


KILLED = """
import ctypes, platform, struct

# From here on the kernel ends this process where any library opens a socket of the Internet.
architecture, number = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}[platform.machine()]
load, equal, end = 0x20, 0x15, 0x06
allow, kill = 0x7FFF0000, 0x80000000
steps = [
    (load, 0, 0, 4), (equal, 0, 5, architecture), (load, 0, 0, 0), (equal, 0, 3, number),
    (load, 0, 0, 16), (equal, 2, 0, 2), (equal, 1, 0, 10), (end, 0, 0, allow), (end, 0, 0, kill),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
rules = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
kernel = ctypes.CDLL(None, use_errno=True)
assert kernel.prctl(38, 1, 0, 0, 0) == 0, "no_new_privs"
assert kernel.prctl(22, 2, ctypes.byref(rules), 0, 0) == 0, ctypes.get_errno()
"""
IMPORT_ALL = """
import importlib, pkgutil
import mfst_jax, weight_port

count = 0
for package in (mfst_jax, weight_port):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.endswith("__main__") or module.name in LEFT_OUT:
            continue
        importlib.import_module(module.name)
        count += 1
"""
LEFT_OUT = ("mfst_jax.beam", "mfst_jax.beam.transform", "mfst_jax.evaluation.got10k", "mfst_jax.evaluation.vot")
"""Modules for toolkits that not everybody has; importing them alone is not tested."""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", KILLED + program, *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def killing() -> None:
    """The kernel here can end a process that opens a socket."""
    if not sys.platform.startswith("linux") or os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("only Linux on x86_64 and aarch64 has this filter")
    if (process := run("print('here')")).returncode != 0:
        pytest.skip(f"no filter for system calls here: {process.stderr.splitlines()[-1:]}")


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
def test_a_socket_of_the_internet_would_be_the_end_of_the_process(killing: None, family: str):
    process = run(f"import socket; print('here', flush=True); socket.socket(socket.{family})")
    assert (process.returncode, process.stdout) == (-signal.SIGSYS, "here\n")
    assert run("import socket; socket.socketpair()").returncode == 0


def test_importing_every_module_and_tracking_open_no_socket(killing: None, tmp_path: Path):
    pytest.importorskip("grain")
    pytest.importorskip("optax")
    (tmp_path / "img").mkdir()
    frames, boxes = video(31, frames=3, size=(64, 80), target=(20, 18), start=(20, 16))
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "img" / f"{number:04d}.png")
    program = f"""{IMPORT_ALL.replace("LEFT_OUT", repr(LEFT_OUT))}
import sys
from mfst_jax import cli

assert count > 150, count
sys.exit(cli.main(sys.argv[1:]))
"""
    table = tmp_path / "boxes.csv"
    box = ",".join(str(round(float(side))) for side in boxes[0])
    outputs = ("--boxes", str(table), "--page", str(tmp_path / "page.html"))
    process = run(program, "track", str(tmp_path / "img"), "--box", box, *outputs, *OPTIONS)
    assert process.returncode == 0, process.stderr[-2000:]
    assert len(np.loadtxt(table, delimiter=",", skiprows=1)) == 3
