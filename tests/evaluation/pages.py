"""A case to report about, with hostile names."""

from dataclasses import replace

import numpy as np
from layouts import boxes_of, otb, write_images

from mfst_jax.evaluation import Results, load, report, score, write_result

HOSTILE = ("<script>alert(1)<script>", '"><img src=x onerror=alert(1)>', "$title & 'co'")
FAR = "<i>far"
LENGTHS = (9, 12, 14)
SHIFTS = {"ours": (4, 9, 0), "near": (6, 3, 2), FAR: (20, 2, 9)}
"""Pixels that each tracker is off on each sequence."""
CONFIG = {"scale_step": 1.025, "layers": ("conv4", "conv5"), "note": "<b>bold</b>"}


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
