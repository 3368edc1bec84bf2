"""The commands `mfst eval`, which tracks a dataset, and `mfst score`, for raw results of any trackers."""

import importlib.util
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro
from tyro.conf import Positional

from mfst_jax import checkpoints
from mfst_jax.config import override
from mfst_jax.errors import InputError, MissingExtraError
from mfst_jax.evaluation import runner, scoring
from mfst_jax.evaluation.ablation import TABLES, Table, ablate
from mfst_jax.evaluation.datasets import Dataset, Protocol, load
from mfst_jax.evaluation.metrics import Measures
from mfst_jax.evaluation.results import Results, find_results, write_submission
from mfst_jax.evaluation.scoring import Align, Summary
from mfst_jax.evaluation.statistics import describe_mean, holm
from mfst_jax.params import choose_config
from mfst_jax.presets import PRESETS
from mfst_jax.program.arguments import PresetName, Settings, Weights, flatten_settings, one_of
from mfst_jax.program.sharing import at_work_in, in_turn, share_of
from mfst_jax.sequences.otb import ATTRIBUTES
from mfst_jax.whole_files import write_atomically

ProtocolName = Annotated[Protocol | None, one_of(get_args(Protocol))]

_HEADER = "normalised  SR.50  SR.75     AO"


def evaluate(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    protocol: ProtocolName = None,
    weights: Weights = None,
    preset: PresetName = None,
    set: Settings = (),
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("mfst-eval"),
    compare: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    name: Annotated[str, tyro.conf.arg(metavar="TRACKER")] = "MFST",
    report: bool = True,
    ablation: Annotated[Table | None, one_of(TABLES)] = None,
    batch: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    processes: int = 1,
    process: int = 0,
) -> int:
    """Track every sequence of a benchmark, and score, plot and report what came of it.

    A run that was interrupted goes on where it was, if it is the same run. For GOT-10k's test split, whose true boxes
    are not public, DIR/TRACKER.zip is what the benchmark's server takes. The exit status is 0 if every sequence was
    tracked, 1 if some are missing or failed (the scores are then those of the others), 2 if nothing could be done.

    Args:
        root: The benchmark's folder, with a folder for each sequence; part of it will do.
        protocol: Which sequences should be there, and whose rules count; by default those that are in ROOT, and the
            rules of the data set that they are from by their layout or most of their names.
        weights: A name (see mfst weights), an Orbax directory or a .safetensors file; by default the built-in weights.
        preset: How to track; by default what the weights imply, and the paper's words for its tables.
        set: Fields of the configuration to change, as key=value; lists by commas, such as alexnet_weights=.1,.6,.3.
        out: The folder for results/TRACKER/, summary.json, success.png, precision.png and report.html.
        compare: Raw results of other trackers, to stand beside ours: a folder for each.
        name: What to call the tracker.
        report: Whether to plot and report.
        ablation: Instead of one configuration, each row of the paper's table I or II, on top of the preset and of what
            is set: results/ROW/ for each, and the table beside the paper's as .csv and .md.
        batch: How many sequences to track at a time; by default 1 on a CPU, and elsewhere 16 a device.
        processes: How many processes share the work, by the same command and in the same DIR (docs/many_machines.md).
        process: Which one this is, from 0.
    """
    share = share_of(processes, process)
    params = checkpoints.load(weights)
    if ablation is None:
        chosen = choose_config(params.contents, preset, flatten_settings(set))
    else:  # the rows say which models are used
        chosen = override(PRESETS[preset or "paper"], flatten_settings(set))
    dataset = load(root, protocol)
    run = runner.plan(weights, params, chosen, dataset.protocol, batch)
    if ablation is not None:
        if compare is not None:
            raise InputError(f"--compare {compare}: expected it without --ablation, which compares with the paper")
        with at_work_in(out, share):
            return ablate(ablation, run, dataset, out, share)
    if not re.fullmatch(r"[^/\\.][^/\\]*", name):
        raise InputError(f"--name {name!r}: expected a name for a folder")
    others, problems = ([], []) if compare is None else find_results(compare, [each.name for each in dataset.sequences])
    if name in (other.name for other in others):
        raise InputError(f"--name {name}: expected another name than the trackers in {compare} have")
    if report and importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "plots", "a report (--no-report does without)")
    with at_work_in(out, share):
        ours = Results(out / "results" / name)
        summary, dataset = runner.evaluate(run, dataset, ours.folder, share=share)
        compared = {other.name: (other, scoring.score(other, dataset)) for other in others}
        report = report and bool(summary.sequences)
        with in_turn(out, share):
            if share.is_all or not runner.is_reported(out, summary, ours.folder, report=report):
                runner.write_summary(out / "summary.json", summary)
                if report:
                    _write_report(out, dataset, ours, summary, compared)
            if submits := dataset.protocol == "got10k" and bool(summary.unscored) and not summary.missing:
                write_submission(out / f"{name}.zip", ours.folder, [sequence.name for sequence in dataset.sequences])
        summaries = [summary, *(other for _, other in compared.values())]
        _print_scores(summary.title, summaries)
        _print_attributes(summary)
        _print_problems([*problems, *(problem for each in summaries for problem in each.problems)])
        if summary.missing:
            print(f"{root}: {len(summary.missing)} missing: {', '.join(summary.missing)}", file=sys.stderr)
        elif submits:
            print(f"wrote {out / f'{name}.zip'}, for GOT-10k's server", file=sys.stderr)
        print(f"wrote {out}", file=sys.stderr)
        return 1 if summary.missing else 0


