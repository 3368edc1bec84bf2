"""Scoring: from results and annotations to a `Summary`, every score by sequence, by attribute and overall.

Which rows count follows the rules of each benchmark's own toolkit:

- OTB: every annotated frame. The first box is taken to be right, whatever it is. Where the target is absent, the true
  box is the zeros that OTB writes then, so no box overlaps it.
- GOT-10k: every frame but the first in which some of the target is visible, boxes and truth cut to the frame. Sequences
  count by their number of such frames.
- LaSOT: every frame, by the formulas of its toolkit (`lasot`).
- All others: as OTB, but frames without the target do not count.

A row that a tracker did not write is a miss; one too many is ignored. Either is among the problems. A sequence of which
nothing but the first box is annotated, as in GOT-10k's test split, cannot be scored.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from mfst_jax.errors import InputError
from mfst_jax.evaluation import lasot
from mfst_jax.evaluation.datasets import Dataset, Protocol, title
from mfst_jax.evaluation.metrics import SCORES, Measures, average, clip, measure
from mfst_jax.evaluation.results import Result, Results
from mfst_jax.evaluation.statistics import Comparison, Interval, bootstrap_interval, compare
from mfst_jax.sequences import Sequence, otb
from mfst_jax.sequences.text import line_numbers

Align = Literal["first", "last"]
"""Rows that count where a result has too few: the first ones of result and truth, or the last ones of both."""


@dataclass(frozen=True, eq=False)
class SequenceScore:
    """Scores of a tracker on one sequence.

    Attributes:
      measures: Measures over the frames of all runs together.
      frames: Number of frames that count, over all runs.
      frames_per_second: Speed; None where nobody measured it.
      attributes: OTB's attributes of the sequence.
    """

    measures: Measures
    frames: int
    frames_per_second: float | None
    attributes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Summary:
    """Scores of a tracker on a benchmark. `to_json` gives them as plain values.

    Attributes:
      tracker: Name of the tracker.
      protocol: Protocol whose rules count.
      title: Name of the benchmark, and how much of it was scored.
      sequences: Scores by sequence.
      missing: Names of sequences that should count and do not.
      problems: What is wrong with those, and odd about the others: a line each.
      unscored: Names of sequences that have a result, but of which nothing beside the first box is annotated.
      config: What the tracker ran with, as `config.to_dict` writes it; None where it is not known.
      weights: Provenance of the weights; None where it is not known.
      versions: Versions that it ran on; None where they are not known.
    """

    tracker: str
    protocol: Protocol
    title: str
    sequences: Mapping[str, SequenceScore]
    missing: tuple[str, ...]
    problems: tuple[str, ...]
    unscored: tuple[str, ...] = ()
    config: Mapping[str, Any] | None = None
    weights: Mapping[str, Any] | None = None
    versions: Mapping[str, str] | None = None

    @cached_property
    def overall(self) -> Measures | None:
        """Mean over the sequences; None where there is none."""
        return self._mean(self.sequences.values())

    @cached_property
    def attributes(self) -> dict[str, Measures]:
        """Mean over the sequences with each attribute that any has, in OTB's order."""
        means = {
            attribute: self._mean(score for score in self.sequences.values() if attribute in score.attributes)
            for attribute in otb.ATTRIBUTES
        }
        return {attribute: mean for attribute, mean in means.items() if mean is not None}

    @property
    def frames_per_second(self) -> float | None:
        """Mean speed over the sequences of which it is known; None where there is none."""
        speeds = [score.frames_per_second for score in self.sequences.values() if score.frames_per_second is not None]
        return float(np.mean(speeds)) if speeds else None

    def interval(self, name: str) -> Interval | None:
        """Bootstrap confidence interval of one of `metrics.SCORES`; None for fewer than two sequences."""
        scores = list(self.sequences.values())
        if not scores:
            return None  # there are no weights of none
        values = np.array([getattr(score.measures, name) for score in scores])
        return bootstrap_interval(values, weights=self._weights(scores))

    def to_json(self) -> dict[str, Any]:
        """Summary as plain JSON values; a number that is not known is null.

        - `tracker`, `protocol`, `title`: whose scores these are, by which rules, and of what.
        - `success_auc`, `precision_20px`, `normalised_precision`, `success_rate_50`, `success_rate_75`,
          `average_overlap`: the mean scores, as `metrics.Measures` defines them.
        - `intervals`: the 95 % confidence intervals of the first two, as [low, high] or null.
        - `frames_per_second`: mean speed, where it was measured.
        - `frames`: how many count.
        - `success_curve`, `precision_curve`, `normalised_curve`: the mean curves, over the overlaps 0, 0.05, ... 1, the
          errors 0, 1, ... 50 pixels and the errors 0, 0.01, ... 0.5 sizes.
        - `sequences`: by name, the scores, `frames` and `frames_per_second` of each.
        - `attributes`: by OTB's abbreviation, the mean scores and the number `sequences` of those that have it.
        - `missing`: the names of sequences that should count and do not; `unscored`: those of which nothing beside the
          first box is annotated; `problems`: what is wrong, a line each.
        - `config`, `weights`, `versions`: what the tracker ran with, where from, on what; null where not known.
        """
        overall, scores = self.overall, self.sequences.values()
        curves = ("success_curve", "precision_curve", "normalised_curve")
        return {
            "tracker": self.tracker,
            "protocol": self.protocol,
            "title": self.title,
            **_numbers(overall),
            "intervals": {name: self.interval(name) for name in SCORES[:2]},
            "frames_per_second": self.frames_per_second,
            "frames": sum(score.frames for score in scores),
            **{curve: None if overall is None else getattr(overall, curve).tolist() for curve in curves},
            "sequences": {
                name: {
                    **_numbers(score.measures),
                    "frames": score.frames,
                    "frames_per_second": score.frames_per_second,
                }
                for name, score in self.sequences.items()
            },
            "attributes": {
                name: {**_numbers(mean), "sequences": sum(name in score.attributes for score in scores)}
                for name, mean in self.attributes.items()
            },
            "missing": list(self.missing),
            "unscored": list(self.unscored),
            "problems": list(self.problems),
            "config": self.config,
            "weights": self.weights,
            "versions": self.versions,
        }

    def _mean(self, scores: Iterable[SequenceScore]) -> Measures | None:
        scores = list(scores)
        return average([score.measures for score in scores], self._weights(scores)) if scores else None

    def _weights(self, scores: list[SequenceScore]) -> np.ndarray | None:
        return np.array([float(score.frames) for score in scores]) if self.protocol == "got10k" else None


