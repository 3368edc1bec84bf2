"""Report on a tracker's results as one self-contained HTML file: scores, plots, comparisons, frames and problems.

It needs no network and no scripts to be read; with scripts, tables can be sorted. Its content security policy lets no
other script run. The same input gives the same bytes. Needs matplotlib, the extra `plots`.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from mfst_jax.evaluation.datasets import Dataset
from mfst_jax.evaluation.plots import PLOTS, attributes_svg, curves_svg, rank
from mfst_jax.evaluation.report_strips import draw_strips
from mfst_jax.evaluation.report_tables import (
    LABELS,
    ReportedTracker,
    best_other,
    comparison_table,
    score_table,
    sequence_table,
    text_of,
)
from mfst_jax.evaluation.results import Results
from mfst_jax.evaluation.scoring import Summary
from mfst_jax.evaluation.statistics import describe_interval
from mfst_jax.media.drawing import TRUE
from mfst_jax.media.palette import BRIGHT_COLOURS, COLOURS
from mfst_jax.whole_files import write_atomically

HERE = Path(__file__).parent
GOT10K_MAIN_MEASURES = ("average_overlap", "success_rate_50")
MAIN_MEASURES = ("success_auc", "precision_20px")
"""Scores that a benchmark other than GOT-10k is known by."""


def write(
    path: Path,
    dataset: Dataset,
    ours: Results,
    summary: Summary,
    others: Mapping[str, tuple[Results, Summary]],
) -> None:
    """Writes the report.

    Args:
      path: the HTML file; missing folders are made, and a file that is there is replaced.
      dataset: what was evaluated on; with the images, if the report is to show some.
      ours: the results of the tracker that the report is about.
      summary: its scores.
      others: results and scores to compare it with, by the trackers' names.

    Raises:
      InputError: the file cannot be written.
      MissingExtraError: without matplotlib installed.
    """
    name = summary.tracker if summary.tracker not in others else f"{summary.tracker} (this one)"
    entries = {name: (ours, summary), **others}
    trackers = [ReportedTracker(name, place, *entry) for place, (name, entry) in enumerate(entries.items())]
    script = (HERE / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = Template((HERE / "report.html").read_text(encoding="utf-8")).substitute(
        title=text_of(f"{name} on {summary.title}"),
        style=_palette() + (HERE / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=f"sha256-{digest}",
        body=_body(dataset, trackers),
    )
    write_atomically(path, page)


def _body(dataset: Dataset, trackers: list[ReportedTracker]) -> str:
    ours = trackers[0]
    summaries = {tracker.name: tracker.summary for tracker in trackers}
    ranked = [trackers[place] for _, _, place in rank("success", summaries)]
    best = {sequence.name: best_other(sequence.name, trackers) for sequence in dataset.sequences}
    sections = {
        "Curves": "".join(f'<div class="plot">{curves_svg(kind, summaries)}</div>' for kind in PLOTS),
        "Trackers": score_table(ranked),
        "Comparison": comparison_table(ours, [tracker for tracker in ranked if tracker is not ours]),
        "Attributes": f'<div class="plot wide">{attributes_svg(summaries)}</div>',
        "Sequences": sequence_table(dataset, ours, best),
        "Frames": draw_strips(dataset, ours, best),
        "Missing and odd": _problems(dataset, trackers),
        "How it was run": _provenance(ours.summary),
    }
    if not ranked:
        del sections["Curves"], sections["Trackers"]
    if not ours.summary.sequences:
        del sections["Sequences"]
    if not ours.summary.sequences or len(ranked) < 2:
        del sections["Comparison"]
    if not ours.summary.attributes:
        del sections["Attributes"]
    names = {title: title.lower().replace(" ", "-") for title in sections}
    links = "".join(f'<a href="#{name}">{title}</a>\n' for title, name in names.items())
    content = "".join(
        f'<section aria-labelledby="{names[title]}"><h2 id="{names[title]}">{title}</h2>\n'
        f'<div class="{names[title]}">{html}</div></section>\n'
        for title, html in sections.items()
    )
    nav = f'<nav aria-label="Contents">{links}</nav>'
    return f"<header>{_headline(dataset, ours)}{nav}</header>\n<main>{content}</main>"


def _headline(dataset: Dataset, ours: ReportedTracker) -> str:
    summary, overall = ours.summary, ours.summary.overall
    partial = ""
    if (count := len(summary.sequences)) < dataset.total:
        partial = (
            f'<p class="partial"><strong>Partial.</strong> The scores are those of {count} of {dataset.total} '
            'sequences: <a href="#missing-and-odd">what is missing</a>.</p>'
        )
    tiles = ""
    if overall is not None:
        main = GOT10K_MAIN_MEASURES if summary.protocol == "got10k" else MAIN_MEASURES
        for score in (*main, *(score for score in LABELS if score not in main)):
            style = ' class="main"' if score in main else ""
            below = describe_interval(summary.interval(score)) or "one sequence"
            tiles += _tile(LABELS[score], f"{getattr(overall, score):.3f}", f"95 %: {below}", style)
    if summary.frames_per_second is not None:
        tiles += _tile("Speed", f"{summary.frames_per_second:.1f}", "frames a second", "")
    return (
        f'<h1>{text_of(ours.name)}<small>{text_of(summary.title)}</small></h1>{partial}<dl class="tiles">{tiles}</dl>\n'
    )


def _tile(label: str, value: str, below: str, style: str) -> str:
    return f"<div{style}><dt>{label}</dt><dd>{value}</dd><dd>{below}</dd></div>"


def _problems(dataset: Dataset, trackers: list[ReportedTracker]) -> str:
    """What is missing or odd with the first tracker, and what else is with the others, as HTML."""
    html = ""
    if absent := dataset.total - len(dataset.sequences) - len(dataset.missing):
        html += f'<p class="note">{absent} of the {dataset.total} sequences were not there to be evaluated on.</p>'
    told: set[str] = set()
    for tracker in trackers:
        summary = tracker.summary
        missing = [
            name for name in summary.missing if tracker is trackers[0] or name not in trackers[0].summary.missing
        ]
        lines = [line for line in dict.fromkeys(summary.problems) if line not in told]
        told.update(lines)
        if missing:
            html += f"<h3>{text_of(tracker.name)}: {len(missing)} not scored</h3>"
            html += f'<p class="problems">{text_of(", ".join(missing))}</p>'
        if lines:
            html += f"<h3>{text_of(tracker.name)}: what went wrong or is odd</h3>"
            html += f'<ul class="problems">{"".join(f"<li>{text_of(line)}</li>" for line in lines)}</ul>'
    return html or '<p class="note">Nothing is missing, and nothing went wrong.</p>'


def _provenance(summary: Summary) -> str:
    parts = {"Configuration": summary.config, "Weights": summary.weights, "Versions": summary.versions}
    return "".join(
        f"<h3>{title}</h3>" + (_facts(values) if values else '<p class="note">Not known.</p>')
        for title, values in parts.items()
    )


def _facts(values: Mapping[str, Any]) -> str:
    items = ""
    for name, value in values.items():
        words = value if isinstance(value, str) else json.dumps(value, default=str)
        style = ' class="long"' if len(words) > 30 else ""
        items += f"<div{style}><dt>{text_of(name)}</dt><dd>{text_of(words)}</dd></div>"
    return f'<dl class="facts">{items}</dl>'


def _palette() -> str:
    """Colours of the trackers as CSS: as the page's background needs them, and always bright on pictures."""

    def variables(colours: Iterable[str]) -> str:
        return "".join(f"--tracker-{place}:{value};" for place, value in enumerate(colours))

    classes = "".join(
        f".box-{place}{{--line:var(--tracker-{place});--box:{value};}}\n" for place, value in enumerate(BRIGHT_COLOURS)
    )
    truth = "#{:02x}{:02x}{:02x}".format(*TRUE)
    return (
        f":root{{{variables(COLOURS)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{variables(BRIGHT_COLOURS)}}}}}\n"
        f".truth{{--line:{truth};--box:{truth};}}\n{classes}"
    )
