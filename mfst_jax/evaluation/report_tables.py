"""Tables of a report: all trackers' scores, how ours compares with each other one, and ours by sequence."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from mfst_jax.evaluation.datasets import Dataset
from mfst_jax.evaluation.plots import printable
from mfst_jax.evaluation.results import Results
from mfst_jax.evaluation.scoring import Summary, paired
from mfst_jax.evaluation.statistics import describe_interval, holm
from mfst_jax.media.palette import colour
from mfst_jax.sequences.otb import ATTRIBUTES

LABELS = {
    "success_auc": "Success AUC",
    "precision_20px": "Precision at 20 px",
    "normalised_precision": "Normalised precision",
    "success_rate_50": "Success rate at 0.5",
    "success_rate_75": "Success rate at 0.75",
    "average_overlap": "Average overlap",
}
"""Labels on a page of `metrics.SCORES`."""
SIGNIFICANT = 0.05
NONE = "\N{EN DASH}"


@dataclass(frozen=True, eq=False)
class ReportedTracker:
    """Tracker in a report.

    Attributes:
      name: Name of the tracker.
      place: Place among all trackers, which gives the colour; ours has 0.
      results: Raw results.
      summary: Scores.
    """

    name: str
    place: int
    results: Results
    summary: Summary

    def auc(self, sequence: str) -> float:
        """Success AUC on a sequence that is scored."""
        return self.summary.sequences[sequence].measures.success_auc


def best_other(sequence: str, trackers: Iterable[ReportedTracker]) -> ReportedTracker | None:
    """Tracker, other than ours, with the highest success AUC on the sequence; None where none has a score."""
    others = [tracker for tracker in trackers if tracker.place > 0 and sequence in tracker.summary.sequences]
    return max(others, key=lambda other: other.auc(sequence), default=None)


def text_of(value: object) -> str:
    """Value, such as a name from somebody's disk, as text of a page or of an attribute in it."""
    return escape(printable(str(value)))


def name_of(tracker: ReportedTracker) -> str:
    """Name of a tracker after a mark of its colour, as HTML."""
    mark = f'<span class="swatch box-{colour(tracker.place)}"></span>'
    return f'<span class="tracker">{mark}<span class="name">{text_of(tracker.name)}</span></span>'


def score_table(ranked: list[ReportedTracker]) -> str:
    """Table of scores as HTML: a row for each tracker, in the order given. All must have scores."""
    rows = []
    for tracker in ranked:
        summary = tracker.summary
        cells = [_row_head(name_of(tracker)), _number(len(summary.sequences), "d")]
        for score in LABELS:
            interval = summary.interval(score) if score in ("success_auc", "precision_20px") else None
            after = f" <small>({describe_interval(interval)})</small>" if interval is not None else ""
            cells.append(_number(getattr(summary.overall, score), ".3f", after))
        cells.append(_number(summary.frames_per_second, ".1f"))
        rows.append(_row(cells, "ours" if tracker.place == 0 else ""))
    heads = [("Tracker", ""), ("Sequences", "number"), *((label, "number") for label in LABELS.values())]
    heads.append(("Frames a second", "number"))
    return _table("Trackers", heads, rows, "Means over the sequences; in brackets, their 95 % intervals.")


def comparison_table(ours: ReportedTracker, others: list[ReportedTracker]) -> str:
    """Table of comparisons as HTML: a row for each other tracker with sequences in common with ours, in order."""
    pairs = [(other, paired(ours.summary, other.summary, "success_auc")) for other in others]
    compared = [(other, comparison) for other, comparison in pairs if comparison is not None]
    p_values = holm([comparison.p_value for _, comparison in compared])
    ends = [end for _, comparison in compared for end in comparison.interval or (comparison.difference,)]
    reach = max(map(abs, ends), default=0.0) or 1.0
    rows = []
    for (other, comparison), p_value in zip(compared, p_values, strict=True):
        common = sum(name in other.summary.sequences for name in ours.summary.sequences)
        verdict = "no clear difference"
        if p_value < SIGNIFICANT:
            verdict = "ahead" if comparison.difference > 0 else "behind"
        drawing, after = f'<circle cx="{100 * comparison.difference / reach:.1f}" cy="10" r="5"/>', ""
        if comparison.interval is not None:
            start, end = (f"{100 * value / reach:.1f}" for value in comparison.interval)
            drawing = f'<path class="interval" d="M{start} 10H{end}"/>{drawing}'
            after = f" <small>({describe_interval(comparison.interval, signed=True)})</small>"
        cells = [
            _row_head(name_of(other)),
            _number(common, "d"),
            _number(comparison.difference, "+.3f", after),
            f"<td>{_range(drawing)}</td>",
            _number(p_value, ".4f"),
            f"<td>{verdict}</td>",
        ]
        rows.append(_row(cells))
    heads = [
        ("Against", ""),
        ("Common sequences", "number"),
        ("Difference in success AUC", "number"),
        _scale(reach),
        ("p (Holm)", "number"),
        (f"{text_of(ours.name)} is", ""),
    ]
    caption = (
        "Paired by sequence: mean difference, its 95 % bootstrap interval over the sequences, and the p-value of a "
        "permutation test after Holm's correction for the number of trackers; the intervals are not corrected."
    )
    return _table("Comparison", heads, rows, caption)