def score(
    results: Results,
    dataset: Dataset,
    *,
    align: Align = "first",
    config: Mapping[str, Any] | None = None,
    weights: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
) -> Summary:
    """Summary of one tracker's results on the sequences of `dataset`, as far as there are some.

    Args:
      results: where they are.
      dataset: the sequences; their images are not needed.
      align: which rows count where a result has too few.
      config: what the tracker ran with, for the summary.
      weights: where its weights come from, for the summary.
      versions: what it ran on, for the summary.
    """
    scores: dict[str, SequenceScore] = {}
    missing, unscored, problems = list(dataset.missing), [], list(dataset.problems)
    spellings = Counter(otb.key(sequence.name) for sequence in dataset.sequences)
    for sequence in dataset.sequences:
        try:
            # `car_1` may be called `car-1`, unless that is another sequence.
            result = results.read(sequence.name, exact=spellings[otb.key(sequence.name)] > 1)
            if result is None:
                raise InputError(f"{results.folder / sequence.name}.txt: expected a result, found none")
            if sequence.annotated > 1:
                scores[sequence.name] = _score(sequence, result, dataset.protocol, align, problems)
            else:
                unscored.append(sequence.name)
        except InputError as error:
            missing.append(sequence.name)
            problems.append(str(error))
    if unscored:
        names = ", ".join(unscored[:3]) + (f" and {len(unscored) - 3} more" if unscored[3:] else "")
        problems.append(f"{results.folder}: not scored, as nothing but the first box is annotated: {names}")
    return Summary(
        tracker=results.name,
        protocol=dataset.protocol,
        title=title(dataset.protocol, len(scores), dataset.total),
        sequences=scores,
        missing=tuple(missing),
        problems=tuple(problems),
        unscored=tuple(unscored),
        config=config,
        weights=weights,
        versions=versions,
    )


