"""Whether compiled weights are still as fast beside plain ones as they were: for CI, in under two minutes.

    python benchmarks/ratio.py [--rounds 7] [--record]

prints the ratio of CPU times, a compiled step of PAPER to a plain one, on random weights, in turns in two processes:
CPU time, so that other work on the machine matters little; the median over rounds, so that one bad round does not
either. The exit status is 1 where the ratio is more than 25 % above the one in `ratio.json`, which has one for each
release of JAX that was tried, since their plain convolutions differ; of another, the highest counts. `--record` writes.
"""

import json
import statistics
import sys
from pathlib import Path

import jax
import tyro

from mfst_jax import bench
from mfst_jax.alternation import Contestant, alternate, machine, ratios, spread

RECORD = Path(__file__).with_name("ratio.json")
SLACK = 1.25
SIZE = (480, 640)


def main(rounds: int = 7, record: bool = False) -> int:
    """Measures, compares and says so.

    Args:
        rounds: How often both take their turn.
        record: Write the ratio down as the one to compare with.
    """
    recorded: dict[str, float] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if not recorded and not record:
        print(f"{RECORD}: expected ratios to compare with, found none; --record writes one", file=sys.stderr)
        return 2
    release = ".".join(jax.__version__.split(".")[:2])
    kinds: tuple[bench.Kind, ...] = ("compiled", "plain")
    contestants: dict[str, Contestant] = {
        kind: Contestant(bench.make_step, None, "paper", kind, SIZE) for kind in kinds
    }
    described = f"{machine()}; jax {jax.__version__} on {jax.default_backend()}"
    times = alternate(contestants, rounds=rounds)
    found = ratios(times["compiled"].cpu, times["plain"].cpu)
    ratio = statistics.median(found)
    print(f"a step of PAPER, CPU time, compiled to plain: {spread(found, 3)} ({described}; {rounds} rounds)")
    if record:
        recorded[release] = round(ratio, 3)
        RECORD.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
        print(f"wrote {RECORD}")
        return 0
    known = recorded.get(release, max(recorded.values()))
    good = ratio <= SLACK * known
    print(f"recorded: {known:.3f}; {'at most' if good else 'MORE than'} {SLACK} times that")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
