"""Feeding: one process feeds one parser, within limits of memory and time, and judges what comes of each input."""

import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

import av
import jax

from fuzzing.inputs import files_beside, seeds, write_input
from fuzzing.outcomes import Outcome
from fuzzing.parser import Content, Parser
from fuzzing.watching import forbid_elsewhere, forget_files
from mfst_jax.errors import InputError

ADDRESSES = 3 * 2**30
"""Bytes of addresses that an input may take, beside those of the program and its libraries."""
MEMORY = 2**30
"""Bytes of memory that an input may take, beside those of the program and its libraries."""
SECONDS = 10
"""Seconds of computing that an input may take."""
LONGEST = 2200
"""Number of characters of a line of an error message, at most."""


class Feeder:
    """Feeder of a parser. The process that makes one is its own for good: its limits cannot be taken away.

    Args:
      parser: what is fed.
      outcome: where each input is counted.
      folder: where the process may write, beside the folder of the input.
    """

    @classmethod
    @contextmanager
    def of(cls, parser: Parser, outcome: Outcome, folder: Path) -> Iterator[Self]:
        """Feeder with a folder for its inputs, which goes with it."""
        scratch = Path(mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        try:
            yield cls(parser, outcome, scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def __init__(self, parser: Parser, outcome: Outcome, scratch: Path, folder: Path):
        self._parser, self._outcome, self._scratch = parser, outcome, scratch
        self._inside = scratch / "a" / "b" / "c" / "input"  # data sets are looked for in folders above one of images
        self._inside.mkdir(parents=True)
        self._content: Content = {}
        os.chdir(scratch)
        # Neither what is compiled for boxes of a new shape nor a module at its first use is of the input's making.
        jax.config.update("jax_enable_compilation_cache", False)
        sys.dont_write_bytecode = True
        sys.stderr = sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        for descriptor in (1, 2):  # to which decoders complain
            os.dup2(sys.stdout.fileno(), descriptor)
        for content in seeds(parser):  # what is imported at first use, and what libraries keep, is there after that
            self._write(content)
            try:
                parser.read(self._inside)
            except InputError as error:
                raise RuntimeError(f"{parser.name}: a sound input is refused: {error}") from error
        limit = _addresses() + ADDRESSES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        _forget_peak()
        self._baseline = _peak()
        self._watch = forbid_elsewhere(scratch, folder)

    def feed(self, content: Content) -> bool:
        """Feeds an input and counts it. Returned is whether the process has to end, as it took too much memory."""
        outcome = self._outcome
        self._write(content)
        forget_files()
        start = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # it ends the process, in C code too
        signal.setitimer(signal.ITIMER_REAL, 30 * SECONDS)
        with self._watch.watched():
            problem = self._tried()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        outcome.seconds += (took := time.process_time() - start)
        outcome.slowest = max(outcome.slowest, took)
        problem = problem or next(iter(self._watch.take()), None)
        grown = _peak() - self._baseline
        if grown > MEMORY:
            problem = problem or f"more than {MEMORY >> 20} MiB of memory"
        else:
            outcome.memory = max(outcome.memory, grown)
        if problem is not None:
            outcome.fail(problem, outcome.inputs)
        outcome.inputs += 1
        for path in files_beside(self._inside, content):
            path.unlink()
        return grown > MEMORY

    def remove(self) -> None:
        """Removes the folder of the inputs, before the process ends by itself."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _write(self, content: Content) -> None:
        write_input(content, self._inside, self._content)
        self._content = content

    def _tried(self) -> str | None:
        """Has an input read. Returned is what is wrong with what came of it."""
        try:
            with warnings.catch_warnings(action="error", category=RuntimeWarning):
                self._parser.read(self._inside)
        except InputError as error:
            self._outcome.refused += 1
            return _about(error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return f"{type(error).__name__} in {_where(error)}"
        self._outcome.read += 1
        return None


def ending(exitcode: int) -> str:
    """What is wrong with an input at which a process ended."""
    ended = signal.Signals(-exitcode).name if exitcode < 0 else f"status {exitcode}"
    return f"more than {SECONDS} s" if ended in ("SIGPROF", "SIGALRM") else f"ended with {ended}"


def _about(error: InputError) -> str | None:
    """What is wrong with an error of ours: its words, or that it came of a lack of memory."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) and not isinstance(cause, av.FFmpegError):  # which so refuses what lies
            return f"MemoryError in {_where(cause)}"
        cause = cause.__cause__ or cause.__context__
    several = getattr(error, "problems", ("",))[1:]
    lines = str(error).split("\n")
    if len(lines) > 1 and not several:
        return f"a message of several lines from {_where(error)}"
    if any(len(line) > LONGEST for line in lines):
        return f"a message of more than {LONGEST} characters from {_where(error)}"
    if not all(line.isprintable() for line in lines):
        return f"a message with characters that cannot be printed from {_where(error)}"
    return None


def _where(error: BaseException) -> str:
    """Place in our own code where an exception came from."""
    frames = [(each.filename, each.lineno or 0, each.name) for each in traceback.extract_tb(error.__traceback__)]
    own = [each for each in frames if any(f"/{part}/" in each[0] for part in ("mfst_jax", "weight_port", "train"))]
    own = [each for each in own if "/site-packages/" not in each[0]]
    file, line, function = own[-1] if own else ("?", 0, "?")
    return f"{Path(file).parent.name}/{Path(file).name}:{line} {function}"


def _peak() -> int:
    """Most bytes of memory that this process has had at a time since it was forked, or `_forget_peak` was called."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _addresses() -> int:
    """Bytes of addresses of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
