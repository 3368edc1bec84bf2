"""Outcomes: what became of a parser's inputs, kept in the folder of a campaign, and the table of all of them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fuzzing.parser import Parser

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


def report(folder: Path, parsers: Iterable[Parser]) -> Iterator[str]:
    """Lines of a table of all parsers and of one of their kinds, with the causes of failures below them."""
    outcomes = {parser.name: load(folder, parser) for parser in parsers}
    kinds: dict[str, list[Outcome]] = {}
    for name, each in outcomes.items():
        kinds.setdefault(name.partition(":")[0] if ":" in name else "others", []).append(each)
    yield from _table("parser", {name: [each] for name, each in outcomes.items()})
    yield ""
    yield from _table("kind", kinds | {"all": list(outcomes.values())})
    for name, each in outcomes.items():
        for cause, noted in each.failures.items():
            yield f"{name}: {noted['count']} times {cause}, such as input {noted['numbers'][0]}"


def _table(first: str, rows: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    """Lines of a table in Markdown: counts added up, and the slowest input and the most memory of any."""
    yield f"| {first} | parsers | inputs | read | refused | failed | slowest | memory |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, several in rows.items():
        counts = [sum(getattr(each, field) for each in several) for field in ("inputs", "read", "refused", "failed")]
        numbers = " | ".join(f"{count:,}" for count in (len(several), *counts))
        slowest, memory = max(each.slowest for each in several), max(each.memory for each in several)
        yield f"| {name} | {numbers} | {slowest:.2f} s | {memory / 2**20:,.0f} MiB |"
