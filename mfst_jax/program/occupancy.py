"""Folder of a run for one process at a time: a second one is refused before it writes anything."""

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from mfst_jax.errors import InputError, reason

try:
    import fcntl
except ImportError:  # not a Unix: two processes at once are then up to the user
    fcntl = None

_log = logging.getLogger(__name__)


@contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """Keeps a folder to this process until the block ends, however it ends; it is made if need be.

    The folder itself is locked, so that nothing is left in it. On a file system without locks, as some that are reached
    over a network, nobody is refused, and a warning says so.

    Raises:
      InputError: another process, or another thread of this one, is at work in it; or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = None if fcntl is None else os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{folder}: expected a folder or a place for one, found {reason(error)}") from None
    if fcntl is None or handle is None:
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(handle)
        os.close(handle)
        raise InputError(f"{folder}: expected no other process at work in it, found {holder}") from None
    except OSError as error:
        _log.warning("%s: cannot be locked (%s): see that no other process works in it", folder, reason(error))
    try:
        yield
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    """The process that holds the lock of an open folder, as far as that can be seen from here."""
    number = os.fstat(handle).st_ino
    try:
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(number):
                return f"process {words[4]}"
    except (OSError, IndexError, ValueError):
        pass
    return "one"
