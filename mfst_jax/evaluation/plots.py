"""Success and precision plots as in the paper's figure 3, and success by attribute: as files, and as SVG for a report.

The first of the summaries is the tracker of interest: it is drawn thick, in a colour of its own. The others differ by
line style and marker too. The same summaries give the same bytes. Needs matplotlib, the extra `plots`.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from mfst_jax.errors import MissingExtraError
from mfst_jax.evaluation.metrics import PRECISION_THRESHOLDS, SUCCESS_THRESHOLDS
from mfst_jax.evaluation.scoring import Summary
from mfst_jax.media.palette import COLOURS, colour
from mfst_jax.media.writers import save_image
from mfst_jax.sequences.otb import ATTRIBUTES
from mfst_jax.whole_files import write_atomically

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

INK, RULE, PAPER = "#1b1f24", "#dde1e6", "#ffffff"
DASHES = ("-", (0, (5, 1.8)), (0, (1.4, 1.4)))
MARKERS = "os^DvPX"
LONGEST_NAME = 28
"""Number of characters of a tracker's name in a legend."""
DPI = 200
SIZE = (5.6, 4.3)
"""Width and height of a plot, in inches."""

STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.facecolor": PAPER,
    "legend.edgecolor": "none",
    "legend.framealpha": 1,
    "legend.handlelength": 2.6,
    "legend.labelspacing": 0.35,
    "svg.hashsalt": "mfst_jax",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class _Plot:
    """Description of one of the figure's two plots."""

    title: str
    curve: str
    score: str
    thresholds: np.ndarray
    axes: tuple[str, str]
    legend: Literal["lower left", "lower right"]


PLOTS = {
    "success": _Plot(
        "Success plots of OPE",
        "success_curve",
        "success_auc",
        SUCCESS_THRESHOLDS,
        ("Overlap threshold", "Success rate"),
        "lower left",
    ),
    "precision": _Plot(
        "Precision plots of OPE",
        "precision_curve",
        "precision_20px",
        PRECISION_THRESHOLDS,
        ("Location error threshold (pixels)", "Precision"),
        "lower right",
    ),
}


def write(folder: Path, summaries: Mapping[str, Summary]) -> list[Path]:
    """Writes the plots `success` and `precision`, each as .png and .svg.

    Args:
      folder: where to; it is made if need be.
      summaries: by the names that the legend gives the trackers; the first is emphasised.

    Returns:
      The files; none if no tracker has a score.

    Raises:
      InputError: a file cannot be written.
      MissingExtraError: without matplotlib installed.
    """
    # Fig. 3
    paths = []
    for name in PLOTS:
        figure = _draw_curves(name, summaries)
        if figure is not None:
            svg, png = folder / f"{name}.svg", folder / f"{name}.png"
            write_atomically(svg, _svg(figure))
            save_image(_image(figure), png)
            paths += [png, svg]
    return paths


def curves_svg(name: str, summaries: Mapping[str, Summary]) -> str | None:
    """Plot of `PLOTS` as an SVG element for a page; None if no tracker has a score.

    The page sets the colours: the element's own, `--rule` and `--paper`, and `--tracker-0`, `--tracker-1` and so on for
    `COLOURS`.
    """
    figure = _draw_curves(name, summaries)
    if figure is None:
        return None
    scores = ", ".join(f"{tracker} {score:.3f}" for tracker, score, _ in rank(name, summaries))
    return _embed(_svg(figure, as_text=True), name, f"{PLOTS[name].title}: {scores}")


def attributes_svg(summaries: Mapping[str, Summary]) -> str | None:
    """Success AUC by attribute, a dot a tracker, as an SVG element like `curves_svg`'s; None without attributes."""
    figure = _draw_attributes(summaries)
    if figure is None:
        return None
    first, summary = next(iter(summaries.items()))
    scores = ", ".join(f"{ATTRIBUTES[key]} {mean.success_auc:.3f}" for key, mean in summary.attributes.items())
    return _embed(_svg(figure, as_text=True), "attributes", f"Success AUC of {first} by attribute: {scores}")


def rank(name: str, summaries: Mapping[str, Summary]) -> list[tuple[str, float, int]]:
    """Trackers with a score, best first: name, score, and place among the summaries."""
    scores = [
        (tracker, getattr(summary.overall, PLOTS[name].score), place)
        for place, (tracker, summary) in enumerate(summaries.items())
        if summary.overall is not None
    ]
    return sorted(scores, key=lambda entry: entry[1], reverse=True)


