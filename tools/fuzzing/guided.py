"""Guided: inputs that reach new code of a parser are kept and changed further, by atheris and libFuzzer."""

import multiprocessing
import os
import random
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fuzzing import mutations
from fuzzing.feeding import Feeder, ending
from fuzzing.inputs import as_bytes, seeds, targets
from fuzzing.outcomes import load, save, state_path
from fuzzing.parser import Content, Parser

AT_ONCE = 1000
"""Number of inputs after which another parser has its turn."""
SAVED_EVERY = 5
"""Seconds after which the outcome is kept."""
OWN_SHARE = 0.5
"""Share of changes that are ours, of what text and numbers are made of; the others are libFuzzer's, of bytes."""
LONGEST_INPUT = 2**16
"""Number of bytes of an input at most."""


class Places:
    """Places of a parser's damaged files: an input's first byte says which one of which seed the rest stands for."""

    def __init__(self, parser: Parser):
        self._places = [(files, name) for files in seeds(parser) for name in targets(parser, files)][:256]

    def sound(self) -> list[bytes]:
        """Inputs that stand for the sound files."""
        return [bytes([number]) + as_bytes(files[name]) for number, (files, name) in enumerate(self._places)]

    def content(self, data: bytes) -> Content:
        """Files that an input stands for."""
        files, name = self._places[data[0] % len(self._places)] if data else self._places[0]
        return {**files, name: data[1:]}


def take_turns(folder: Path, parsers: Sequence[Parser], quotas: list[int], seed: int, deadline: float | None) -> None:
    """Feeds all parsers in turns, each in a fork of this process, whose modules atheris has to have imported.

    Args:
      folder: where the outcomes are kept, and beside them the inputs that reached new code.
      parsers: what is fed.
      quotas: number of inputs of each altogether.
      seed: of libFuzzer, changed by the number of inputs so far.
      deadline: time by `time.time` at which to end early.
    """
    turn, unfinished = 0, True
    while unfinished and (deadline is None or time.time() < deadline):
        turn, unfinished = turn + 1, False
        for parser, most in zip(parsers, quotas, strict=True):
            until = min(most, int(turn * AT_ONCE * parser.share))
            unfinished |= until < most
            while load(folder, parser).inputs < until and (deadline is None or time.time() < deadline):
                _feed_in_a_fork(folder, parser, until, seed, deadline)


def _feed_in_a_fork(folder: Path, parser: Parser, until: int, seed: int, deadline: float | None) -> None:
    """Feeds a parser in another process. Where that ends at an input, the input failed."""
    corpus, last, before = _corpus(folder, parser), _last(folder, parser), load(folder, parser).inputs
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(Places(parser).sound()):
        (corpus / f"sound-{number}").write_bytes(data)
    last.unlink(missing_ok=True)
    with warnings.catch_warnings(action="ignore"):  # of forks beside threads, of which none runs
        arguments = (folder, parser, until, seed, deadline)
        process = multiprocessing.get_context("fork").Process(target=_feed, args=arguments)
        process.start()
    process.join()
    outcome = load(folder, parser)
    if (process.exitcode and not last.exists()) or (outcome.inputs == before and not process.exitcode):
        raise RuntimeError(f"{parser.name}: a process ended with {process.exitcode} before the first input")
    if process.exitcode:
        kept = last.with_suffix(f".{outcome.inputs}")
        last.replace(kept)
        outcome.fail(f"{ending(process.exitcode)}, with the input in {kept.name}", outcome.inputs)
        outcome.inputs += 1
        save(folder, parser, outcome)


def _feed(folder: Path, parser: Parser, until: int, seed: int, deadline: float | None) -> NoReturn:
    """Main function of a process that feeds a parser. It does not return."""
    import atheris

    outcome, places, last = load(folder, parser), Places(parser), _last(folder, parser)
    with Feeder.of(parser, outcome, folder) as feeder:
        saved = time.monotonic()

        def one_input(data: bytes) -> None:
            nonlocal saved
            last.write_bytes(data)
            failed = outcome.failed
            ends = feeder.feed(places.content(data))
            if outcome.failed > failed:
                last.replace(last.with_suffix(f".{outcome.inputs - 1}"))
            ends |= outcome.inputs >= until or (deadline is not None and time.time() > deadline)
            if ends or time.monotonic() - saved > SAVED_EVERY:
                save(folder, parser, outcome)
                saved = time.monotonic()
            if ends:
                feeder.remove()
                os._exit(0)

        flags = [f"-seed={seed + outcome.inputs + 1}", f"-max_len={LONGEST_INPUT}", "-len_control=0", "-timeout=0"]
        flags += ["-rss_limit_mb=0", f"-artifact_prefix={folder}/", "-print_final_stats=0", "-verbosity=0"]
        atheris.Setup(["fuzz_guided", *flags, str(_corpus(folder, parser))], one_input, custom_mutator=_mutator(parser))
        atheris.Fuzz()
    raise AssertionError("libFuzzer has ended by itself")


def _mutator(parser: Parser) -> Callable[[bytes, int, int], bytes]:
    """Function that changes an input: as the campaign without guidance does, or by libFuzzer."""
    import atheris

    def change(data: bytes, longest: int, seed: int) -> bytes:
        chance: Any = random.Random(seed)
        if chance.random() > OWN_SHARE or not data:
            return atheris.Mutate(data, longest)
        damage = mutations.rewritten if chance.random() < parser.text else mutations.damaged
        return (data[:1] + damage(data[1:], chance))[:longest]

    return change


def _corpus(folder: Path, parser: Parser) -> Path:
    return state_path(folder, parser).with_suffix(".corpus")


def _last(folder: Path, parser: Parser) -> Path:
    return state_path(folder, parser).with_suffix(".input")
