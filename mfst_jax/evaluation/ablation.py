"""The paper's tables I and II on the sequences at hand: every row tracked, beside the paper's figures.

A row is a tracker of its own, in `results/<row>/`: an interrupted table goes on, and a row that both tables have is
tracked once. There is little else to share, since rows part within a few frames: in table I on OTB's Deer and Crossing,
one pass through a backbone for all rows that look at the same crop would save 1 to 4 % of the passes.

The figures are those of the paper (`paper_tables.tsv`); row 4 of table II, which is hard to read there, is table I's.
"""

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

from mfst_jax.config import LAYERS, MODELS, Config
from mfst_jax.errors import InputError
from mfst_jax.evaluation import runner, scoring
from mfst_jax.evaluation.datasets import TITLES, Dataset, Protocol
from mfst_jax.evaluation.scoring import Summary
from mfst_jax.evaluation.statistics import Comparison, describe_interval
from mfst_jax.params import resolve_config
from mfst_jax.program.sharing import Share, in_turn
from mfst_jax.whole_files import write_atomically

Table = Literal["table1", "table2"]
TABLES: tuple[Table, ...] = get_args(Table)
FIGURES = Path(__file__).with_name("paper_tables.tsv")
BENCHMARKS: tuple[Protocol, ...] = ("otb2013", "otb50", "otb100")
"""Benchmarks that the paper has figures for."""


@dataclass(frozen=True)
class Row:
    """Row of the paper's tables: one configuration. A cell is a single layer, a strategy for all three layers, or `-`.

    Attributes:
      siamfc: Cell of S.
      alexnet: Cell of A.
      model_fusion: Cell of the fusion of S and A.
      se: Whether SE-blocks are used.
      paper: Success AUC and precision at 20 px in the paper, by benchmark.
    """

    siamfc: str
    alexnet: str
    model_fusion: str
    se: bool
    paper: Mapping[Protocol, tuple[float, float]]

    @property
    def cells(self) -> dict[str, str]:
        """Cells of the row by column, without the figures."""
        se = "yes" if self.se else "no"
        return {"siamfc": self.siamfc, "alexnet": self.alexnet, "model_fusion": self.model_fusion, "se": se}

    @property
    def models(self) -> tuple[str, ...]:
        """Backbones in use."""
        return tuple(model for model in MODELS if self.cells[model] != "-")

    @property
    def name(self) -> str:
        """Name of the row's results: `alexnet-conv4-se`, `both-soft`."""
        model = "both" if len(self.models) > 1 else self.models[0]
        cell = self.model_fusion if len(self.models) > 1 else self.cells[model]
        return f"{model}-{cell}" + "-se" * self.se

    def config(self, base: Config) -> Config:
        """Configuration of the row, on top of `base`. Raises `InputError` if that is no configuration."""
        changes: dict[str, Any] = {"models": self.models, "se": self.se}
        for model in self.models:
            cell = self.cells[model]
            if cell in LAYERS:
                changes[f"{model}_layers"] = (cell,)
            else:
                changes |= {f"{model}_layers": LAYERS, f"{model}_fusion": cell}
        if self.model_fusion != "-":
            changes["model_fusion"] = self.model_fusion
        return replace(base, **changes)


@dataclass(frozen=True)
class Ordering:
    """Two rows that differ in one thing, the first of which is better in the paper.

    Attributes:
      better: Row that is better in the paper.
      worse: Row that is worse in the paper.
      paper: Difference of success AUC in the paper.
      here: Difference of success AUC on the sequences at hand.
    """

    better: Row
    worse: Row
    paper: float
    here: Comparison

    @property
    def holds(self) -> bool:
        """Whether the better row is better here too."""
        return self.here.difference > 0


def paper_rows(table: Table) -> list[Row]:
    """Rows of a table, in the paper's order."""
    # Table I, Table II
    rows = []
    with FIGURES.open(newline="") as file:
        for cells in csv.DictReader(file, delimiter="\t"):
            if cells["table"] == table:
                paper = {name: (float(cells[f"{name}_auc"]), float(cells[f"{name}_p20"])) for name in BENCHMARKS}
                rows.append(Row(cells["siamfc"], cells["alexnet"], cells["model_fusion"], cells["se"] == "1", paper))
    return rows


