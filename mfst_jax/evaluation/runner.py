"""Run of the tracker over a dataset: a result file as each sequence ends, so that a run that was killed goes on.

A tracker's folder holds its results, in GOT-10k's layout under that protocol and else in OTB's, and `run.json`, which
says what they were made with. The summary follows from these and the dataset alone, so that it does not show whether
the run was ever interrupted.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mfst_jax import checkpoints
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.evaluation.datasets import Dataset, Protocol
from mfst_jax.evaluation.results import ORIGINS, Results, result_files, write_result
from mfst_jax.evaluation.scoring import Summary, score
from mfst_jax.evaluation.tracking import SequenceTrack, track_sequences
from mfst_jax.fast import prepare
from mfst_jax.params import Params
from mfst_jax.program import run_records
from mfst_jax.program.progress import progress_bar
from mfst_jax.program.sharing import Share, share_out
from mfst_jax.sequences import Sequence
from mfst_jax.sequences.text import read_numbers
from mfst_jax.whole_files import write_atomically

RECORD = run_records.RECORD


@dataclasses.dataclass(frozen=True)
class Run:
    """Settings of a run, which its results depend on: runs with equal settings may share a folder.

    Attributes:
      params: The weights.
      config: How to track.
      protocol: Protocol of the benchmark.
      provenance: Provenance of the weights.
      batch: Number of sequences that are tracked at a time.
    """

    params: Params
    config: Config
    protocol: Protocol
    provenance: Mapping[str, Any]
    batch: int

    def record(self) -> dict[str, Any]:
        """Record of the settings, as plain JSON values."""
        facts = run_records.describe_run(self.params, self.config, self.provenance)
        return {"protocol": self.protocol, **facts, "batch": self.batch}


def plan(
    weights: str | Path | None, params: Params, config: Config, protocol: Protocol, batch: int | None = None
) -> Run:
    """Run of a command line.

    Args:
      weights: the path or name that `params` were loaded from; None for the built-in ones.
      params: the weights.
      config: how to track.
      protocol: the benchmark.
      batch: how many sequences at a time; by default 1 on a CPU, which one step keeps busy, and elsewhere 16 a device.

    Raises:
      InputError: a batch of less than 1.
    """
    if batch is not None and batch < 1:
        raise InputError(f"--batch: expected 1 or more, found {batch}")
    batch = batch or (1 if jax.default_backend() == "cpu" else 16 * jax.local_device_count())
    return Run(params, config, protocol, checkpoints.provenance(weights), batch)


def evaluate(
    run: Run, dataset: Dataset, folder: Path, *, share: Share | None = None, quiet: bool = False
) -> tuple[Summary, Dataset]:
    """Tracks what is not tracked yet, and scores all results.

    Args:
      run: what to track with.
      dataset: the sequences, with their images.
      folder: the tracker's, made if need be; its name is the tracker's.
      share: this process's in the work, if several do it; each returns when all is done.
      quiet: no progress on standard error.

    Returns:
      The scores, and the dataset without the sequences that failed, which are among its missing ones and its problems.

    Raises:
      InputError: the folder holds results of another run, or cannot be written.
    """
    record = begin(folder, run)
    tracks = _track(run, dataset, folder, share or Share(), quiet)
    # What fails in one process may have been tracked by another one that shares the work.
    failures = {
        track.sequence.name: track.problem
        for track in tracks
        if track.problem and not _is_complete(folder, track.sequence)
    }
    dataset = dataclasses.replace(
        dataset,
        sequences=tuple(sequence for sequence in dataset.sequences if sequence.name not in failures),
        missing=(*dataset.missing, *(each.name for each in dataset.sequences if each.name in failures)),
        problems=(*dataset.problems, *(failures[each.name] for each in dataset.sequences if each.name in failures)),
    )
    details = {name: record[name] for name in ("config", "weights", "versions")}
    return score(Results(folder), dataset, **details), dataset


def begin(folder: Path, run: Run) -> dict[str, Any]:
    """Record of the run, once it is sure that `folder` is for this run alone. Raises `InputError` if it is not."""
    results = chain(folder.glob("*.txt"), folder.glob("*/*_001.txt"))
    return run_records.begin(folder, run.record(), results=results, what="results", advice="another --out or --name")


def write_summary(path: Path, summary: Summary) -> None:
    """Writes the scores without speeds, which an interrupted run would change. Raises `InputError` if it cannot."""
    write_atomically(path, _summary_text(summary))


def is_reported(out: Path, summary: Summary, results: Path, *, report: bool) -> bool:
    """Whether another process that shares the work has written the summary, and the report if one is wanted.

    Args:
      out: the folder of both.
      summary: the scores.
      results: the folder of the results; a report is written after the last of them.
      report: whether one is wanted.
    """
    try:
        if (out / "summary.json").read_text(encoding="utf-8") != _summary_text(summary):
            return False
        newest = max(path.stat().st_mtime_ns for path in results.rglob("*.txt"))
        return not report or (out / "report.html").stat().st_mtime_ns >= newest
    except (OSError, ValueError):
        return False


def _summary_text(summary: Summary) -> str:
    content = summary.to_json()
    for scores in (content, *content["sequences"].values()):
        del scores["frames_per_second"]
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _track(run: Run, dataset: Dataset, folder: Path, share: Share, quiet: bool) -> Iterator[SequenceTrack]:
    """Tracks each sequence without a complete result, and yields it once its result is written.

    Of those that others track, nothing is yielded, and the end is when they are done too.
    """
    by_name = {sequence.name: sequence for sequence in dataset.sequences}

    def choose(groups: list[tuple[str, ...]]) -> Iterator[int]:
        return share_out(
            range(len(groups)),
            share,
            folder,
            name=lambda number: groups[number][0],
            is_done=lambda number: all(_is_complete(folder, by_name[name]) for name in groups[number]),
            waiting=lambda held: None if quiet else say(f"waiting for other processes, which are tracking {held} more"),
        )

    done = {sequence.name for sequence in dataset.sequences if _is_complete(folder, sequence)}
    frames = sum(len(sequence.frames) for sequence in dataset.sequences if sequence.name not in done)
    with progress_bar(quiet or not frames) as progress:
        say = partial(progress.console.print, highlight=False, markup=False, soft_wrap=True)
        if done and not quiet:
            say(f"{len(done)} of {len(dataset.sequences)} sequences are tracked already")
        if not frames:
            return
        task = progress.add_task(folder.name, total=frames)
        tracks = track_sequences(
            prepare(run.params, run.config),
            dataset.sequences,
            run.config,
            batch=run.batch,
            skip=done,
            choose=choose,
            advance=lambda count: progress.advance(task, count),
        )
        for track in tracks:
            line = f"failed: {track.problem}"
            if track.problem is None:
                kind = "got10k" if run.protocol == "got10k" else "otb"
                boxes, seconds = np.stack(track.boxes), np.array(track.seconds)
                write_result(folder, track.sequence.name, boxes, seconds, layout=kind)
                speed = len(track.seconds) / sum(track.seconds)
                line = f"{track.sequence.name}: {len(track.boxes)} frames, {speed:.1f} frames/s"
            if not quiet:
                say(line)
            yield track


def _is_complete(folder: Path, sequence: Sequence) -> bool:
    """Whether there is a result for every frame, from the box that the sequence begins with, and its times."""
    for kind, origin in ORIGINS.items():
        path, times = result_files(folder, sequence.name, kind)
        try:
            boxes, seconds = read_numbers(path, (4,)), read_numbers(times, (1,))
        except InputError:
            continue
        first = sequence.ground_truth[0].astype(np.float32) + np.array([origin, origin, 0, 0])  # as it was tracked
        if len(boxes) == len(seconds) == len(sequence.frames) and np.allclose(boxes[0], first, rtol=0, atol=1e-3):
            return True
    return False