def score(
    results: Annotated[Positional[Path], tyro.conf.arg(metavar="RESULTS_DIR")],
    /,
    *,
    annotations: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    protocol: ProtocolName = None,
    align: Align = "first",
    first_pixel: Literal[0, 1] = 1,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None,
) -> int:
    """Score raw results of one tracker, or of several side by side.

    Prints a table with 95 % confidence intervals, and what was missing or odd to standard error. The exit status is 0
    if every sequence was scored, 1 if some were not (the scores are then those of the others), 2 if none could be.

    Args:
        results: A tracker's results, a file <sequence>.txt each with lines x,y,w,h that count pixels from 1, or in
            GOT-10k's layout; or a folder with such a folder for each tracker.
        annotations: A folder of true boxes, a file <sequence>.txt each in the same format; or a dataset's folder.
        protocol: Which sequences should be there, and whose rules count; by default those that are in DIR, and the
            rules of the data set that they are from by their layout or most of their names.
        align: Which rows count where a result has too few: the first ones, what is missing being misses; or the last
            ones, as in most published results on OTB's Tiger1, which begin with its sixth frame.
        first_pixel: The number of the first pixel in files <sequence>.txt; in GOT-10k's layout it is 0 in any case.
        out: The JSON file to write: a tracker's scores, or those of several by their names.
    """
    dataset = load(annotations, protocol, images=False)
    names = [sequence.name for sequence in dataset.sequences]
    trackers, problems = find_results(results, names, first_pixel=first_pixel)
    summaries = [scoring.score(tracker, dataset, align=align) for tracker in trackers]
    summaries.sort(key=lambda summary: summary.overall.success_auc if summary.overall is not None else -1, reverse=True)
    single = [tracker.folder for tracker in trackers] == [results]
    _print_scores(summaries[0].title if single else dataset.title, summaries)
    if single:
        _print_attributes(summaries[0])
    else:
        _print_comparisons(summaries)
    _print_problems([*problems, *(problem for summary in summaries for problem in summary.problems)])
    lacking = {str(annotations): dataset.missing}
    lacking |= {each.tracker: tuple(name for name in each.missing if name not in dataset.missing) for each in summaries}
    for name, missing in lacking.items():
        if missing:
            print(f"{name}: {len(missing)} missing: {', '.join(missing)}", file=sys.stderr)
    if out is not None:
        tables = {summary.tracker: summary.to_json() for summary in summaries}
        content = tables[summaries[0].tracker] if single else tables
        write_atomically(out, json.dumps(content, indent=2, allow_nan=False) + "\n")
        print(f"wrote {out}", file=sys.stderr)
    return 1 if any(summary.missing or summary.unscored for summary in summaries) else 0


def _write_report(
    out: Path, dataset: Dataset, ours: Results, summary: Summary, others: Mapping[str, tuple[Results, Summary]]
) -> None:
    from mfst_jax.evaluation import plots, report  # matplotlib takes a second, and need not be there

    plots.write(out, {summary.tracker: summary, **{name: other for name, (_, other) in others.items()}})
    report.write(out / "report.html", dataset, ours, summary, others)


def _print_problems(problems: Sequence[str]) -> None:
    for problem in dict.fromkeys(problems):
        print(problem, file=sys.stderr)


def _print_scores(title: str, summaries: Sequence[Summary]) -> None:
    width = max(len(name) for name in (title, *(summary.tracker for summary in summaries))) + 2
    print(f"{title:<{width}}{'success AUC':<24}{'precision at 20 px':<24}{_HEADER}  frames/s")
    for summary in summaries:
        if summary.overall is None:
            print(f"{summary.tracker:<{width}}no sequence scored")
            continue
        cells = [summary.tracker.ljust(width)]
        for name in ("success_auc", "precision_20px"):
            cells.append(describe_mean(getattr(summary.overall, name), summary.interval(name)).ljust(24))
        speed = f"{summary.frames_per_second:8.1f}" if summary.frames_per_second is not None else f"{'-':>8}"
        print("".join(cells) + _rest(summary.overall) + f"  {speed}")


def _print_attributes(summary: Summary) -> None:
    if summary.attributes:
        print(f"\n{'attribute':<34}success AUC  precision at 20 px  {_HEADER}")
    for attribute, mean in summary.attributes.items():
        count = sum(attribute in score.attributes for score in summary.sequences.values())
        name = f"{attribute:<4} {ATTRIBUTES[attribute]} ({count})"
        print(f"{name:<34}{mean.success_auc:11.3f}{mean.precision_20px:20.3f}  {_rest(mean)}")


def _print_comparisons(summaries: Sequence[Summary]) -> None:
    """Prints the comparison of the best tracker with each other one, on the sequences that both have."""
    best, *others = summaries
    pairs = [(other, scoring.paired(best, other, "success_auc")) for other in others]
    pairs = [(other, comparison) for other, comparison in pairs if comparison is not None]
    if not pairs:
        return
    print(f"\n{best.tracker} ahead of, in success AUC (paired by sequence; p: permutation test, by Holm)")
    width = max(len(other.tracker) for other, _ in pairs) + 2
    p_values = holm([comparison.p_value for _, comparison in pairs])
    for (other, comparison), p_value in zip(pairs, p_values, strict=True):
        print(f"{other.tracker:<{width}}{comparison}  p {p_value:.4f}")


def _rest(measures: Measures) -> str:
    numbers = (
        measures.normalised_precision,
        measures.success_rate_50,
        measures.success_rate_75,
        measures.average_overlap,
    )
    return f"{numbers[0]:10.3f}" + "".join(f"{number:7.3f}" for number in numbers[1:])
