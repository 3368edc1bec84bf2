"""Faults of a file system, injected into one process: the k-th change of a folder's content fails.

Python's audit events tell of every file that is opened to write, every renaming, removal and new folder before it
happens, whichever library asks for it; `os.fsync`, which has no event, and Linux's exchange of two folders are patched.
Writes themselves fail where a limit of the kernel's has it so, for compiled code too: `files_of_at_most`.
"""

import contextlib
import errno
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfst_jax import whole_files

KINDS = (errno.ENOSPC, errno.EROFS, errno.EIO)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {"os.rename": 2, "os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.truncate": 1, "os.chmod": 1, "os.link": 2}
"""Events of changes, and how many of their first arguments are paths."""


class Faults:
    """Counter of changes below a folder, the `fails`-th of which fails with `kind`. Counts from 0."""

    def __init__(self, folder: Path, fails: int, kind: int):
        self.folder, self.fails, self.kind = str(folder), fails, kind
        self.count = 0
        self.failed = ""

    def happen(self, what: str) -> None:
        """Counts a change, or raises in its place."""
        self.count += 1
        if self.count - 1 == self.fails:
            self.failed = what
            raise OSError(self.kind, os.strerror(self.kind))

    def is_below(self, path: object) -> bool:
        """Whether a path is one in the folder."""
        return isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(self.folder)


_now: list[Faults] = []


def _hear(event: str, arguments: tuple) -> None:
    if not _now:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & WRITING and _now[0].is_below(path):
            _now[0].happen(f"open {path}")
    elif event in CHANGES and any(_now[0].is_below(path) for path in arguments[: CHANGES[event]]):
        _now[0].happen(f"{event} {arguments[0]}")


@contextlib.contextmanager
def failing(folder: Path, fails: int, kind: int) -> Iterator[Faults]:
    """Lets the `fails`-th change below a folder fail within the block; none, where there are not so many."""
    if not _hooked:
        sys.addaudithook(_hear)
        _hooked.append(True)
    faults, fsync, exchange = Faults(folder, fails, kind), os.fsync, whole_files._exchange

    def failing_fsync(handle: int) -> None:
        faults.happen("fsync")
        fsync(handle)

    def failing_exchange(one: Path, other: Path) -> bool:
        try:
            faults.happen("exchange")
        except OSError:
            return False  # as the system call says it
        return exchange(one, other)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", failing_fsync)
        patch.setattr(whole_files, "_exchange", failing_exchange)
        _now.append(faults)
        try:
            yield faults
        finally:
            _now.clear()


_hooked: list[bool] = []


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Lets every write of this process fail that would make a file longer than `size` bytes: File too large."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
