"""Files and folders that appear when they are complete: what everything that we write goes through.

What will take the place of `path` is written in a folder beside it, `.NAME.part`, which one process at a time holds by
a lock; a second one is refused. When it is complete it is brought to disk and takes the place in one step, so that
whoever looks finds what was there before, or all of the new. What a killed process leaves in that folder goes when the
next one writes to the same place.

Where a file system has no locks, as some that are reached over a network, and on Windows, that folder has a name of its
own for each process: nobody is refused, the last one wins, and its file is whole; what a killed one leaves stays.
"""

import ctypes
import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from mfst_jax import locks
from mfst_jax.errors import InputError, reason

SUFFIX = ".part"
_NEW, _OLD = "new", "old"


@contextmanager
def replacing(path: Path, expected: str = "to write it", *, wait: bool = False) -> Iterator[Path]:
    """Path of a file or folder to write, which takes the place of `path` at the end; if anything fails, that stays.

    Args:
      path: a file, a folder, or nothing; folders on the way to it are made.
      expected: what messages say was expected.
      wait: whether to wait for another process that writes it, instead of being refused.

    Raises:
      InputError: it cannot be written there, or another process writes it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(path, wait=wait) as folder:
            new = folder / (_NEW + path.suffix)
            yield new
            put(new, path)
    except OSError as error:
        raise InputError(f"{path}: expected {expected}, found {reason(error)}") from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file so that it appears when it is complete.

    Raises:
      InputError: it cannot be written, or another process writes it.
    """
    with replacing(path) as new, new.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def working_name(path: Path) -> Path:
    """Path of the folder in which `path` is written, where there are locks. Raises `InputError` without a name."""
    if not path.name:
        raise InputError(f"{path}: expected a name to write to, found a folder")
    return path.with_name(f".{path.name}{SUFFIX}")


def check_free(path: Path) -> None:
    """Raises `InputError` where another process writes `path` now: for before there is work to lose. Makes nothing."""
    with suppress(OSError):
        handle = os.open(working_name(path), os.O_RDONLY)
        try:
            locks.lock(handle)
        except BlockingIOError:
            raise _taken(path, handle) from None
        finally:
            os.close(handle)


@contextmanager
def working_folder(path: Path, *, wait: bool = False) -> Iterator[Path]:
    """Folder of this process alone beside `path`, on the same file system; it is gone afterwards.

    Args:
      path: what is to be written in the end, in a folder that exists.
      wait: whether to wait for another process, instead of being refused.

    Raises:
      InputError: another process is at work there.
      OSError: no folder can be made there.
    """
    folder, handle = _claim(path, wait)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def put(new: Path, path: Path) -> None:
    """Brings a complete file or folder to disk, and to its place in one step.

    Args:
      new: the file or folder, in the `working_folder` of `path`.
      path: its place. A folder that was there is left in the working folder.

    Raises:
      OSError: that fails; what was at `path` is still there.
    """
    _flush(new)
    if not new.is_dir() or not path.is_dir() or path.is_symlink():
        new.replace(path)
    elif not _exchange(new, path):  # a folder with entries cannot be replaced by renaming
        old = new.with_name(_OLD)
        path.rename(old)  # a process that is killed here is made good by the next `_claim`
        try:
            new.rename(path)
        except BaseException:
            old.rename(path)
            raise
    _flush_entry(path.parent)


def _claim(path: Path, wait: bool) -> tuple[Path, int | None]:
    """Working folder of `path`, empty, and what holds its lock; None where there are no locks."""
    folder = working_name(path).absolute()
    while True:
        with suppress(FileExistsError):
            folder.mkdir()
        if not locks.EXIST:
            break
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:  # whoever had it has finished
            continue
        except NotADirectoryError:  # not of this release, or a link: nothing of anybody's
            folder.unlink()
            continue
        try:
            locks.lock(handle, wait=wait)
            if not locks.is_current(handle, folder):
                os.close(handle)
                continue
            _clear(folder, path)
        except BlockingIOError:
            error = _taken(path, handle)
            os.close(handle)
            raise error from None
        except OSError as error:
            os.close(handle)
            if error.errno in locks.NO_LOCKS:
                break
            raise
        return folder, handle
    with suppress(OSError):
        folder.rmdir()
    return Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=SUFFIX, dir=folder.parent)), None


def _taken(path: Path, handle: int) -> InputError:
    """Error for a path that another process writes, by the handle of its working folder."""
    return InputError(f"{path}: expected no other process that writes it, found {locks.holder(handle)}")


def _clear(folder: Path, path: Path) -> None:
    """Empties a working folder that a killed process has left, and puts back what it had moved away."""
    if (old := folder / _OLD).exists() and not path.exists():
        old.rename(path)
    for entry in list(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two folders in one step; False where that cannot be done here."""
    rename = _renameat2()
    if rename is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename(here, os.fsencode(one.absolute()), here, os.fsencode(other.absolute()), exchange) == 0


@cache
def _renameat2() -> Callable[..., int] | None:
    """Linux's `renameat2` by the C library; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return None


def _flush(path: Path) -> None:
    """Brings a file, or a folder with all in it, to disk."""
    if path.is_symlink():
        return
    if path.is_dir():
        for entry in path.iterdir():
            _flush(entry)
        _flush_entry(path)
    elif stat.S_ISREG(path.stat().st_mode):
        with path.open("r+b" if sys.platform == "win32" else "rb") as file:  # Windows flushes what may be written to
            os.fsync(file.fileno())


def _flush_entry(folder: Path) -> None:
    """Brings the names in a folder to disk, where the system can and lets us."""
    if sys.platform == "win32":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP):
            raise