def paired(first: Summary, second: Summary, name: str) -> Comparison | None:
    """Comparison of two trackers by one of `metrics.SCORES` on the sequences that both have; None without any.

    Sequences count as in the means of the first tracker's protocol: in GOT-10k by its number of frames.
    """
    common = [sequence for sequence in first.sequences if sequence in second.sequences]
    values = [[getattr(each.sequences[sequence].measures, name) for sequence in common] for each in (first, second)]
    if not common:
        return None
    return compare(*np.array(values), weights=first._weights([first.sequences[sequence] for sequence in common]))


def _score(sequence: Sequence, result: Result, protocol: Protocol, align: Align, problems: list[str]) -> SequenceScore:
    # In the coordinates of the benchmark's own files: OTB's count from 1.
    origin = 0 if protocol == "got10k" else 1
    truth = sequence.ground_truth + np.array([origin, origin, 0, 0])
    if protocol.startswith("otb"):
        truth[sequence.absent] = 0
    shift = origin - result.origin
    written = [boxes + np.array([shift, shift, 0, 0]) for boxes in result.runs]
    if protocol == "lasot":
        written = [lasot.carried(boxes) for boxes in written]
    runs = [_rows(boxes, truth, align) for boxes in written]
    if not any(np.isfinite(true[1:]).all(axis=1).any() for _, true in runs):
        raise InputError(f"{result.path}: expected frames that count, found none in {sequence.name}")
    problems += [*result.problems, *_oddities(sequence, result, protocol)]
    if protocol == "lasot":
        return _score_lasot(sequence, result, runs)
    if protocol == "got10k":
        runs = [(boxes[1:], true[1:]) for boxes, true in runs]
    else:
        for boxes, true in runs:
            boxes[0] = true[0]
    boxes, truth = (np.concatenate(rows) for rows in zip(*runs, strict=True))
    if protocol == "got10k" and sequence.size is not None:
        boxes, truth = clip(boxes, sequence.size), clip(truth, sequence.size)
    frames = int(np.isfinite(truth).all(axis=1).sum())
    return SequenceScore(measure(boxes, truth), frames, result.frames_per_second, sequence.attributes)


def _score_lasot(sequence: Sequence, result: Result, runs: list[tuple[np.ndarray, np.ndarray]]) -> SequenceScore:
    """Score by LaSOT's rules: mean over the runs."""
    labels = sequence.labelled_absent
    absent = labels if labels is not None else np.zeros(len(sequence.absent), bool)
    measures, frames = [], 0
    for boxes, true in runs:
        skipped = len(absent) - len(true)
        count = sequence.annotated - skipped  # the frames after the end of the true boxes do not count
        measures.append(lasot.measure(boxes[:count], true[:count], absent[skipped : sequence.annotated]))
        frames += count
    return SequenceScore(average(measures), frames, result.frames_per_second, sequence.attributes)


def _rows(boxes: np.ndarray, truth: np.ndarray, align: Align) -> tuple[np.ndarray, np.ndarray]:
    """Result and truth, cut to the same number of rows."""
    lacking = max(0, len(truth) - len(boxes))
    if align == "first" and lacking:
        return np.pad(boxes, ((0, lacking), (0, 0)), constant_values=np.nan), truth
    return boxes[: len(truth)], truth[lacking:]


def _oddities(sequence: Sequence, result: Result, protocol: Protocol) -> Iterator[str]:
    for boxes in result.runs:
        if len(boxes) != (rows := len(sequence.ground_truth)):
            line = min(rows, len(boxes)) + 1
            yield f"{result.path}, line {line}: expected {rows} lines, one a frame, found {len(boxes)}"
        if (lost := np.flatnonzero(~np.isfinite(boxes).all(axis=1))).size:
            yield f"{result.path}, {line_numbers(lost)}: no box there"
    if protocol == "got10k" and sequence.size is None:
        yield f"{sequence.name}: expected the size of its frames to cut boxes to, found it nowhere"


def _numbers(measures: Measures | None) -> dict[str, float | None]:
    return {name: None if measures is None else getattr(measures, name) for name in SCORES}
