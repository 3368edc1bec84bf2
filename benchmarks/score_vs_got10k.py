"""Speed of scoring: raw results of many trackers on OTB-100, by this project and by the got10k toolkit, in turns.

    python benchmarks/score_vs_got10k.py RESULTS ANNOTATIONS [--rounds N]

RESULTS holds a folder of `<sequence>.txt` for each tracker, ANNOTATIONS the true boxes of all 100 entries likewise. The
toolkit, which has to be installed, gets the same boxes below the names and folders that it asks for, with empty images.
Both read, score and give every number as JSON; its plots are left out.
"""

import contextlib
import importlib
import io
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from mfst_jax.evaluation import find_results, load, score
from mfst_jax.evaluation.results import Results
from mfst_jax.sequences import otb

ExperimentOTB = importlib.import_module("got10k.experiments").ExperimentOTB
EXTRA_IMAGES = {"David": (1, 770), "Diving": (1, 231), "Football1": (1, 81), "Freeman3": (1, 474), "Freeman4": (1, 297)}
"""Numbers of the images in folders that hold more than the annotated frames, which the toolkit cuts."""


def main(
    results: Annotated[Positional[Path], tyro.conf.arg(metavar="RESULTS")],
    annotations: Annotated[Positional[Path], tyro.conf.arg(metavar="ANNOTATIONS")],
    /,
    *,
    rounds: int = 7,
) -> None:
    """Prints medians and the ratio.

    Args:
        results: A folder of trackers.
        annotations: A folder of true boxes.
        rounds: How often each is timed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trackers = _lay_out(results, annotations, Path(scratch))
        ExperimentOTB.plot_curves = lambda *_: None
        seconds: dict[str, list[float]] = {"mfst_jax": [], "got10k": []}
        for _ in range(rounds):
            for name, run in (("mfst_jax", _ours), ("got10k", _theirs)):
                started = time.perf_counter()
                with contextlib.redirect_stdout(io.StringIO()):
                    run(results, annotations, Path(scratch), trackers)
                seconds[name].append(time.perf_counter() - started)
    for name, times in seconds.items():
        low, median, high = statistics.quantiles(times, n=4)
        print(f"{name:<9}{median:7.2f} s (quartiles {low:.2f} to {high:.2f}), {len(trackers)} trackers")
    ratios = [ours / theirs for ours, theirs in zip(seconds["mfst_jax"], seconds["got10k"], strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    print(f"ratio    {median:7.2f}   (quartiles {low:.2f} to {high:.2f})")


def _ours(results: Path, annotations: Path, _: Path, __: list[str]) -> str:
    dataset = load(annotations, "otb100", images=False)
    trackers, _problems = find_results(results, [sequence.name for sequence in dataset.sequences])
    return json.dumps({tracker.name: score(tracker, dataset).to_json() for tracker in trackers})


def _theirs(_: Path, __: Path, scratch: Path, trackers: list[str]) -> str:
    toolkit = ExperimentOTB(str(scratch / "data"), "tb100", str(scratch / "results"), str(scratch / "reports"))
    return json.dumps(toolkit.report(trackers))


def _lay_out(results: Path, annotations: Path, scratch: Path) -> list[str]:
    """Copies boxes to where the toolkit looks. Results with too few rows are filled up, since it insists on all."""
    trackers = sorted(path for path in results.iterdir() if path.is_dir())
    for entry in otb.entries():
        truth = scratch / "data" / entry.annotation
        first, last = EXTRA_IMAGES.get(entry.name, (entry.first, entry.last))
        (truth.parent / "img").mkdir(parents=True, exist_ok=True)
        truth.write_text((annotations / f"{entry.name}.txt").read_text())
        for number in range(first, last + 1):
            (truth.parent / "img" / f"{number:04d}.jpg").touch()
        name = "Human4" if entry.name == "Human4-2" else entry.name
        name = name.replace("-", ".") if truth.name != "groundtruth_rect.txt" else name
        for tracker in trackers:
            result = Results(tracker).read(entry.name)
            assert result is not None, f"{tracker}: no {entry.name}"
            lines = result.path.read_text().replace("\t", ",").split()
            lines += [lines[-1]] * (entry.last - entry.first + 1 - len(lines))
            target = scratch / "results/OTBtb100" / tracker.name / f"{name}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("\n".join(lines) + "\n")
    return [tracker.name for tracker in trackers]


if __name__ == "__main__":
    tyro.cli(main)
