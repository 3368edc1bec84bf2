"""A network of loopback alone, for a test run and every Python that it starts: the rest is refused, and noted.

What leads elsewhere fails as on a machine without a network. Since code may live with that, each attempt is also noted
in a file that the tests look into. Only what goes through Python's own sockets is seen.
"""

import errno
import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import Any

NOTES = "MFST_TESTS_NETWORK_ATTEMPTS"
"""Variable that names the file of attempts; without it they are refused all the same."""
_ADDRESS_AT = {"socket.connect": 1, "socket.bind": 1, "socket.sendto": 1, "socket.sendmsg": 1, "socket.getnameinfo": 0}
_NAMES = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
_installed = False


def install() -> None:
    """From here on this process stays on loopback."""
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_watch)


def take_attempts() -> list[str]:
    """The attempts since the last call, of this process and of those that it has started."""
    path = Path(os.environ[NOTES])
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    path.unlink()
    return lines


def stays_here(host: object) -> bool:
    """Whether an address or a name leads to this machine alone. What is no text is no address of the Internet."""
    if isinstance(host, bytes | bytearray):
        host = bytes(host).decode("latin-1")
    if not isinstance(host, str):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not event.startswith("socket."):
        return
    if event in _NAMES:
        host = arguments[0]
        if isinstance(host, str) and host.endswith(".invalid"):  # a name that there is never, which tests ask for
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    elif event in _ADDRESS_AT and isinstance(address := arguments[_ADDRESS_AT[event]], tuple):
        host = address[0]  # a path is one of AF_UNIX
    else:
        return
    if not stays_here(host):
        _note(f"{event} {host!r}")
        raise OSError(errno.ENETUNREACH, f"tests stay on loopback, and do not reach {host!r}")


def _note(line: str) -> None:
    if path := os.environ.get(NOTES):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{line} by {' '.join(sys.argv)[:80]}\n")