def sequence_table(dataset: Dataset, ours: ReportedTracker, best: Mapping[str, ReportedTracker | None]) -> str:
    """Table of sequences as HTML: a row for each on which ours has a score, linked to `sequence-1` and so on.

    The score of the best other tracker on the sequence stands beside ours.
    """
    scored = ours.summary.sequences
    lead = {
        name: ours.auc(name) - other.auc(name) for name, other in best.items() if other is not None and name in scored
    }
    reach = max(map(abs, lead.values()), default=0.0) or 1.0
    tagged = any(sequence.attributes for sequence in dataset.sequences)
    rows = []
    for number, sequence in enumerate(dataset.sequences, start=1):
        name, other = sequence.name, best[sequence.name]
        if name not in scored:
            continue
        cells = [_row_head(f'<a href="#sequence-{number}">{text_of(name)}</a>')]
        if tagged:
            tags = (f'<abbr title="{ATTRIBUTES[tag]}">{tag}</abbr>' for tag in sequence.attributes)
            cells.append(f"<td><small>{' '.join(tags)}</small></td>")
        cells += [
            _number(scored[name].frames, "d"),
            _number(scored[name].measures.precision_20px, ".3f"),
            _number(ours.auc(name), ".3f"),
        ]
        if other is not None:
            cells += [_number(other.auc(name), ".3f"), f"<td>{name_of(other)}</td>", _number(lead[name], "+.3f")]
            cells.append(f"<td>{_bar(lead[name] / reach)}</td>")
        elif lead:
            cells += [_number(None, ""), f"<td>{NONE}</td>", _number(None, ""), "<td></td>"]
        rows.append(_row(cells))
    heads = [("Sequence", "")] + [("Attributes", "")] * tagged
    heads += [(label, "number") for label in ("Frames", "Precision at 20 px", "Success AUC")]
    caption = f"{text_of(ours.name)} by sequence."
    if lead:
        heads += [("Best other", "number"), ("which is", ""), ("Difference", "number"), _scale(reach)]
        caption = f"{text_of(ours.name)} by sequence, and whichever other tracker has the highest success AUC there."
    return _table("Sequences", heads, rows, caption, sortable=True)


def _table(title: str, heads: list[tuple[str, str]], rows: list[str], caption: str, *, sortable: bool = False) -> str:
    """Table as HTML; each head has a class: `number`, `drawing` for columns that nobody sorts by, or none."""
    cells = "".join(f'<th scope="col" class="{style}">{label}</th>' for label, style in heads)
    style = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table{style}>'
        f"<caption>{caption}</caption><thead><tr>{cells}</tr></thead><tbody>\n{''.join(rows)}</tbody></table></div>"
    )


def _row(cells: list[str], style: str = "") -> str:
    return f'<tr class="{style}">{"".join(cells)}</tr>\n'


def _row_head(html: str) -> str:
    return f'<th scope="row">{html}</th>'


def _number(value: float | int | None, form: str, after: str = "") -> str:
    """Cell that shows a number in short and holds all its digits."""
    if value is None:
        return f'<td class="number" data-value="">{NONE}</td>'
    return f'<td class="number" data-value="{value!r}">{value:{form}}{after}</td>'


def _scale(reach: float) -> tuple[str, str]:
    """Head of a column of drawings."""
    return f'<span class="scale"><span>-{reach:.2f}</span><span>+{reach:.2f}</span></span>', "drawing"


def _range(drawing: str) -> str:
    """Drawing on an axis from -100 to 100."""
    return (
        f'<svg class="range" viewBox="-100 0 200 20" aria-hidden="true"><path class="zero" d="M0 0V20"/>{drawing}</svg>'
    )


def _bar(share: float) -> str:
    style = "ahead" if share > 0 else "behind"
    x, width = min(100 * share, 0), abs(100 * share)
    return _range(f'<rect class="{style}" x="{x:.1f}" y="5" width="{width:.1f}" height="10"/>')
