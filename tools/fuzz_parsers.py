"""Fuzzing of every reader of the product: nothing may crash, hang, run, write elsewhere or take memory without bounds.

    python tools/fuzz_parsers.py --inputs 1000000 --state FOLDER
    python tools/fuzz_parsers.py --state FOLDER --table

An input is a sound file, or folder of files, of our own making with a few changes (`fuzzing/mutations.py`). Each parser
gets its share of all inputs in processes that have 3 GiB of addresses beside the program's own, and 10 s of computing
for each input. It must read the input or refuse it by an `InputError` of printable lines of at most 2,200 characters.
An input fails where anything else comes of it: another exception, a warning of NumPy's, an end of the process, a lack
of memory or more than 1 GiB of it, a program that is run, a connection, a file that is written outside its own folder.

What came of all that is in FOLDER, and the campaign goes on from there. Input i of a parser is the same in every
campaign with the same seed, so `--again` tries those that failed with the code as it is now. The exit status is 1 where
one failed.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import tyro
from fuzzing import data_sets, pictures, records, requests, weights
from fuzzing.campaign import AT_ONCE, KEPT, again, load, quota, run
from fuzzing.parser import Parser

PARSERS: tuple[Parser, ...] = (
    *weights.PARSERS,
    *data_sets.PARSERS,
    *pictures.PARSERS,
    *records.PARSERS,
    *requests.PARSERS,
)


def fuzz(
    *,
    inputs: int = 1_000_000,
    state: Path | None = None,
    seed: int = 0,
    only: tuple[str, ...] = (),
    minutes: float | None = None,
    table: bool = False,
    again: bool = False,
) -> int:
    """Feeds damaged files to the parsers and prints what became of them.

    Args:
        inputs: How many all parsers get together.
        state: The folder where the outcome is kept, to go on from; by default nothing is kept.
        seed: Other numbers give other inputs.
        only: Beginnings of the names of the parsers to try.
        minutes: After so many the campaign ends, to go on another time.
        table: Print what came of the inputs so far, and feed nothing.
        again: Feed those inputs that failed once more, to the code as it is now.
    """
    parsers = tuple(parser for parser in PARSERS if not only or parser.name.startswith(only))
    deadline = None if minutes is None else time.time() + 60 * minutes
    with TemporaryDirectory() as nowhere:
        folder = state or Path(nowhere)
        folder.mkdir(parents=True, exist_ok=True)
        if again:
            return _try_again(folder.absolute(), parsers, seed)
        if not table:
            _take_turns(folder.absolute(), parsers, inputs, seed, deadline)
        return _print_table(folder, parsers)


def _take_turns(folder: Path, parsers: tuple[Parser, ...], inputs: int, seed: int, deadline: float | None) -> None:
    """Feeds all parsers in turns, so that each has had its share whenever the campaign is looked at."""
    turn, unfinished = 0, True
    while unfinished and (deadline is None or time.time() < deadline):
        turn, unfinished = turn + 1, False
        for parser in parsers:
            most = quota(parser, PARSERS, inputs)
            until = min(most, int(turn * AT_ONCE * parser.share) or 1)
            unfinished |= until < most
            if load(folder, parser).inputs < until:
                run(folder, parser, until, seed, deadline)


def _print_table(folder: Path, parsers: tuple[Parser, ...]) -> int:
    outcomes = {parser.name: load(folder, parser) for parser in parsers}
    print("| parser | inputs | read | refused | failed | slowest | memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, each in outcomes.items():
        numbers = f"{each.inputs:,} | {each.read:,} | {each.refused:,} | {each.failed:,}"
        print(f"| {name} | {numbers} | {each.slowest:.2f} s | {each.memory / 2**20:,.0f} MiB |")
    total = [sum(getattr(each, name) for each in outcomes.values()) for name in ("inputs", "read", "refused", "failed")]
    print("| all | " + " | ".join(f"{number:,}" for number in total) + " | | |")
    for name, each in outcomes.items():
        for cause, noted in each.failures.items():
            print(f"{name}: {noted['count']} times {cause}, such as input {noted['numbers'][0]}")
    return int(total[-1] > 0)


def _try_again(folder: Path, parsers: tuple[Parser, ...], seed: int) -> int:
    failed = tried = 0
    for parser in parsers:
        for cause, noted in load(folder, parser).failures.items():
            found = {number: again(parser, number, seed) for number in noted["numbers"]}
            still = {number: problem for number, problem in found.items() if problem is not None}
            tried, failed = tried + len(found), failed + len(still)
            for number, problem in still.items():
                print(f"{parser.name}, input {number}: {problem} (it was {cause})", flush=True)
    now = f"{tried - failed} are read or refused now, {failed} fail"
    print(f"{tried} inputs that failed (up to {KEPT} of each cause): {now}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(tyro.cli(fuzz))
