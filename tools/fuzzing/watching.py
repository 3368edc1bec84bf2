"""Watching: what an input may not do, by Python's audit events, whatever parser reads it."""

import functools
import gc
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUNS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "pty.spawn",
    "os.startfile",
    "ctypes.dlopen",
)
"""Events of a program that is run, or of code that is loaded."""
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
"""Events of a change to a file whose path comes first."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Watch:
    """Watch over this process, for good: audit hooks cannot be taken away.

    Args:
      folders: those in which files may be written.
    """

    def __init__(self, *folders: Path):
        self._folders = [str(folder.resolve()) for folder in folders]
        self._on, self._found = False, list[str]()
        sys.addaudithook(self._hear)

    def take(self) -> list[str]:
        """What was done that may not be done, since the last call."""
        found, self._found = self._found, []
        return found

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watches within the block."""
        self._on = True
        try:
            yield
        finally:
            self._on = False

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._on:
            return
        if event in RUNS:
            self._found.append(f"{event} was called")
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not self._is_inside(path):
                self._found.append("a file was written elsewhere")
        elif event in CHANGES and not self._is_inside(arguments[0]):
            self._found.append(f"{event} was called elsewhere")
        elif event == "socket.connect" and (not isinstance(arguments[1], tuple) or arguments[1][0] not in LOOPBACK):
            self._found.append("a connection was opened")

    def _is_inside(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # a descriptor that is open already
        whole = os.path.realpath(os.fsdecode(path))
        return whole == os.devnull or any(whole.startswith(f"{folder}/") for folder in self._folders)


def forbid_elsewhere(*folders: Path) -> Watch:
    """Watch that notes programs that are run, connections, and files that are written outside these folders."""
    return Watch(*folders)


@functools.cache
def _caches() -> list[object]:
    """Caches of what files hold, which know a file by its size and time: inputs are written faster than time goes."""
    kind = type(functools.lru_cache(lambda: None))
    found = [
        each for each in gc.get_objects() if isinstance(each, kind) and str(each.__module__).startswith("mfst_jax.")
    ]
    return [each for each in found if "version" in inspect.signature(each).parameters]


def forget_files() -> None:
    """Empties what is kept of files that were read."""
    for each in _caches():
        each.cache_clear()  # pyrefly: ignore[missing-attribute]
