"""Campaign: inputs by their numbers, fed to parsers in processes of their own, with the outcome kept in a folder."""

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import jax

from fuzzing import mutations
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
AT_ONCE = 2000
"""Number of inputs after which another parser has its turn."""
KEPT = 20
"""Number of inputs of one cause whose numbers are kept."""


@dataclass
class Outcome:
    """Outcome of a parser's inputs.

    Attributes:
      inputs: Number of inputs so far, which is the number of the next one.
      read: How many of them were read.
      refused: How many of them were refused by an `InputError`.
      seconds: Seconds of computing of all of them.
      slowest: Seconds of computing of the slowest input.
      memory: Most bytes that inputs took, beside those of the program and its libraries.
      failures: How often each cause made an input fail, with numbers of some of these inputs.
    """

    inputs: int = 0
    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    memory: int = 0
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Number of inputs that failed."""
        return sum(cause["count"] for cause in self.failures.values())

    def fail(self, cause: str, number: int) -> None:
        """Notes that an input failed."""
        noted = self.failures.setdefault(cause, {"count": 0, "numbers": []})
        noted["count"] += 1
        noted["numbers"] = [*noted["numbers"], number][:KEPT]


def state_path(folder: Path, parser: Parser) -> Path:
    """File of a parser's outcome in the folder of a campaign."""
    return folder / ("".join(c if c.isalnum() else "-" for c in parser.name) + ".json")


def load(folder: Path, parser: Parser) -> Outcome:
    """Outcome of a parser so far."""
    path = state_path(folder, parser)
    return Outcome(**json.loads(path.read_text())) if path.is_file() else Outcome()


def save(folder: Path, parser: Parser, outcome: Outcome) -> None:
    """Keeps the outcome of a parser."""
    path = state_path(folder, parser)
    new = path.with_suffix(".part")
    new.write_text(json.dumps(asdict(outcome), indent=1))
    new.replace(path)


