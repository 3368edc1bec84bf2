"""The page in a real browser: the right box on the right frame, however one gets there."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Page
from shown_pages import LAST, SHOWN, check_frame, load, pixels, rectangles
from track_pages import COUNT, true_box_of, write_page

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture
def shown(chromium: Page, file: Path) -> Iterator[Page]:
    """The page of the made-up track, at its first frame. At the end it has nothing to complain about."""
    yield load(chromium, file)
    assert chromium.complaints() == [], json.dumps(chromium.complaints())


def test_it_opens_on_the_first_frame(shown: Page):
    check_frame(shown, 0)


def test_every_frame_has_its_own_box_and_picture(shown: Page):
    for number in range(1, COUNT):
        shown.press("ArrowRight")
        check_frame(shown, number)
    shown.press("ArrowRight")
    check_frame(shown, LAST)


def test_keys(shown: Page):
    for key, expected in [
        ("End", LAST),
        ("ArrowLeft", LAST - 1),
        ("Home", 0),
        ("n", 3),
        ("n", 7),
        ("p", 3),
        ("p", 3),
        ("n", 7),
        ("n", 10),
        ("n", 10),
    ]:
        shown.press(key)
        check_frame(shown, expected)
    shown.press("Home")
    check_frame(shown, 0)
    shown.press("ArrowRight", shift=True)
    check_frame(shown, 10)
    shown.press("ArrowLeft", shift=True)
    check_frame(shown, 0)


def test_fast_scrubbing_ends_on_the_frame_that_was_asked_for_last(shown: Page):
    for _ in range(3):
        shown.press("End")
        shown.press("Home")
        shown.press("ArrowRight")
        shown.press("ArrowRight")
    check_frame(shown, 2)


def test_space_plays_to_the_end_and_pauses(shown: Page):
    shown.press(" ")
    assert shown.evaluate("document.getElementById('play').ariaLabel") == "Pause"
    shown.wait_for("document.getElementById('play').ariaLabel", "Play")
    check_frame(shown, LAST)
    shown.evaluate("document.getElementById('speed').value = '0.25'")
    shown.press(" ")  # from the first frame again
    shown.wait_for(f"{SHOWN} < {LAST}")
    shown.wait_for(f"{SHOWN} >= 2")
    shown.press(" ")
    number = shown.evaluate(SHOWN)
    assert number < LAST
    check_frame(shown, number)


def test_buttons(shown: Page):
    for button, expected in [("next-lost", 3), ("forward", 4), ("back", 3), ("next-lost", 7), ("previous-lost", 3)]:
        shown.click(f"#{button}")
        check_frame(shown, expected)
    # A click does not take the space bar away from playing.
    shown.press(" ")
    shown.wait_for(SHOWN, LAST)
    shown.click("#play")
    shown.wait_for(f"{SHOWN} < {LAST}")


def test_lost_stretches_are_shaded_and_a_click_goes_there(shown: Page):
    shades = "[...document.querySelectorAll('.shade')].map(e => [e.x.baseVal.value, e.width.baseVal.value])"
    assert shown.evaluate(shades) == [[2.5, 2], [6.5, 1], [9.5, 1.5]]
    for place in (".lane button", "#stretches button"):
        names = shown.evaluate(f"[...document.querySelectorAll({place!r})].map(e => e.ariaLabel)")
        assert [name.split(",")[0] for name in names] == [
            "Lost in frames 3–4",
            "Lost in frame 7",
            "Lost in frames 10–end",
        ]
    shown.click(".lane button:nth-of-type(2)")
    check_frame(shown, 7)
    shown.click("#stretches li:nth-child(3) button")
    check_frame(shown, 10)
    current = "[...document.querySelectorAll('[aria-current]')].map(e => e.ariaLabel.split(',')[0])"
    assert shown.evaluate(current) == ["Lost in frames 10–end"] * 2
    assert "lost in 5 frames" in shown.evaluate("document.getElementById('summary').textContent")


def test_the_chart_is_dragged_over(shown: Page):
    box = shown.evaluate("document.getElementById('chart').getBoundingClientRect().toJSON()")

    def place(number: float) -> tuple[float, float]:
        return box["x"] + box["width"] * number / LAST, box["y"] + box["height"] / 2

    shown.drag(place(2), place(2))
    check_frame(shown, 2)
    shown.drag(place(2), place(8.6))
    check_frame(shown, 9)
    shown.drag(place(5), (box["x"] + 2 * box["width"], box["y"]))
    check_frame(shown, LAST)


def test_an_address_can_name_a_frame(shown: Page):
    shown.evaluate("location.hash = '#7'")
    check_frame(shown, 7)


def test_ground_truth_and_search_region_can_be_hidden(shown: Page):
    shown.press("n")
    check_frame(shown, 3)
    shown.press("t")
    assert rectangles(shown, "truth") == []
    shown.press("t")
    assert rectangles(shown, "truth") == [true_box_of(3)]
    assert rectangles(shown, "region") == []
    shown.click("#show-region")
    ((x, y, width, height),) = rectangles(shown, "region")
    # Around the box before: 30 x 24 pixels, with a context of 27 on either axis.
    side = np.sqrt(57 * 51) * 255 / 127
    assert (width, height) == pytest.approx((side, side), abs=0.01)
    assert (x + (side - 1) / 2, y + (side - 1) / 2) == pytest.approx((30 + 14.5, 40 + 11.5), abs=0.02)


def brightest(page: Page) -> tuple[float, float]:
    """Where the response map has its peak, as shares of its width and height: viridis ends in yellow."""
    map_pixels = pixels(page, "response", 0, 0, 255, 255)
    yellow = (map_pixels[:, :, 0] > 200) & (map_pixels[:, :, 2] < 90)
    rows, columns = np.nonzero(yellow)
    return float(columns.mean()) / 254, float(rows.mean()) / 254


def test_the_map_and_the_region_are_those_of_the_frame(shown: Page):
    assert "given, not searched" in shown.evaluate("document.getElementById('search-note').textContent")
    for number in (4, 9):
        shown.evaluate(f"location.hash = '#{number}'")
        check_frame(shown, number)
        assert shown.evaluate("document.getElementById('search-note').textContent") == ""
        # The peak's 16 samples begin at sample 8 times the number, and at sample 128 from above.
        assert brightest(shown) == pytest.approx(((8 * number + 8) / 272, 136 / 272), abs=0.02)
        np.testing.assert_allclose(pixels(shown, "region", 60, 128)[0, 0], [20 * number] * 3 + [255], atol=2)