def printable(text: str) -> str:
    """Text in one line, with whatever cannot be shown or encoded replaced."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))


def _draw_curves(name: str, summaries: Mapping[str, Summary]) -> "matplotlib.figure.Figure | None":
    plot, ranked = PLOTS[name], rank(name, summaries)
    if not ranked:
        return None
    most = max(len(summary.sequences) for summary in summaries.values())
    with _style():
        figure, axes = _blank_figure(SIZE)
        for place, (tracker, score, which) in enumerate(ranked):
            summary = summaries[tracker]
            count = f", {len(summary.sequences)} sequences" if len(summary.sequences) < most else ""
            label, line = f"[{score:.3f}] {_short(tracker)}{count}", _line(which)
            curve = getattr(summary.overall, plot.curve)
            axes.plot(plot.thresholds, curve, label=label, zorder=4 if which == 0 else 3 - place / 1000, **line)
        axes.set(xlabel=plot.axes[0], ylabel=plot.axes[1], ylim=(0, 1), yticks=np.linspace(0, 1, 11))
        axes.set_xlim(plot.thresholds[0], plot.thresholds[-1])
        axes.set_xticks(plot.thresholds[:: (len(plot.thresholds) - 1) // 10])
        _title(axes, plot.title, next(iter(summaries.values())).title)
        _emphasise(axes.legend(loc=plot.legend, fontsize=8 if len(ranked) < 8 else 7), ranked)
    return figure


def _draw_attributes(summaries: Mapping[str, Summary]) -> "matplotlib.figure.Figure | None":
    summary = next(iter(summaries.values()))
    means = sorted(summary.attributes.items(), key=lambda item: item[1].success_auc)
    if not means:
        return None
    ranked = rank("success", summaries)
    with _style():
        figure, axes = _blank_figure((9.6, 1.3 + 0.34 * max(len(means), len(ranked) * 0.7)))
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.hlines(range(len(means)), 0, 1, colors=RULE, linewidths=0.7, zorder=1)
        for tracker, score, which in ranked:
            theirs = summaries[tracker].attributes
            points = [(theirs[key].success_auc, row) for row, (key, _) in enumerate(means) if key in theirs]
            x, y = zip(*points, strict=True) if points else ((), ())
            size, layer = (75, 4) if which == 0 else (26, 3)
            look = {
                "color": COLOURS[colour(which)],
                "edgecolors": PAPER,
                "linewidths": 0.6,
                "marker": MARKERS[which % len(MARKERS)],
            }
            axes.scatter(x, y, size, label=f"[{score:.3f}] {_short(tracker)}", zorder=layer, **look)
        for row, (_, mean) in enumerate(means):
            place = {"xycoords": ("axes fraction", "data"), "ha": "left", "va": "center"}
            axes.annotate(f"{mean.success_auc:.3f}", (1.01, row), color=COLOURS[0], weight="bold", **place)
        counts = [sum(key in score.attributes for score in summary.sequences.values()) for key, _ in means]
        labels = [f"{ATTRIBUTES[key]} ({count})" for (key, _), count in zip(means, counts, strict=True)]
        axes.set_yticks(range(len(means)), labels)
        axes.tick_params(axis="y", length=0)
        axes.set(ylim=(-0.6, len(means) - 0.4), xlabel="Success AUC; in brackets, sequences with the attribute")
        values = [value for line in axes.collections[1:] for value in np.ma.getdata(line.get_offsets())[:, 0]]
        axes.set_xlim(max(0, min(values) - 0.03), min(1, max(values) + 0.03))
        _title(axes, "Success by attribute", summary.title)
        _emphasise(axes.legend(loc="center left", bbox_to_anchor=(1.08, 0.5), fontsize=8), ranked)
    return figure


def _blank_figure(size: tuple[float, float]) -> tuple["matplotlib.figure.Figure", "matplotlib.axes.Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(size, layout="constrained")
    return figure, figure.subplots()


def _title(axes: "matplotlib.axes.Axes", title: str, dataset: str) -> None:
    axes.set_title(title, loc="left", weight="bold", fontsize=10.5, pad=20)
    axes.annotate(printable(dataset), (0, 1), xytext=(0, 7), xycoords="axes fraction", textcoords="offset points")


def _emphasise(legend, ranked: list[tuple[str, float, int]]) -> None:
    for text, (_, _, which) in zip(legend.get_texts(), ranked, strict=True):
        text.set_weight("bold" if which == 0 else "normal")


def _line(place: int) -> dict:
    others = place - 1
    dash = DASHES[0] if place == 0 else DASHES[(others + others // (len(COLOURS) - 1)) % len(DASHES)]
    return {"color": COLOURS[colour(place)], "linestyle": dash, "linewidth": 2.6 if place == 0 else 1.3}


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


@contextmanager
def _style() -> Iterator[None]:
    """Sets our own style, whatever the user's is."""
    try:
        from matplotlib import style
    except ImportError:
        raise MissingExtraError("matplotlib", "plots", "drawing plots") from None
    # matplotlib warns of letters that its font lacks; they show as boxes.
    with style.context(["default", STYLE]), warnings.catch_warnings(action="ignore"):
        yield


def _image(figure: "matplotlib.figure.Figure") -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with _style():
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())


def _svg(figure: "matplotlib.figure.Figure", *, as_text: bool = False) -> str:
    """SVG file of a figure; its letters as outlines, or as text in whatever font there is."""
    from matplotlib import rcParams
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with _style():
        rcParams["svg.fonttype"] = "none" if as_text else "path"
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(buffer, metadata=nothing)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _embed(svg: str, name: str, description: str) -> str:
    """SVG element of a page from an SVG file, with identifiers and colours of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\s*|<style.*?</style>| xmlns(:xlink)?=\"[^\"]*\"", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg.replace("xlink:href", "href"))
    for place, own in enumerate(COLOURS):
        svg = svg.replace(own, f"var(--tracker-{place})")
    for own, variable in ((INK, "currentColor"), (RULE, "var(--rule)"), (PAPER, "var(--paper)")):
        svg = svg.replace(own, variable)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(printable(description))}"', 1)
