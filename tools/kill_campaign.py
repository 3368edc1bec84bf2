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
import contextlib
import dataclasses
import hashlib
import importlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import tyro

ROOT = Path(__file__).parents[1]
Name = Literal["convert", "port", "weights", "track", "export", "train", "eval"]
SHARES: dict[str, int] = {"convert": 35, "port": 25, "weights": 35, "track": 30, "export": 20, "train": 30, "eval": 25}
"""Of 200 moments, how many each command gets."""
LIMIT = 1800
"""Seconds after which a run counts as hanging."""
CHEAP = ("--set", "scale_count=1", "alexnet_layers=conv3")


@dataclass(frozen=True)
class Command:
    """Command of a campaign.

    Attributes:
      words: Program and arguments, from the material, where to write, and whether it is the version that comes first.
      replaces: Whether half of the moments fall on a run that replaces the files of another one.
    """

    words: Callable[[Path, Path, bool], list[str]]
    replaces: bool = False


def track(material: Path, out: Path, older: bool) -> list[str]:
    """Track with every kind of output."""
    box = "60,40,30,30" if older else "62,45,36,28"
    files = ["--boxes", str(out / "boxes.csv"), "--out", str(out / "out.mp4"), "--page", str(out / "page.html")]
    return ["mfst", "track", str(material / "clips" / "Deer" / "img"), "--box", box, *CHEAP, *files]


def evaluate(material: Path, out: Path, older: bool) -> list[str]:
    """Evaluation with its report, in a folder that may hold part of it."""
    return ["mfst", "eval", str(material / "clips"), "--protocol", "folder", "--out", str(out), *CHEAP]


def train(material: Path, out: Path, older: bool) -> list[str]:
    """Training of SE-blocks, in a folder that may hold part of it."""
    places = ["--data", str(material / "clips"), "--cache", str(out / "cache"), "--out", str(out / "run")]
    return ["mfst", "train", str(material / "recipe.py"), *places]


def convert(material: Path, out: Path, older: bool) -> list[str]:
    """Conversion to an Orbax directory."""
    return ["weight_port", "convert", str(material / f"net{int(older)}.pth"), "--out", str(out / "weights")]


def port(material: Path, out: Path, older: bool) -> list[str]:
    """Export to PyTorch's layout."""
    source = str(material / f"net{int(older)}.pth")
    return ["weight_port", "export", source, "--to", "torchvision-alexnet", "--out", str(out / "back.pth")]


def export(material: Path, out: Path, older: bool) -> list[str]:
    """Export of the tracker."""
    step = "scale_step=1.05" if older else "scale_step=1.03"
    words = ["mfst", "export", "--to", "stablehlo", "--frame-size", "160x120", "--out", str(out / "t.stablehlo")]
    return [*words, *CHEAP, step]


def weights(material: Path, out: Path, older: bool) -> list[str]:
    """Weights by name, from the server."""
    return ["mfst", "weights", "get", "paper", "--from", (material / "server").read_text()]


COMMANDS = {
    "track": Command(track, replaces=True),
    "eval": Command(evaluate),
    "train": Command(train),
    "convert": Command(convert, replaces=True),
    "port": Command(port, replaces=True),
    "export": Command(export, replaces=True),
    "weights": Command(weights),
}


def make_material(folder: Path) -> None:
    """Clips, weights of other programs and a recipe."""
    import weight_port
    from mfst_jax.checkpoints import weight_names
    from mfst_jax.params import Contents
    from weight_port.reading import Source

    importlib.import_module("clips").write_clips(folder / "clips", rounds=1)
    shutil.rmtree(folder / "clips" / "Toy")  # of another shape, which would take a compilation of its own
    random_numbers = np.random.default_rng(0)
    published = folder / "published"
    published.mkdir()
    for number, contents, layout in (
        (0, Contents(siamfc=False, alexnet="torchvision"), "torchvision-alexnet"),
        (1, Contents(siamfc=False, alexnet="torchvision"), "torchvision-alexnet"),
        (2, Contents(siamfc=True, alexnet=None, siamfc_bias=True), "matconvnet"),
    ):
        shapes = weight_names.expected(contents)
        arrays = {name: random_numbers.uniform(0.5, 1, shape).astype(np.float32) for name, shape in shapes.items()}
        source = Source("random", arrays, {name: name for name in arrays}, {"tool": "kill_campaign", "sources": []})
        weight_port.export(
            source, folder / (f"net{number}.mat" if layout == "matconvnet" else f"net{number}.pth"), layout
        )
    (folder / "recipe.py").write_text(
        "from mfst_jax.train.recipe import Recipe\n"
        'RECIPE = Recipe(model="alexnet", factors=(1.0, 1.0, 1.0), epochs=3, pairs_per_epoch=16, batch_size=4,\n'
        "                cached_pairs=12, validation_pairs=4)\n"
    )


