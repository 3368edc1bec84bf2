"""Whether prepared weights are still as fast beside plain ones as they were: for CI, in under two minutes as a rule.

    python benchmarks/ratio.py [--rounds 7] [--attempts 6] [--record]

prints the ratio of CPU times, a prepared step of PAPER to a plain one, on random weights, in turns in two processes.
The fastest call of each counts, not the median: a prepared step waits for memory more than a plain one does, so that
whoever else uses the memory and the last-level cache of the machine slows it alone, by half and for seconds on end. No
one speeds it up. Where the ratio is more than 25 % above the one in `ratio.json` it is measured again after a pause,
with the fastest calls of all attempts; the exit status is 1 where no attempt brings it below. The record has a ratio
for each release of JAX that was tried, since their plain convolutions differ; of another, the highest counts.
`--record` writes.
"""

import json
import sys
import time
from pathlib import Path

import jax
import tyro

from mfst_jax.bench.side_by_side import Contestant, alternate, machine
from mfst_jax.bench.steps import Kind, make_step

RECORD = Path(__file__).with_name("ratio.json")
SLACK = 1.25
SIZE = (480, 640)
KINDS: tuple[Kind, ...] = ("prepared", "plain")


def main(rounds: int = 7, attempts: int = 6, pause: float = 45, record: bool = False) -> int:
    """Measures, compares and says so.

    Args:
        rounds: How often both take their turn in an attempt.
        attempts: How often to measure before the ratio is called too high.
        pause: Seconds between attempts.
        record: Write the ratio of one attempt down as the one to compare with.
    """
    recorded: dict[str, float] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if not recorded and not record:
        print(f"{RECORD}: expected ratios to compare with, found none; --record writes one", file=sys.stderr)
        return 2
    release = ".".join(jax.__version__.split(".")[:2])
    fastest = dict.fromkeys(KINDS, float("inf"))
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause)
        described = f"{machine()}; jax {jax.__version__} on {jax.default_backend()}"
        steps: dict[str, Contestant] = {kind: Contestant(make_step, None, "paper", kind, SIZE) for kind in KINDS}
        times = alternate(steps, rounds=rounds)
        fastest = {kind: min(fastest[kind], *times[kind].cpu) for kind in KINDS}
        ratio = fastest["prepared"] / fastest["plain"]
        print(f"a step of PAPER, CPU time, prepared to plain, fastest of {rounds} each: {ratio:.3f} ({described})")
        if record:
            recorded[release] = round(ratio, 3)
            RECORD.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
            print(f"wrote {RECORD}")
            return 0
        known = recorded.get(release, max(recorded.values()))
        good = ratio <= SLACK * known
        print(f"recorded: {known:.3f}; {'at most' if good else 'MORE than'} {SLACK} times that", flush=True)
        if good:
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
