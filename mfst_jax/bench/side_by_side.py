"""Side-by-side timing: contestants in processes of their own, called in turns, so that all see the same machine.

What slows the machine down for a while slows all of them in the same round; the figure to read is the median over
rounds of the ratio within a round. CPU time suffers less from other work than wall time does.
"""

import multiprocessing
import os
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfst_jax.errors import InputError

Make = Callable[..., Callable[[], Any]]
"""Function that makes, in the contestant's process, the function to be timed. It must be of a module's top level, since
it is sent by name."""


@dataclass
class Times:
    """Times of one contestant's calls, a value for each round.

    Attributes:
      wall: Seconds of wall time per call.
      cpu: Seconds of CPU time per call, on all cores together.
      peak: Peak resident memory of its process, in MiB.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: float = 0.0


class Contestant:
    """Process that waits for its turns. Leaving the `with` block ends it.

    Args:
      make: makes the function to be timed.
      *arguments: of `make`.
      environment: environment variables of the process, beside those of this one.
    """

    def __init__(self, make: Make, *arguments: Any, environment: Mapping[str, str] | None = None):
        self._make, self._arguments, self._environment = make, arguments, environment or {}

    def __enter__(self) -> "Contestant":
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._make, self._arguments), daemon=True)
        with _environment(self._environment):
            self._process.start()
        theirs.close()
        self._receive()  # it is ready
        return self

    def call(self, calls: int) -> tuple[float, float, float]:
        """Seconds of wall and of CPU time, each the mean of some calls, and the peak memory in MiB."""
        self._pipe.send(calls)
        return self._receive()

    def __exit__(self, *_: object) -> None:
        self._pipe.close()  # which tells the process to end
        self._process.join()

    def _receive(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"{self._make.__name__}: its process ended with {self._process.exitcode}") from None
        result, problem = answer
        if problem is not None:
            raise RuntimeError(f"{self._make.__name__}: {problem}")
        return result


def alternate(contestants: Mapping[str, Contestant], *, rounds: int, calls: int = 1) -> dict[str, Times]:
    """Times of each contestant, called once a round in an order that rotates, after a round that does not count.

    Args:
      contestants: by name; they are started here, one after the other, and ended.
      rounds: how many rounds, at least two.
      calls: how many calls make a turn; the mean counts.

    Raises:
      InputError: fewer than two rounds or one call.
      RuntimeError: a contestant fails; the message is its traceback.
    """
    if rounds < 2 or calls < 1:
        raise InputError(f"rounds, calls: expected at least 2 rounds of 1 call, found {rounds} of {calls}")
    times = {name: Times() for name in contestants}
    with ExitStack() as stack:
        running = [(name, stack.enter_context(contestant)) for name, contestant in contestants.items()]
        for number in range(rounds + 1):
            first = number % len(running)
            for name, contestant in running[first:] + running[:first]:
                wall, cpu, peak = contestant.call(calls)
                if number:
                    times[name].wall.append(wall)
                    times[name].cpu.append(cpu)
                    times[name].peak = peak
    return times


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ratios of two contestants' times, round by round."""
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and quartiles, as text."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} ({low:.{digits}f} .. {high:.{digits}f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Table as text, with columns as wide as needed, the first to the left and the others to the right."""
    lines = [[*header], *([*row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (zip(line, widths, strict=True) for line in lines)
    )


def idle_share(seconds: float = 1.0) -> float | None:
    """Share of this machine's cores that are idle just now; None where that is not known."""
    try:
        before = _jiffies()
        time.sleep(seconds)
        idle, total = (after - earlier for after, earlier in zip(_jiffies(), before, strict=True))
    except (OSError, ValueError, IndexError):
        return None
    return idle / total if total else None


def machine() -> str:
    """Description of this machine in words: how many cores, and how busy they are with something else."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    idle = idle_share()
    return f"{cores} cores" + (f", {idle:.0%} idle before" if idle is not None else "")


def _jiffies() -> tuple[int, int]:
    """Idle time and total time of all cores since the machine started."""
    counts = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return counts[3] + counts[4], sum(counts)


def _serve(pipe: Any, make: Make, arguments: tuple[Any, ...]) -> None:
    """Main function of a contestant's process."""
    try:
        function = make(*arguments)
        pipe.send((None, None))
        while True:
            calls = pipe.recv()
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(calls):
                function()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            pipe.send(((wall / calls, cpu / calls, _peak_mebibytes()), None))
    except (EOFError, KeyboardInterrupt):
        pass
    except BaseException:
        pipe.send((None, traceback.format_exc()))


def _peak_mebibytes() -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
