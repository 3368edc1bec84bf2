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
from fuzzing.campaign import again, quota, take_turns
from fuzzing.outcomes import KEPT, load, report
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
            return try_again(folder.absolute(), parsers, seed)
        if not table:
            quotas = [quota(parser, PARSERS, inputs) for parser in parsers]
            take_turns(folder.absolute(), parsers, quotas, seed, deadline)
        print("\n".join(report(folder, parsers)))
        return int(any(load(folder, parser).failed for parser in parsers))


def try_again(folder: Path, parsers: tuple[Parser, ...], seed: int) -> int:
    """Feeds inputs that failed to the code as it is now, and prints which still do. Returned is the exit status."""
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
