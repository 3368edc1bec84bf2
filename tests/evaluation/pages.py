"""A case to report about, with hostile names, and a page's elements."""

from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import numpy as np
from layouts import boxes_of, otb, write_images

from mfst_jax.evaluation import Results, load, report, score, write_result

VOID = {"meta", "link", "br", "img"}
HOSTILE = ("<script>alert(1)<script>", '"><img src=x onerror=alert(1)>', "$title & 'co'")
FAR = "<i>far"
LENGTHS = (9, 12, 14)
SHIFTS = {"ours": (4, 9, 0), "near": (6, 3, 2), FAR: (20, 2, 9)}
"""Pixels that each tracker is off on each sequence."""
CONFIG = {"scale_step": 1.025, "layers": ("conv4", "conv5"), "note": "<b>bold</b>"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: "Element | None"
    children: list["Element"] = field(default_factory=list)
    text: str = ""
    """With that of the elements inside."""


class Tree(HTMLParser):
    """The elements of a page, every one of which must be closed."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        element = Element(tag, dict(attrs), self.open[-1] if self.open else None)
        self.elements.append(element)
        if element.parent is not None:
            element.parent.children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        for element in self.open:
            element.text += data

    def all(self, tag, **attributes):
        return [
            each
            for each in self.elements
            if each.tag == tag and all(each.attributes.get(name) == value for name, value in attributes.items())
        ]

    def table(self, label):
        """The cells of a table's body, row by row."""
        (region,) = self.all("div", **{"aria-label": label})
        rows = [row for row in self.all("tr") if row.parent.tag == "tbody" and row.parent.parent.parent is region]
        return [row.children for row in rows]

    def strip(self, sequence):
        """The element with the frames of a sequence."""
        (head,) = [each for each in self.all("h3") if each.text == sequence]
        return head.parent.parent


def values_of(cells):
    return [float(cell.attributes["data-value"]) for cell in cells if cell.attributes.get("data-value")]


class Case:
    """Sequences with hostile names, a tracker of ours and two others, and the report about them."""

    def __init__(self, folder):
        self.folder, self.others = folder, {}
        for name, count in zip(HOSTILE, LENGTHS, strict=True):
            otb(folder / "data", name, boxes_of(count))
            write_images(folder / "data" / name / "img", range(1, count + 1), size=(90, 120))
        for tracker, shifts in SHIFTS.items():
            for name, count, shift in zip(HOSTILE, LENGTHS, shifts, strict=True):
                write_result(folder / tracker, name, np.add(boxes_of(count), (shift, 0, 0, 0)), np.full(count, 0.05))

    def write(self, name="report.html", images=True, **fields):
        """The page and our summary, with some of its fields as given."""
        self.dataset = load(self.folder / "data", "folder", images=images)
        trackers = {tracker: Results(self.folder / tracker) for tracker in SHIFTS}
        summaries = {tracker: score(results, self.dataset) for tracker, results in trackers.items()}
        ours = replace(summaries.pop("ours"), **fields)
        self.others = {tracker: (trackers[tracker], summary) for tracker, summary in summaries.items()}
        path = self.folder / name
        report.write(path, self.dataset, trackers["ours"], ours, self.others)
        return path.read_text(), ours
