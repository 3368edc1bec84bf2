"""Locks between processes: a folder for one of them at a time, or for those that share it, and files that one holds.

A process that ends, however it ends, holds nothing any more. On file systems without locks, as some that are reached
over a network, and on systems without them, such as Windows, nobody is kept out.
"""

import errno
import logging
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from mfst_jax.errors import InputError, reason

try:
    import fcntl
except ImportError:  # not a Unix: two processes at once are then up to the user
    fcntl = None

EXIST = fcntl is not None
"""Whether this system has locks of the kind that is used here; a file system may still have none."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF)
"""What a file system without locks says; EBADF is what NFS says of folders."""
_log = logging.getLogger(__name__)


@contextmanager
def alone_in(folder: Path, *, shared: bool = False) -> Generator[None]:
    """Keeps a folder to this process until the block ends; it is made if need be. A second one is refused.

    The folder itself is locked, so that nothing is left in it. Where its file system has no locks, a warning says so,
    unless it is shared; on a system without them there is none.

    Args:
      folder: the folder.
      shared: whether others that share it too may be at work in it beside this process, and only those that do not are
        kept out.

    Raises:
      InputError: another process, or another thread of this one, is at work in it; or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = None if fcntl is None else os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{folder}: expected a folder or a place for one, found {reason(error)}") from None
    if handle is None:
        yield
        return
    try:
        try:
            lock(handle, shared=shared)
        except BlockingIOError:
            found, others = holder(handle), "no process at work in it that does not share it" if shared else ""
            raise InputError(
                f"{folder}: expected {others or 'no other process at work in it'}, found {found}"
            ) from None
        except OSError as error:
            if not shared:
                _log.warning("%s: cannot be locked (%s): see that no other process works in it", folder, reason(error))
        yield
    finally:
        os.close(handle)


@contextmanager
def exclusive(path: Path, waiting: Callable[[], None] = lambda: None) -> Generator[None]:
    """Holds the lock that the file `path` stands for, after waiting for it; the file is made, and gone afterwards.

    On a system without locks nobody waits, and no file is made.

    Args:
      path: a file of this purpose alone, in a folder that exists.
      waiting: is called before waiting for another holder.

    Raises:
      OSError: the file cannot be made.
    """

    def wait(handle: int) -> bool:
        waiting()
        lock(handle, wait=True)
        return True

    with _holding(path, wait):
        yield


@contextmanager
def claimed(path: Path) -> Generator[bool]:
    """Holds the lock that the file `path` stands for, unless another process does: yields whether it is held.

    The file is made, and gone afterwards; what a killed process leaves of it is nobody's. On a file system without
    locks everybody holds it, and on a system without them too, where no file is made.

    Args:
      path: a file of this purpose alone, in a folder that exists. It is opened for writing, since NFS has locks of such
        files alone.

    Raises:
      OSError: the file cannot be made.
    """
    with _holding(path, lambda handle: False) as held:
        yield held


@contextmanager
def _holding(path: Path, otherwise: Callable[[int], bool]) -> Generator[bool]:
    """Holds the lock that the file `path` stands for: yields whether it is held. The file is gone afterwards.

    Where another process holds it, `otherwise`, called with the descriptor of the file, says whether it is held then.
    On a system without locks no file is made: it would be of no use, and Windows removes none that is open.
    """
    if not EXIST:
        yield True
        return
    while True:
        with path.open("a") as file:
            try:
                lock(file.fileno())
            except BlockingIOError:
                if not otherwise(file.fileno()):
                    yield False
                    return
            except OSError:  # a file system without locks
                pass
            if not is_current(file.fileno(), path):
                continue  # its holder has removed it, so a new one is made
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return


def lock(handle: int, *, wait: bool = False, shared: bool = False) -> None:
    """Locks an open file or folder.

    Args:
      handle: what is open.
      wait: whether to wait for another holder.
      shared: whether other locks that are shared too may be beside this one.

    Raises:
      BlockingIOError: another one holds it, and is not waited for.
      OSError: the file system has no locks.
    """
    if fcntl is not None:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)


def is_current(handle: int, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def holder(handle: int) -> str:
    """The process that holds the lock of an open folder, as far as that can be seen from here."""
    about = os.fstat(handle)
    place = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    try:
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[5] == place:
                return f"process {words[4]}"
    except (OSError, IndexError, ValueError):
        pass
    return "one"
