"""Campaign: inputs by their numbers, fed to parsers in processes of their own, with the outcome kept in a folder."""

import gc
import multiprocessing
import shutil
import time
import warnings
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from fuzzing.feeding import Feeder, ending
from fuzzing.inputs import make_input
from fuzzing.outcomes import load, save
from fuzzing.parser import Parser

AT_ONCE = 2000
"""Number of inputs after which another parser has its turn."""
SAVED_EVERY = 5
"""Seconds after which the outcome is kept."""


def quota(parser: Parser, parsers: tuple[Parser, ...], inputs: int) -> int:
    """Number of inputs of a parser, of those of all."""
    return -int(-inputs * parser.share // sum(each.share for each in parsers))


def take_turns(folder: Path, parsers: tuple[Parser, ...], quotas: list[int], seed: int, deadline: float | None) -> None:
    """Feeds all parsers in turns, so that each has had its share whenever the campaign is looked at."""
    turn, unfinished = 0, True
    while unfinished and (deadline is None or time.time() < deadline):
        turn, unfinished = turn + 1, False
        for parser, most in zip(parsers, quotas, strict=True):
            until = min(most, int(turn * AT_ONCE * parser.share) or 1)
            unfinished |= until < most
            if load(folder, parser).inputs < until:
                run(folder, parser, until, seed, deadline)


def run(folder: Path, parser: Parser, until: int, seed: int, deadline: float | None = None) -> None:
    """Feeds a parser its inputs up to a number. Where a process ends at one, that one failed, and the next goes on.

    Args:
      folder: where the outcome is kept.
      parser: what is fed.
      until: the number after that of the last input.
      seed: other numbers give other inputs.
      deadline: time by `time.time` at which to end early.
    """
    context = multiprocessing.get_context("fork")
    while load(folder, parser).inputs < until and (deadline is None or time.time() < deadline):
        begun = context.Value("q", -1)
        if exitcode := _in_a_fork(folder, parser, until, seed, deadline, begun):
            outcome, number = load(folder, parser), begun.value
            if number < 0:
                raise RuntimeError(f"{parser.name}: a process ended before the first input: {ending(exitcode)}")
            outcome.fail(ending(exitcode), number)
            outcome.inputs = number + 1
            save(folder, parser, outcome)


def again(parser: Parser, number: int, seed: int) -> str | None:
    """What is wrong with one input by the code as it is now; None where nothing is."""
    begun = multiprocessing.get_context("fork").Value("q", -1)
    scratch = Path(mkdtemp(prefix="fuzz-again-"))
    try:
        exitcode = _in_a_fork(scratch, parser, number + 1, seed, None, begun, number)
        return ending(exitcode) if exitcode else next(iter(load(scratch, parser).failures), None)
    finally:
        shutil.rmtree(scratch)


def _in_a_fork(*arguments: Any) -> int:
    """Exit code of a process that feeds a parser."""
    with warnings.catch_warnings(action="ignore"):  # of forks beside threads, of which none runs
        process = multiprocessing.get_context("fork").Process(target=_feed, args=arguments)
        process.start()
    process.join()
    return process.exitcode or 0


def _feed(
    folder: Path, parser: Parser, until: int, seed: int, deadline: float | None, begun: Any, first: int | None = None
) -> None:
    """Main function of a process that feeds a parser. The number of the input at hand is in `begun`."""
    gc.freeze()  # what the process before it had made is not looked through, nor copied for that
    outcome = load(folder, parser)
    if first is not None:
        outcome.inputs = first
    with Feeder.of(parser, outcome, folder) as feeder:
        saved, ends = time.monotonic(), False
        while outcome.inputs < until and not ends:
            begun.value = outcome.inputs
            ends = feeder.feed(make_input(parser, outcome.inputs, seed))
            ends |= deadline is not None and time.time() > deadline
            if ends or time.monotonic() - saved > SAVED_EVERY:
                save(folder, parser, outcome)
                saved = time.monotonic()
        save(folder, parser, outcome)
