"""Coverage-guided fuzzing of the readers that are Python of our own: inputs that reach new code are changed further.

    pip install atheris
    python tools/fuzz_guided.py --inputs 200000 --state FOLDER
    python tools/fuzz_guided.py --state FOLDER --table

Parsers, sound inputs, limits and what counts as a failure are those of `fuzz_parsers.py`; half of the changes are too,
and libFuzzer makes the others. Readers that are compiled libraries, of images and videos above all, are left out, as
which Python is reached says little there. In FOLDER are the outcome, the inputs that reached new code (`.corpus`), and
those that failed, by their numbers; the campaign goes on from there. The exit status is 1 where one failed.
"""

import contextlib
import importlib
import pkgutil
import sys
import time
from pathlib import Path

import tyro


def import_watched() -> None:
    """Imports all of our modules, of which atheris sees from then on what is reached. Raises `ImportError` without it.

    What is imported before or later is not watched.
    """
    import atheris

    with atheris.instrument_imports(include=["mfst_jax", "weight_port"]):  # pyrefly: ignore[missing-attribute]
        for package in map(importlib.import_module, ("mfst_jax", "weight_port")):
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                if not module.name.endswith("__main__"):
                    with contextlib.suppress(ImportError):
                        importlib.import_module(module.name)


def fuzz(
    *,
    state: Path,
    inputs: int = 200_000,
    seed: int = 0,
    only: tuple[str, ...] = (),
    minutes: float | None = None,
    table: bool = False,
) -> int:
    """Feeds parsers what reaches new code of theirs, changed, and prints what became of it.

    Args:
        state: The folder where the outcome and the inputs are kept, to go on from.
        inputs: How many all parsers get together.
        seed: Other numbers give other inputs.
        only: Beginnings of the names of the parsers to try.
        minutes: After so many the campaign ends, to go on another time.
        table: Print what came of the inputs so far, and feed nothing.
    """
    deadline = None if minutes is None else time.time() + 60 * minutes
    if not table:
        try:
            import_watched()
        except ImportError as error:
            print(f"atheris: expected to be installed (pip install atheris), found none: {error}", file=sys.stderr)
            return 2
    from fuzz_parsers import PARSERS
    from fuzzing.campaign import quota
    from fuzzing.guided import take_turns
    from fuzzing.outcomes import load, report

    guided = tuple(parser for parser in PARSERS if not parser.compiled)
    parsers = tuple(parser for parser in guided if not only or parser.name.startswith(only))
    state.mkdir(parents=True, exist_ok=True)
    if not table:
        take_turns(state.absolute(), parsers, [quota(parser, guided, inputs) for parser in parsers], seed, deadline)
    print("\n".join(report(state, parsers)))
    return int(any(load(state, parser).failed for parser in parsers))


if __name__ == "__main__":
    sys.exit(tyro.cli(fuzz))