@contextlib.contextmanager
def serving(material: Path) -> Iterator[None]:
    """Serves the weights of `weights get` from a process of its own, slowly, and lets the package expect them."""
    import servers

    from mfst_jax.checkpoints import known_weights

    class Slow(servers.Handler):
        """Answers at about 40 MB/s, so that kills fall into downloads."""

        def setup(self) -> None:
            super().setup()
            plain = self.wfile.write

            def write(content: bytes) -> int:
                for start in range(0, len(content), 1 << 18):
                    plain(content[start : start + (1 << 18)])
                    time.sleep(0.006)
                return len(content)

            self.wfile.write = write  # type: ignore[method-assign]

    server = servers.Server()
    server.RequestHandlerClass = Slow
    for what, name in (("alexnet", "net0.pth"), ("siamfc", "net2.mat")):
        content = (material / name).read_bytes()
        known = known_weights.PUBLISHED[what]
        server.files[known.name] = content
        pinned = None if known.sha256 is None else hashlib.sha256(content).hexdigest()
        size = None if known.size is None else len(content)
        known_weights.PUBLISHED[what] = dataclasses.replace(known, sha256=pinned, size=size)
    (material / "server").write_text(server.url)
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            server.serve_forever()
        os._exit(0)
    server.server_close()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def start(words: list[str], out: Path, log: Path) -> int:
    """Process id of a fork that runs a command; its output goes to `log`."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.environ["MFST_JAX_CACHE"] = str(out / "cache")
        program = importlib.import_module("mfst_jax.cli" if words[0] == "mfst" else "weight_port.__main__")
        status = program.main(words[1:])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(child: int, seconds: float) -> int | None:
    """Exit status of a process, waited for at most so long; None where it still runs."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(0.002)


def run(words: list[str], out: Path, log: Path) -> float:
    """Seconds that a command takes that nobody kills. Raises `RuntimeError` where it fails or hangs."""
    begin, child = time.monotonic(), start(words, out, log)
    status = wait(child, LIMIT)
    if status != 0:
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"exit status {status}: {' '.join(last):.300}")
    return time.monotonic() - begin


def content_of(out: Path) -> dict[str, Any]:
    """What is in a folder, by path: bytes, but for what holds times. Hidden folders are what is not complete yet."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        parts = name.split("/")
        if not path.is_file() or any(part.startswith(".") or "orbax-checkpoint-tmp" in part for part in parts):
            continue
        if "tensorboard" in parts or "checkpoints" in parts or "times" in parts:
            continue
        if name.endswith(".html"):
            found[name] = path.read_bytes().rstrip().endswith(b"</html>")
        elif path.name == "metrics.jsonl":
            found[name] = metrics_in(path)
        elif parts[0] == "weights":
            continue  # an Orbax directory, which is verified as a whole
        else:
            found[name] = path.read_bytes()
    for description in sorted(out.glob("weights/mfst_jax.json")):
        found["weights"] = orbax_content(description.parent)
    return found


def orbax_content(folder: Path) -> str:
    """Where the weights of a directory come from, if each of its files is the one that was written; else "damaged".

    Orbax itself would keep this process from forking.
    """
    described = json.loads((folder / "mfst_jax.json").read_text())
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "mfst_jax.json")
    digests = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return json.dumps(described["provenance"]) if digests == described["files"] else "damaged"


def metrics_in(path: Path) -> list[dict[str, Any]]:
    """Lines of the metrics without times, and without a last one that was cut short."""
    lines = []
    for text in path.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            lines.append({key: value for key, value in json.loads(text).items() if key != "seconds"})
    return lines


def hidden_in(out: Path) -> list[str]:
    """Names of what is not complete: what no finished run may leave."""
    found = (path.relative_to(out).as_posix() for path in out.rglob("*"))
    return sorted(each for each in found if "/.part" in each or each.endswith((".part", ".lock", "checkpoint-tmp")))


def after_a_kill(found: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What is wrong with the files that a killed run has left."""
    problems = [f"{name} is lost" for name in old if name not in found]
    for name, value in found.items():
        if name.endswith("metrics.jsonl"):
            if value != new[name][: len(value)]:
                problems.append(f"{name} has other lines")
        elif name.endswith((".part", ".version")):  # a download, which goes on
            continue
        elif "/downloads/" in name:
            continue  # checked before it got its name; gone in the end
        elif value not in (old.get(name), new.get(name)):
            problems.append(f"{name} is neither the old one nor the new one")
    return problems


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
        run(chosen.words(material, out, True), out, log)
    moment = chance.uniform(0, whole["seconds"])
    child = start(chosen.words(material, out, False), out, log)
    ended = wait(child, moment)
    if ended is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    problems = after_a_kill(content_of(out), whole["old"] if replaces else {}, whole["new"])
    left = hidden_in(out)
    try:
        run(chosen.words(material, out, False), out, log)
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
        seconds = run(chosen.words(material, out, older), out, folder / "log")
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
