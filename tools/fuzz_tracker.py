"""Property tests of `init`, `step` and `track` in large numbers: random frames, boxes and configurations.

    python tools/fuzz_tracker.py [--cases 20000] --state FOLDER

What must hold of every case is in `tracker_checks.py`: boxes are finite and within their bounds, scores in [0, 1],
blank frames move nothing, unusable boxes and frames are refused, and `track` gives what steps give. What is tried with
which configuration and weights is in `tracker_setups.py`. Each setup is compiled once and tried with its share of the
cases; its result is a file in FOLDER, so that a campaign that ends early goes on where it was. The cases of a setup are
the same each time, and not those of another one. The table at the end has all cases by their kinds; the exit status is
1 where one failed, and the smallest case that hypothesis found is printed.
"""

import gc
import json
import time
import zlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import hypothesis
import jax
import tyro
from tracker_cases import Case, cases, kinds
from tracker_checks import check
from tracker_setups import Setup, rounding, setups

from mfst_jax.bench.side_by_side import table
from mfst_jax.media.writers import AtomicFile
from mfst_jax.program import allocator


@dataclass
class Tally:
    """Counts of a setup's cases.

    Attributes:
      setup: Name of the setup.
      cases: Number of cases.
      steps: Number of steps.
      refused: Number of cases that were refused as they should be.
      seconds: Seconds that they took.
      kinds: Number of cases of each kind.
      failure: The smallest case that failed, and how; None where all held.
    """

    setup: str
    cases: int = 0
    steps: int = 0
    refused: int = 0
    seconds: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)
    failure: str | None = None


def try_setup(setup: Setup, count: int) -> Tally:
    """Tally of so many cases of a setup."""
    tally, by_kind = Tally(setup.name), Counter[str]()

    @hypothesis.seed(zlib.crc32(setup.name.encode()))
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(cases(setup))
    def holds(case: Case) -> None:
        outcome = check(case, setup)
        tally.cases += 1
        tally.steps += outcome.steps
        tally.refused += outcome.refused
        by_kind.update(kinds(case))

    started = time.monotonic()
    try:
        with rounding(setup):
            holds()
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        tally.failure = f"{type(error).__name__}: {error}\n{notes}\n{setup}"
    tally.seconds = time.monotonic() - started
    tally.kinds = dict(by_kind)
    return tally


def report(tallies: list[Tally]) -> str:
    """Table of all cases: by setup, and by kind."""
    rows = []
    total = Counter[str]()
    for tally in tallies:
        failed = "yes" if tally.failure else "0"
        rows.append([tally.setup, f"{tally.cases:,}", f"{tally.steps:,}", f"{tally.refused:,}", failed])
        total.update(tally.kinds)
    sums = [sum(getattr(tally, name) for tally in tallies) for name in ("cases", "steps", "refused")]
    rows.append(["all", *(f"{each:,}" for each in sums), str(sum(tally.failure is not None for tally in tallies))])
    by_kind = [[kind, f"{count:,}"] for kind, count in sorted(total.items())]
    header = ["setup", "cases", "steps", "refused", "failed"]
    return f"{table(header, rows)}\n\n{table(['kind', 'cases'], by_kind)}"


def main(
    state: Path, cases: int = 20_000, random_configs: int = 16, only: str | None = None, backwards: bool = False
) -> int:
    """Tries all setups, prints the table, and returns the exit status.

    Args:
      state: folder of the results so far.
      cases: number of cases altogether, at least.
      random_configs: number of random configurations among the setups.
      only: try only setups with these words in their names.
      backwards: begin with the last setup, beside a process that begins with the first.
    """
    state.mkdir(parents=True, exist_ok=True)
    wanted = setups(random_configs)
    shares = sum(setup.cases for setup in wanted)
    tallies, numbered = [], list(enumerate(wanted))
    for number, setup in reversed(numbered) if backwards else numbered:
        if only is not None and only not in setup.name:
            continue
        count = -(-cases * setup.cases // shares)
        path = state / f"{number:03}-{cases}.json"
        if path.exists():
            tallies.append(Tally(**json.loads(path.read_text())))
            continue
        tally = try_setup(setup, int(count))
        tallies.append(tally)
        print(f"{setup.name}: {tally.cases} cases, {tally.steps} steps, {tally.seconds:.0f} s", flush=True)
        if tally.failure is not None:
            print(tally.failure, flush=True)
        else:  # a setup that failed is tried anew next time
            target = AtomicFile("result", path)
            target.temporary.write_text(json.dumps(asdict(tally)) + "\n")
            target.publish()
        jax.clear_caches()
        gc.collect()
        allocator.give_back()
    print(report(tallies))
    return any(tally.failure is not None for tally in tallies)


if __name__ == "__main__":
    raise SystemExit(tyro.cli(main))
