"""`mfst train fusion`: fits the fusion on replayed tracks, then tracks for real what was chosen.

    mfst train fusion --data DATA --weights WEIGHTS --out OUT

The folder of the run holds `response_volumes/`, `run.json`, `choices.json`, `results/` with the real tracks (as
`mfst eval` writes them), and `table.md`. The same command goes on where it was interrupted; with other settings, data
or weights it is refused there.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mfst_jax import checkpoints, evaluation, json_files
from mfst_jax.checkpoints import weight_names
from mfst_jax.config import Config, from_dict, override, to_dict
from mfst_jax.errors import InputError, reason
from mfst_jax.evaluation import Dataset, runner
from mfst_jax.evaluation.statistics import compare, describe_interval
from mfst_jax.params import Params, resolve_config
from mfst_jax.presets import PAPER
from mfst_jax.program import run_records
from mfst_jax.program.arguments import Settings, flatten_settings
from mfst_jax.program.progress import progress_bar
from mfst_jax.train.fusion_search import random_search, response_volumes
from mfst_jax.train.fusion_search.random_search import Search, to_config
from mfst_jax.whole_files import write_atomically


def fit(
    *,
    data: Path,
    weights: Path,
    out: Path = Path("runs", "fusion"),
    candidates: int = 400,
    rounds: int = 3,
    per_round: int = 64,
    motion: bool = False,
    folds: int = 5,
    seed: int = 0,
    set: Settings = (),
) -> int:
    """Fit the weights and strategies of the fusion on training sequences.

    Args:
        data: A folder of sequences. Never the benchmark's.
        weights: Weights that hold both backbones.
        out: The folder of the run.
        candidates: How many are drawn at random first.
        rounds: How often more are drawn around the best.
        per_round: How many at a time.
        motion: Whether the window and the scale parameters are fitted too; only for sequences at the pace of use.
        folds: Parts of the sequences; the search is made anew without each.
        seed: Of the draws.
        set: Instead of a search, one configuration to try beside PAPER: fields to change, as key=value.
    """
    params = checkpoints.load(weights, bundled_se=False)
    dataset = evaluation.load(data, "folder")
    for line in dataset.problems:
        print(line, file=sys.stderr)
    names = [sequence.name for sequence in dataset.sequences]
    if lacking := [sequence.name for sequence in dataset.sequences if sequence.annotated < 2]:
        raise InputError(f"{data}: expected more true boxes than the first one, found no others in {lacking[0]}")
    if set:
        trial = override(PAPER, flatten_settings(set))
        print(_try(params, weights, trial, dataset, out), end="")
        return 0
    if not 2 <= folds <= len(names):
        raise InputError(f"{data}: expected at least {max(folds, 2)} sequences, found {len(names)}")
    settings = {"candidates": candidates, "rounds": rounds, "per_round": per_round, "motion": motion}
    settings |= {"folds": folds, "seed": seed}
    choices = _search(params, dataset, out, settings)
    chosen = {name: from_dict(choices["configs"][name]) for name in choices["configs"]}
    scores = {name: np.array(choices["replayed"][name]) for name in choices["replayed"]}
    tracked = {
        name: _track(params, weights, config, dataset, out / "results" / name, parts)
        for name, config, parts in [
            ("paper", chosen["paper"], names),
            *((f"fold-{k}", chosen[f"fold-{k}"], choices["folds"][k]) for k in range(folds)),
            ("chosen", chosen["chosen"], names),
        ]
    }
    of_folds = {name: auc for k in range(folds) for name, auc in tracked[f"fold-{k}"].items()}
    unseen = np.array([of_folds[name] for name in names])
    real = {name: np.array([tracked[name][each] for each in names]) for name in ("paper", "chosen")}
    replayed = np.zeros((len(names), 2))
    for k, part in enumerate(choices["folds"]):
        inside = [names.index(name) for name in part]
        replayed[inside] = scores[f"fold-{k}"][inside]
    text = table(
        [
            ("PAPER", scores["paper"], real["paper"]),
            ("chosen without each fold, on it", replayed, unseen),
            ("chosen on all", scores["chosen"], real["chosen"]),
        ]
    )
    write_atomically(out / "table.md", text)
    print(text, end="")
    print(json.dumps(choices["configs"]["chosen"]))
    return 0


def _try(params: Params, weights: Path, trial: Config, dataset: Dataset, out: Path) -> str:
    """Table of PAPER and one configuration."""
    names = [sequence.name for sequence in dataset.sequences]
    volumes = response_volumes.gather(out / "response_volumes", dataset.sequences, params)
    candidates = jax.tree.map(
        lambda *each: np.stack(each), random_search.from_config(PAPER), random_search.from_config(trial)
    )
    replayed = Search(volumes, PAPER).score(candidates)
    rows = []
    for name, config, scores in (("PAPER", PAPER, replayed[0]), ("trial", trial, replayed[1])):
        folder = out / "results" / (name.lower() if config == PAPER else _short(config))
        aucs = _track(params, weights, config, dataset, folder, names)
        rows.append((name, scores, np.array([aucs[each] for each in names])))
    single = compare(rows[1][1][:, 1], rows[0][1][:, 1])
    return f"{table(rows)}single steps: {single}\n"


def _short(config: Config) -> str:
    """Name of a folder for a configuration."""
    return "trial-" + hashlib.sha256(json.dumps(to_dict(config)).encode()).hexdigest()[:8]


def table(rows: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> str:
    """Table of mean success AUCs, one row for each configuration, and of the last row against the first.

    Columns are single steps, replayed tracks and tracks.
    """
    titles = ["", "single steps", "replayed", "tracked", "tracked, less the first", "95 % interval", "p"]
    lines = ["| " + " | ".join(titles) + " |", "| " + " | ".join(["---"] * len(titles)) + " |"]
    for name, replayed, tracked in rows:
        whole, single = replayed.mean(axis=0)
        cells = [name, f"{single:.3f}", f"{whole:.3f}", f"{tracked.mean():.3f}"]
        if tracked is rows[0][2]:
            cells += ["", "", ""]
        else:
            found = compare(tracked, rows[0][2])
            interval = describe_interval(found.interval, signed=True)
            cells += [f"{found.difference:+.3f}", interval, f"{found.p_value:.3f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def describe_search(params: Params, dataset: Dataset, settings: dict[str, Any]) -> dict[str, Any]:
    """Description of what the choices of a search depend on, as plain JSON values."""
    sequences = [[each.name, *response_volumes.frames_and_boxes(each)] for each in dataset.sequences]
    return {
        "settings": settings,
        "weights": checkpoints.digest(weight_names.flatten(params.variables)),
        "data": {"sequences": len(sequences), "sha256": hashlib.sha256(json.dumps(sequences).encode()).hexdigest()},
    }


def _search(params: Params, dataset: Dataset, out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    path = out / "choices.json"
    record = describe_search(params, dataset, settings)
    run_records.begin(out, record, results=out.glob(path.name), what="choices", advice="another --out")
    if path.is_file():
        try:
            found = json_files.load(path)
            return {name: found[name] for name in ("folds", "configs", "replayed")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = f"expected what an earlier search wrote, found {reason(error)}; remove it"
            raise InputError(f"{path}: {what}") from None
    names = [sequence.name for sequence in dataset.sequences]
    with progress_bar(unit="steps") as progress:
        computing = progress.add_task("response volumes", total=len(names))
        volumes = response_volumes.gather(
            out / "response_volumes",
            dataset.sequences,
            params,
            advance=lambda done, _: progress.update(computing, completed=done),
        )
        total = (settings["folds"] + 1) * (settings["candidates"] + settings["rounds"] * settings["per_round"] + 1)
        trying = progress.add_task("candidates", total=total)
        left_out = list(random_search.folds(names, settings["folds"]))
        sets = {f"fold-{k}": ~part for k, part in enumerate(left_out)} | {"chosen": np.ones(len(names), bool)}
        configs, replayed = {"paper": to_dict(PAPER)}, {}
        for name, by in sets.items():
            search = Search(
                volumes,
                PAPER,
                by=by,
                motion=settings["motion"],
                seed=settings["seed"],
                advance=lambda count: progress.advance(trying, count),
            )
            tried = search.broad(settings["candidates"])
            replayed["paper"] = tried[1][0].tolist()  # the start, which is the same in each
            choice = search.choose(tried, rounds=settings["rounds"], count=settings["per_round"])
            configs[name] = to_dict(to_config(choice.candidate, PAPER))
            replayed[name] = choice.scores.tolist()
    parts = [[name for name, left in zip(names, part, strict=True) if left] for part in left_out]
    choices = {"folds": parts, "configs": configs, "replayed": replayed}
    write_atomically(path, json.dumps(choices, indent=2) + "\n")
    return choices


def _track(params, weights: Path, config: Config, dataset: Dataset, folder: Path, names: Sequence[str]) -> dict:
    """Success AUC by sequence, of real tracks."""
    config = resolve_config(params.contents, config)
    part = replace(dataset, sequences=tuple(each for each in dataset.sequences if each.name in names), total=len(names))
    summary, _ = runner.evaluate(runner.plan(weights, params, config, "folder"), part, folder)
    if summary.missing:
        raise InputError(f"{folder}: expected every sequence tracked, found problems: {'; '.join(summary.problems)}")
    return {name: score.measures.success_auc for name, score in summary.sequences.items()}
