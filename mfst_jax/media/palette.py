"""Colours of trackers and targets, which stay apart under simulated colour blindness too."""

COLOURS = ("#c44e00", "#3d7bd6", "#0e5c4a", "#b04fb8", "#2b1c80", "#5d5210", "#c4808c")
"""Colours on white: the first tracker or target has the first one, the others take the rest in turn."""
BRIGHT_COLOURS = ("#ffb000", "#3f86f5", "#a9ecc9", "#e878e8", "#7f55d9", "#93871f", "#d08a80")
"""Colours of the same hues for dark grounds and for pictures. The first is `drawing.TRACKED`, and all are apart from
`drawing.TRUE` too."""


def colour(place: int) -> int:
    """Index in `COLOURS` of the tracker or target at `place`.

    The first one has its own colour; the others repeat after the last.
    """
    return 0 if place == 0 else 1 + (place - 1) % (len(COLOURS) - 1)


def on_pictures(place: int) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255 each, of the tracker or target at `place` on a picture."""
    red, green, blue = bytes.fromhex(BRIGHT_COLOURS[colour(place)][1:])
    return red, green, blue


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance of a screen colour, from 0 for black to 1 for white, as WCAG defines it."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (part / 255 for part in colour)
    ]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
