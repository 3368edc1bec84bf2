"""Kills commands at random moments with SIGKILL, and checks what is left and what the next start makes of it.

    python tools/kill_campaign.py --in DIR [--moments 200] [--commands track eval ...] [--seed 0]

Each command runs on small clips and weights, in a fork of a process that has imported our code: so the moments, drawn
over the time that an undisturbed run takes, fall on the command's own work. After each kill every file must be one of
an undisturbed run, or the old one that it would have replaced; of an evaluation, a training and a download what is
there must be a part of it. Then the command is started again: it has to succeed, to come to the same bytes as a run
that was never killed, and to leave nothing else. What was found is kept in DIR/moments.jsonl, and a campaign that was
stopped goes on there. The exit status is 1 where anything was wrong.
"""

import collections
import importlib
import itertools
import json
import os
import random
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import tyro
from killing import processes
from killing.commands import COMMANDS, SHARES, Name
from killing.contents import after_a_kill, content_of, hidden_in
from killing.material import make_material, serving

ROOT = Path(__file__).parents[1]


def try_moment(
    name: str, material: Path, folder: Path, number: int, seed: int, whole: dict[str, Any]
) -> dict[str, Any]:
    """What became of one moment."""
    chosen, chance = COMMANDS[name], random.Random(f"{seed} {name} {number}")
    out, log = folder / "out", folder / "log"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    replaces = chosen.replaces and number % 2 == 1
    if replaces:
        processes.run(chosen.words(material, out, True), out, log)
    moment = chance.uniform(0, whole["seconds"])
    child = processes.start(chosen.words(material, out, False), out, log)
    ended = processes.wait(child, moment)
    if ended is None:
        processes.kill(child)
    problems = after_a_kill(content_of(out), whole["old"] if replaces else {}, whole["new"])
    left = hidden_in(out)
    try:
        processes.run(chosen.words(material, out, False), out, log)
        found = content_of(out)
        if found != whole["new"]:
            names = sorted({*found, *whole["new"]})
            different = [each for each in names if found.get(each) != whole["new"].get(each)]
            problems.append(f"the next start came to another {', '.join(different)}")
        if again := hidden_in(out):
            problems.append(f"the next start left {', '.join(again)}")
    except RuntimeError as error:
        problems.append(f"the next start failed: {error}")
    return {
        **{"command": name, "number": number, "seed": seed, "second": round(moment, 3)},
        **{"killed": ended is None, "replaces": replaces, "unfinished": left, "problems": problems},
    }


def undisturbed(name: str, material: Path, folder: Path) -> dict[str, Any]:
    """What a run comes to that nobody kills: the same in both of two, which also compile; and how long it takes."""
    chosen, found = COMMANDS[name], []
    for older in (True, False, False):
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        seconds = processes.run(chosen.words(material, out, older), out, folder / "log")
        found.append(content_of(out))
    if found[1] != found[2]:
        names = [each for each in found[1] if found[1][each] != found[2].get(each)]
        raise SystemExit(f"{name}: two undisturbed runs differ in {', '.join(names)}")
    return {"old": found[0], "new": found[2], "seconds": seconds}


def campaign(folder: Path, names: list[str], moments: int, seed: int) -> int:
    """Number of moments at which something was wrong; a line for each command."""
    material, record = folder / "material", folder / "moments.jsonl"
    if not (material / "recipe.py").exists():
        shutil.rmtree(material, ignore_errors=True)
        material.mkdir(parents=True)
        make_material(material)
    results = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    done = {(each["command"], each["number"]) for each in results if each["seed"] == seed}
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # nothing here computes but the forks
    counts = {name: max(1, round(moments * SHARES[name] / sum(SHARES.values()))) for name in names}
    wholes: dict[str, dict[str, Any]] = {}
    with serving(material):
        # In turn, so that a campaign that is stopped has tried every command.
        for number, name in itertools.product(range(max(counts.values())), names):
            if number >= counts[name] or (name, number) in done:
                continue
            if name not in wholes:
                wholes[name] = undisturbed(name, material, folder / name)
            result = try_moment(name, material, folder / name, number, seed, wholes[name])
            with record.open("a") as file:
                file.write(json.dumps(result) + "\n")
            for problem in result["problems"]:
                print(f"{name}, moment {number} ({result['second']} s): {problem}", flush=True)
            results.append(result)
    print(*table([each for each in results if each["seed"] == seed and each["command"] in names]), sep="\n")
    return sum(bool(each["problems"]) for each in results if each["seed"] == seed)


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """Lines of a table in Markdown: for each command its moments, and what they came to."""
    yield "| command | moments | killed at work | of these, over older files | with unfinished files left | wrong |"
    yield "| --- | --- | --- | --- | --- | --- |"
    by_command = collections.defaultdict(list)
    for each in results:
        by_command[each["command"]].append(each)
    for name, rows in [*by_command.items(), ("all", results)]:
        killed = [each for each in rows if each["killed"]]
        numbers = [len(rows), len(killed), sum(each["replaces"] for each in killed)]
        numbers += [sum(bool(each["unfinished"]) for each in killed), sum(bool(each["problems"]) for each in rows)]
        yield f"| {name} | {' | '.join(map(str, numbers))} |"


def main(
    *,
    folder: Annotated[Path, tyro.conf.arg(name="in", metavar="DIR")],
    moments: int = 200,
    commands: tuple[Name, ...] = get_args(Name),
    seed: int = 0,
) -> int:
    """Kill commands at random moments, and check what is left and what the next start makes of it.

    Args:
        folder: Where all of it lies.
        moments: How many, shared out among the commands.
        commands: Which ones.
        seed: The seed of the moments.
    """
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "evaluation")]
    folder = folder.absolute()
    # As in the tests, compilers hurry and convolutions are XLA's own: kills are to fall on what writes. What is
    # compiled once serves all runs; a test of its own is about compilations that were cut short.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compilations")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    for name in (
        "mfst_jax.cli",
        "mfst_jax.train.command",
        "weight_port.__main__",
        "orbax.checkpoint",
        "matplotlib.pyplot",
    ):
        importlib.import_module(name)
    prepared = importlib.import_module("mfst_jax.fast.prepared")
    setattr(prepared, "method_for", lambda platform: "direct")  # noqa: B010, type checkers mind an assignment
    curation = importlib.import_module("mfst_jax.train.data.curation")
    each = curation._each
    setattr(curation, "_each", lambda function, jobs, workers: each(function, jobs, 1))  # noqa: B010, one process to kill
    return int(campaign(folder, list(commands), moments, seed) > 0)


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=__doc__))