def ablate(table: Table, run: runner.Run, dataset: Dataset, out: Path, share: Share | None = None) -> int:
    """Tracks each row of a table, prints the table, and writes it to `out` as CSV and Markdown.

    Args:
      table: which one.
      run: the weights, and the configuration that the rows change.
      dataset: the sequences, with their images.
      out: the folder for `results/`, `table1.csv` and `table1.md`.
      share: this process's in the work, if several do it.

    Returns:
      0, or 1 if a row or a sequence is missing.

    Raises:
      InputError: there is nothing to score, there are results of other runs, or it cannot be written.
    """
    if not any(sequence.annotated > 1 for sequence in dataset.sequences):
        raise InputError(f"--ablation {table}: expected true boxes beside the first one, found none in any sequence")
    rows, problems = paper_rows(table), list(dataset.problems)
    runs: dict[str, runner.Run] = {}
    for row in rows:
        try:
            runs[row.name] = replace(run, config=resolve_config(run.params.contents, row.config(run.config)))
        except InputError as error:
            problems.append(f"{row.name}: not tracked: {error}")
    for name, its_run in runs.items():
        runner.begin(out / "results" / name, its_run)
    summaries: dict[str, Summary] = {}
    for name, its_run in runs.items():
        summary, _ = runner.evaluate(its_run, dataset, out / "results" / name, share=share)
        problems += [f"{name}: {problem}" for problem in summary.problems if problem not in dataset.problems]
        summaries[name] = summary
    text = markdown(rows, summaries, dataset.protocol)
    with in_turn(out, share or Share()):
        write_atomically(out / f"{table}.csv", _csv(rows, summaries))
        write_atomically(out / f"{table}.md", text)
    print(text, end="")
    for line in problems:
        print(line, file=sys.stderr)
    print(f"wrote {out / table}.csv and .md", file=sys.stderr)
    return 1 if len(runs) < len(rows) or any(summary.missing for summary in summaries.values()) else 0


def find_orderings(
    rows: Sequence[Row], summaries: Mapping[str, Summary], protocol: Protocol = "otb100"
) -> Iterator[Ordering]:
    """Orderings by the paper's success AUC of rows that differ in one thing: a cell, or one backbone more."""
    rows = [row for row in rows if row.name in summaries]
    for pair in combinations(rows, 2):
        worse, better = sorted(pair, key=lambda row: row.paper[_benchmark(protocol)][0])
        difference = better.paper[_benchmark(protocol)][0] - worse.paper[_benchmark(protocol)][0]
        here = scoring.paired(summaries[better.name], summaries[worse.name], "success_auc")
        if difference > 0 and _comparable(better, worse) and here is not None:
            yield Ordering(better, worse, difference, here)


def markdown(rows: Sequence[Row], summaries: Mapping[str, Summary], protocol: Protocol) -> str:
    """Table and orderings as Markdown, in columns that line up."""
    benchmark = _benchmark(protocol)
    table = [["S: siamfc", "A: alexnet", "S and A", "SE", "AUC", "P@20", "paper AUC", "paper P@20"]]
    for row in rows:
        figures = (*_figures(summaries.get(row.name)), *(f"{figure:.3f}" for figure in row.paper[benchmark]))
        table.append([*row.cells.values(), *figures])
    orderings = sorted(find_orderings(rows, summaries, protocol), key=lambda ordering: not ordering.holds)
    holding = sum(ordering.holds for ordering in orderings)
    lines = [["better in the paper", "than", "by", "here", "95 % interval", ""]]
    for ordering in orderings:
        around = describe_interval(ordering.here.interval, signed=True) or "-"
        difference = f"{ordering.here.difference:+.3f}"
        verdict = "holds" if ordering.holds else "does not hold"
        pair = ordering.better.name, ordering.worse.name
        lines.append([*pair, f"{ordering.paper:+.3f}", difference, around, verdict])
    title = next((summary.title for summary in summaries.values()), "nothing tracked")
    return "\n".join(
        [
            f"Ours on {title}, the paper's on {TITLES[benchmark]}.\n",
            *_align(table),
            f"\nOf the paper's orderings by success AUC, between rows that differ in one thing, {holding} of "
            f"{len(orderings)} hold.\n",
            *_align(lines),
            "",
        ]
    )


def _benchmark(protocol: Protocol) -> Protocol:
    """Benchmark whose figures in the paper stand beside ours."""
    return protocol if protocol in BENCHMARKS else "otb100"


def _comparable(first: Row, second: Row) -> bool:
    common = [name for name in first.cells if "-" not in (first.cells[name], second.cells[name])]
    differing = [name for name in common if first.cells[name] != second.cells[name]]
    nested = {*first.models} < {*second.models} or {*second.models} < {*first.models}
    return len(differing) == (0 if nested else 1) and (nested or first.models == second.models)


def _figures(summary: Summary | None) -> tuple[str, str]:
    if summary is None or summary.overall is None:
        return "-", "-"
    return f"{summary.overall.success_auc:.3f}", f"{summary.overall.precision_20px:.3f}"


def _csv(rows: Sequence[Row], summaries: Mapping[str, Summary]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "row",
            *rows[0].cells,
            "auc",
            "p20",
            *(f"paper_{name}_{kind}" for name in BENCHMARKS for kind in ("auc", "p20")),
        ]
    )
    for row in rows:
        overall = summaries[row.name].overall if row.name in summaries else None
        ours = ["", ""] if overall is None else [overall.success_auc, overall.precision_20px]
        writer.writerow([row.name, *row.cells.values(), *ours, *(n for name in BENCHMARKS for n in row.paper[name])])
    return text.getvalue()


def _align(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if number == 0:
            yield "| " + " | ".join("-" * width for width in widths) + " |"
