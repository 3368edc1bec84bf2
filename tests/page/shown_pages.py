"""Pages of a track in a real browser: what they show of it."""

from pathlib import Path
from typing import Any

import numpy as np
from browser import Page
from track_pages import COUNT, LOST, box_of, true_box_of

SHOWN = "Number(document.documentElement.dataset.frame)"
LAST = COUNT - 1


def load(page: Page, file: Path, *, width: int = 1280, height: int = 900, scheme: str = "light") -> Page:
    page.resize(width, height, scheme)
    page.open(file)
    page.wait_for(SHOWN, 0)
    return page


def pixels(page: Page, canvas: str, x: int, y: int, width: int = 1, height: int = 1) -> np.ndarray:
    """What a canvas of the page shows: [height, width, 4], red, green, blue and opacity. Read from a copy of it."""
    copy = (
        f"(() => {{ const from = document.getElementById('{canvas}'), to = document.createElement('canvas');"
        "to.width = from.width; to.height = from.height;"
        "const brush = to.getContext('2d', {willReadFrequently: true}); brush.drawImage(from, 0, 0);"
        f"return [...brush.getImageData({x}, {y}, {width}, {height}).data]; }})()"
    )
    return np.array(page.evaluate(copy)).reshape(height, width, 4)


def rectangles(page: Page, kind: str) -> list[list[float]]:
    read = "['x', 'y', 'width', 'height'].map(name => Number(each.getAttribute(name)))"
    return page.evaluate(f"[...document.querySelectorAll('#boxes .{kind}')].map(each => {read})")


def check_frame(page: Page, number: int) -> None:
    """The picture, its boxes, and all that is said, belong to one frame."""
    page.wait_for(SHOWN, number)
    np.testing.assert_allclose(pixels(page, "picture", 5, 5)[0, 0], [20 * number] * 3 + [255], atol=2)
    assert rectangles(page, "box") == [box_of(number)]
    assert rectangles(page, "truth") == ([] if number == 6 else [true_box_of(number)])
    dashes = page.evaluate("getComputedStyle(document.querySelector('#boxes .box')).strokeDasharray")
    lost = any(first <= number <= last for first, last in LOST)
    assert (dashes != "none") == lost
    assert page.evaluate("document.getElementById('position').textContent").startswith(f"{number} / {LAST} · ")
    assert page.evaluate("document.getElementById('chart').getAttribute('aria-valuenow')") == str(number)
    for place in ("#labels", "#targets", "#chart"):
        words = page.evaluate(f"(e => e.textContent + e.ariaValueText)(document.querySelector({place!r}))")
        assert ("lost" in words) == lost, (place, words)


def value_of(page: Page, selector: str) -> Any:
    return page.evaluate(f"document.querySelector({selector!r}).textContent")
