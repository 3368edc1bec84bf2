"""Division of work among processes, on one host or on many, that share the folder in which they write.

Nothing joins the processes but that folder: each takes a piece of work that is not done and that nobody else holds, by
the lock of a hidden file `.NAME.claim`. A process that ends, however it ends, holds nothing any more, and the others
take over what it had begun. Where a file system has no locks, a piece may be done twice, which costs nothing but time:
whoever is last writes the same bytes. Each process begins with a stretch of its own, so that this happens at the end
alone.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mfst_jax.errors import InputError, reason
from mfst_jax.locks import alone_in, claimed, exclusive

CLAIM = ".claim"
"""Suffix of claims, which are gone when all work is done."""
PAUSE = 1.0
"""Seconds between two looks at whether others have finished, or let go of, what they hold."""

Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Share:
    """Share of one process in work that several do.

    Attributes:
      processes: Number of processes. It says where each begins, and nothing else: there may be fewer or more of them.
      process: Which one this is, from 0.
    """

    processes: int = 1
    process: int = 0

    @property
    def is_all(self) -> bool:
        """Whether there is one process alone."""
        return self.processes == 1

    def order(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Pieces in the order in which this process takes them: its own stretch, then others', last ones first."""
        bounds = [len(pieces) * number // self.processes for number in range(self.processes + 1)]
        own, *others = [(self.process + step) % self.processes for step in range(self.processes)]
        first = list(pieces[bounds[own] : bounds[own + 1]])
        return first + [piece for each in others for piece in reversed(pieces[bounds[each] : bounds[each + 1]])]


def share_of(processes: int, process: int) -> Share:
    """Share by `--processes` and `--process`.

    Raises:
      InputError: less than one process, or a number that none of them has.
    """
    if processes < 1:
        raise InputError(f"--processes: expected 1 or more, found {processes}")
    if not 0 <= process < processes:
        raise InputError(f"--process: expected 0 to {processes - 1}, found {process}")
    return Share(processes, process)


def at_work_in(folder: Path, share: Share) -> AbstractContextManager[None]:
    """Context of work in a folder: this process alone, or beside those that share the work.

    Raises:
      InputError: on entry, another process is at work in it that does not share it; or it cannot be made.
    """
    return alone_in(folder, shared=not share.is_all)


@contextmanager
def in_turn(folder: Path, share: Share) -> Generator[None]:
    """Lets one of the processes that share a folder run the block at a time; the others wait.

    Raises:
      InputError: nothing can be written in the folder.
    """
    with ExitStack() as stack:
        if not share.is_all:
            try:
                stack.enter_context(exclusive(folder / ".turn.lock"))
            except OSError as error:
                raise InputError(f"{folder}: expected to write in it, found {reason(error)}") from error
        yield


@contextmanager
def one_at_a_time(name: str, folder: Path) -> Generator[None]:
    """Claims a piece of work by its name, after waiting for another process that has it.

    Raises:
      InputError: a claim cannot be made in that folder.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(_claim_of(name, folder)))
        except OSError as error:
            raise InputError(f"{folder}: expected to write a claim, found {reason(error)}") from error
        yield


def share_out(
    pieces: Sequence[Piece],
    share: Share,
    folder: Path,
    *,
    name: Callable[[Piece], str],
    is_done: Callable[[Piece], bool],
    waiting: Callable[[int], None] = lambda held: None,
) -> Generator[Piece]:
    """Pieces of work that this process is to do, one at a time, until every piece is done by some process.

    A piece is this process's until the next one is asked for; by then it has to be done.

    Args:
      pieces: all of the work, the same in every process.
      share: of this process. One that is alone claims nothing.
      folder: where the results are, which exists.
      name: of a piece, different for each, which a file can have.
      is_done: whether a piece is done, by whichever process.
      waiting: called once with how many pieces are left when all of these are held by others.

    Raises:
      InputError: a claim cannot be made in that folder.
    """
    left, waited = share.order(pieces), False
    while left:
        held = []
        for piece in left:
            if is_done(piece):
                continue
            if share.is_all:
                yield piece
                continue
            with ExitStack() as stack:
                try:
                    mine = stack.enter_context(claimed(_claim_of(name(piece), folder)))
                except OSError as error:
                    raise InputError(f"{folder}: expected to write a claim, found {reason(error)}") from error
                if not mine:
                    held.append(piece)
                elif not is_done(piece):  # it may have been done while the claim was made
                    yield piece
        if held and len(held) == len(left):
            if not waited:
                waiting(len(held))
            waited = True
            time.sleep(PAUSE)
        left = held
    tidy(folder)


def tidy(folder: Path) -> None:
    """Removes what killed processes have claimed in a folder."""
    with suppress(OSError):
        for path in folder.glob(f".*{CLAIM}"):
            with claimed(path):
                pass


def _claim_of(name: str, folder: Path) -> Path:
    return folder / f".{name}{CLAIM}"