def quota(parser: Parser, parsers: tuple[Parser, ...], inputs: int) -> int:
    """Number of inputs of a parser, of those of all."""
    return -int(-inputs * parser.share // sum(each.share for each in parsers))


@cache
def seeds(parser: Parser) -> tuple[Content, ...]:
    """Sound inputs of a parser."""
    return tuple(make() for make in parser.seeds)


def make_input(parser: Parser, number: int, seed: int) -> Content:
    """Input of a number: the same in every campaign with the same seed."""
    chance = random.Random(f"{seed} {parser.name} {number}")
    files = dict(chance.choice(seeds(parser)))
    targets = sorted(name for name in files if name.endswith(parser.damaged))
    for target in chance.sample(targets, min(len(targets), chance.choice((1, 1, 1, 2)))):
        content = files[target]
        data = content.encode() if isinstance(content, str) else content
        files[target] = (mutations.rewritten if chance.random() < parser.text else mutations.damaged)(data, chance)
    return files


def write_input(files: Content, folder: Path, before: Content) -> None:
    """Writes an input to a folder that holds another one, as far as they differ."""
    if before.keys() - files.keys():  # of another seed: no empty folder of it stays either
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        before = {}
    for name, content in files.items():
        if before.get(name) == content:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # some file systems flush what is written over
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def check_seeds(parser: Parser) -> None:
    """Reads the sound inputs of a parser. Raises what it raises of one of them."""
    with TemporaryDirectory() as folder:
        before: Content = {}
        for content in seeds(parser):
            write_input(content, Path(folder), before)
            before = content
            parser.read(Path(folder))


def run(folder: Path, parser: Parser, until: int, seed: int, deadline: float | None = None) -> Outcome:
    """Feeds a parser its inputs up to a number. Where a process ends at one, that one failed, and the next goes on.

    Args:
      folder: where the outcome is kept.
      parser: what is fed.
      until: the number after that of the last input.
      seed: other numbers give other inputs.
      deadline: time by `time.time` at which to end early.
    """
    outcome = load(folder, parser)
    context = multiprocessing.get_context("fork")
    while outcome.inputs < until and (deadline is None or time.time() < deadline):
        begun = context.Value("q", outcome.inputs)
        with warnings.catch_warnings(action="ignore"):  # of forks beside threads, of which none runs
            process = context.Process(target=_feed, args=(folder, parser, until, seed, deadline, begun))
            process.start()
        process.join()
        outcome = load(folder, parser)
        if process.exitcode:
            number = begun.value
            ended = signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"status {process.exitcode}"
            what = f"more than {SECONDS} s" if ended in ("SIGPROF", "SIGALRM") else f"ended with {ended}"
            outcome.fail(what, number)
            outcome.inputs = number + 1
            save(folder, parser, outcome)
    return outcome


def again(parser: Parser, number: int, seed: int) -> str | None:
    """What is wrong with one input by the code as it is now; None where nothing is."""
    context = multiprocessing.get_context("fork")
    scratch = Path(mkdtemp(prefix="fuzz-again-"))
    with warnings.catch_warnings(action="ignore"):
        process = context.Process(
            target=_feed, args=(scratch, parser, number + 1, seed, None, context.Value("q", 0), number)
        )
        process.start()
    process.join()
    outcome = load(scratch, parser)
    shutil.rmtree(scratch)
    return f"ended with {process.exitcode}" if process.exitcode else next(iter(outcome.failures), None)


def _feed(
    folder: Path, parser: Parser, until: int, seed: int, deadline: float | None, begun: Any, first: int | None = None
) -> None:
    """Main function of a process that feeds a parser."""
    scratch = Path(mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        _feed_in(scratch, folder, parser, until, seed, deadline, begun, first)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _feed_in(
    scratch: Path,
    folder: Path,
    parser: Parser,
    until: int,
    seed: int,
    deadline: float | None,
    begun: Any,
    first: int | None,
) -> None:
    outcome = load(folder, parser)
    inside = scratch / "a" / "b" / "c" / "input"  # data sets are looked for in folders above one of images
    inside.mkdir(parents=True)
    os.chdir(scratch)
    # Neither what is compiled for boxes of a new shape nor a module at its first use is of the input's making.
    jax.config.update("jax_enable_compilation_cache", False)
    sys.dont_write_bytecode = True
    before: Content = {}
    sys.stderr = sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    for descriptor in (1, 2):  # to which decoders complain
        os.dup2(sys.stdout.fileno(), descriptor)
    for content in seeds(parser):  # what is imported at first use, and what libraries keep, is there after that
        write_input(content, inside, before)
        before = content
        try:
            parser.read(inside)
        except InputError as error:
            raise RuntimeError(f"{parser.name}: a sound input is refused: {error}") from error
    limit = _addresses() + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    _forget_peak()
    baseline, saved = _peak(), time.monotonic()
    allowed = forbid_elsewhere(scratch, folder)
    for number in range(outcome.inputs if first is None else first, until):
        begun.value = number
        content = make_input(parser, number, seed)
        write_input(content, inside, before)
        before = content
        forget_files()
        start = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # it ends the process, in C code too
        signal.setitimer(signal.ITIMER_REAL, 30 * SECONDS)
        with allowed.watched():
            problem = _tried(parser, inside, outcome)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        outcome.seconds += (took := time.process_time() - start)
        outcome.slowest = max(outcome.slowest, took)
        problem = problem or next(iter(allowed.take()), None)
        grown = _peak() - baseline
        if grown > MEMORY:
            problem = problem or f"more than {MEMORY >> 20} MiB of memory"
        else:
            outcome.memory = max(outcome.memory, grown)
        if problem is not None:
            outcome.fail(problem, number)
        outcome.inputs = number + 1
        ends = grown > MEMORY or (deadline is not None and time.time() > deadline)
        if ends or time.monotonic() - saved > 5:
            save(folder, parser, outcome)
            saved = time.monotonic()
        if ends:
            return
        for path in _beside(inside, content):
            path.unlink()
    save(folder, parser, outcome)


def _tried(parser: Parser, folder: Path, outcome: Outcome) -> str | None:
    """Feeds one input. Returned is what is wrong with what came of it."""
    try:
        with warnings.catch_warnings(action="error", category=RuntimeWarning):
            parser.read(folder)
    except InputError as error:
        outcome.refused += 1
        return _about(error)
    except BaseException as error:
        return f"{type(error).__name__} in {_where(error)}"
    outcome.read += 1
    return None


def _about(error: InputError) -> str | None:
    """What is wrong with an error of ours: its words, or that it came of a lack of memory."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
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
    own = [
        each for each in _frames(error) if any(f"/{part}/" in each[0] for part in ("mfst_jax", "weight_port", "train"))
    ]
    own = [each for each in own if "/site-packages/" not in each[0]]
    file, line, function = own[-1] if own else ("?", 0, "?")
    return f"{Path(file).parent.name}/{Path(file).name}:{line} {function}"


def _frames(error: BaseException) -> Iterator[tuple[str, int, str]]:
    for each in traceback.extract_tb(error.__traceback__):
        yield each.filename, each.lineno or 0, each.name


def _beside(folder: Path, content: Content) -> list[Path]:
    """Files in a folder that are none of an input."""
    return [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).as_posix() not in content]


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
