"""Lock between processes and threads: a file that one at a time holds."""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not a Unix: two processes at once are then up to the user
    fcntl = None


@contextmanager
def exclusive(path: Path, waiting: Callable[[], None] = lambda: None) -> Generator[None]:
    """Holds the lock that the file `path` stands for; the file is made for it and is gone afterwards.

    A process that is killed loses it. On file systems without locks nothing is locked.

    Args:
      path: a file of this purpose alone, in a folder that exists.
      waiting: is called before waiting for another holder.

    Raises:
      OSError: the file cannot be made.
    """
    while True:
        file = path.open("a")
        _acquire(file, waiting)
        if _is_current(file, path):
            break
        file.close()  # its holder has removed it, so a new one is made
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _acquire(file: IO[str], waiting: Callable[[], None]) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:  # a file system without locks
        return


def _is_current(file: IO[str], path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
