"""Colours that stay apart, under simulated colour blindness too: of trackers in a report, of targets on a page."""

COLOURS = ("#c44e00", "#3d7bd6", "#0e5c4a", "#b04fb8", "#2b1c80", "#5d5210", "#c4808c")
"""On white: the first one's, then the others' in turn."""
BRIGHT_COLOURS = ("#ffb000", "#3f86f5", "#a9ecc9", "#e878e8", "#7f55d9", "#93871f", "#d08a80")
"""The same hues on dark grounds and on pictures; the first is `annotate.TRACKED`, and all are apart from
`annotate.TRUE` too."""


def colour(place: int) -> int:
    """Which of `COLOURS` the one at `place` has. The first one's is its own; the others repeat after the last."""
    return 0 if place == 0 else 1 + (place - 1) % (len(COLOURS) - 1)
