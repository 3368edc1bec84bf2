"""The page in a real browser: the right box on the right frame, however one gets there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Page
from PIL import Image
from track_pages import COUNT, LOST, box_of, frame_of, true_box_of, write_page

from mfst_jax.page import PageTarget, PageWriter

SHOWN = "Number(document.documentElement.dataset.frame)"
THEME = "document.documentElement.dataset.theme"
LAST = COUNT - 1

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("page") / "page.html")


def load(page: Page, file: Path, *, width: int = 1280, height: int = 900, scheme: str = "light") -> Page:
    page.resize(width, height, scheme)
    page.open(file)
    page.wait_for(SHOWN, 0)
    return page


@pytest.fixture
def shown(chromium: Page, file: Path) -> Iterator[Page]:
    """The page of the made-up track, at its first frame. At the end it has nothing to complain about."""
    yield load(chromium, file)
    assert chromium.complaints() == [], json.dumps(chromium.complaints())


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


def test_light_and_dark_follow_the_system_and_can_be_chosen(chromium: Page, file: Path, tmp_path: Path):
    def ground() -> int:
        chromium.screenshot(tmp_path / "shot.png")
        with Image.open(tmp_path / "shot.png") as shot:
            return shot.convert("L").getpixel((2, 2))

    page = load(chromium, file, scheme="dark")
    assert page.evaluate(THEME) == "dark"
    assert ground() < 50
    page.resize(1280, 900, "light")
    page.wait_for(THEME, "light")
    assert ground() > 200
    page.click("#theme")
    assert page.evaluate(THEME) == "dark"
    assert ground() < 50
    page.press("d")
    assert page.evaluate(THEME) == "light"


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("several", [False, True])
def test_nothing_overflows_on_phones_and_desktops(chromium: Page, tmp_path: Path, width: int, several: bool):
    file = write_page(tmp_path / "page.html", several=several, name="a-name-of-a-video-without-any-space-in-it-" * 3)
    page = load(chromium, file, width=width, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = "[...document.querySelectorAll('.transport button')].map(e => Math.min(e.offsetWidth, e.offsetHeight))"
    assert min(page.evaluate(sizes)) >= 40
    stage = page.evaluate("document.getElementById('stage').getBoundingClientRect().toJSON()")
    assert stage["width"] / stage["height"] == pytest.approx(160 / 120, rel=0.01)
    assert page.complaints() == []


def test_several_targets_have_a_lane_each_and_one_is_chosen(chromium: Page, tmp_path: Path):
    page = load(chromium, write_page(tmp_path / "page.html", several=True))
    assert rectangles(page, "box") == [box_of(0), [5.0, 5.0, 20.0, 20.0]]
    colours = "[...document.querySelectorAll('#boxes .box')].map(e => getComputedStyle(e).stroke)"
    assert len(set(page.evaluate(colours))) == 2
    assert page.evaluate("document.querySelectorAll('.lane').length") == 2
    name = "document.getElementById('search-name').textContent"
    assert page.evaluate(name) == "car"
    page.press("2")
    assert page.evaluate(name) == "bike"
    assert page.evaluate("document.querySelector('[aria-pressed=true] .name').firstChild.data") == "bike"
    page.click("#targets button:first-child")
    assert page.evaluate(name) == "car"
    page.press("n")
    page.wait_for(SHOWN, 3)
    assert page.complaints() == []


def test_the_curve_of_the_chosen_target_lies_above_the_paler_others(chromium: Page, tmp_path: Path):
    page = load(chromium, write_page(tmp_path / "page.html", several=True))
    curves = "[...document.querySelectorAll('#curves .score')].map(e => [e.id, getComputedStyle(e).strokeOpacity])"
    assert page.evaluate(curves) == [["curve-1", "0.45"], ["curve-0", "1"]]  # what is drawn last lies above
    page.press("2")
    assert page.evaluate(curves) == [["curve-0", "0.45"], ["curve-1", "1"]]


@pytest.mark.parametrize("width", [390, 1280])
def test_many_targets_are_counted_and_their_lists_scroll(chromium: Page, tmp_path: Path, width: int):
    targets = [PageTarget(f"number {number}") for number in range(20)]
    with PageWriter(tmp_path / "page.html", name="crowd", size=(120, 160), fps=25, targets=targets, count=3) as page:
        for number in range(3):
            boxes = np.array([[8.0 * place, 50, 6, 9 + number] for place in range(20)])
            page.write(frame_of(number), boxes, np.where(np.arange(20) % 2, 0.9, 0.1))
    shown = load(chromium, tmp_path / "page.html", width=width)
    assert value_of(shown, "#summary").endswith(" · 20 targets, 10 of them lost for some time")
    assert "number" not in value_of(shown, "#legend")
    assert len(rectangles(shown, "box")) == 20
    for place in ("targets", "lanes"):
        height, content = shown.evaluate(f"(e => [e.clientHeight, e.scrollHeight])(document.getElementById('{place}'))")
        assert height < 450
        assert content > height
    for _ in range(2):
        shown.click("#targets button:last-child")  # within a list that has been scrolled
        assert value_of(shown, "#search-name") == "number 19"
        shown.press("ArrowRight")
    visible = (
        "(([list, row]) => list.top <= row.top + 1 && row.bottom <= list.bottom + 1)"
        "(['#targets', '#targets [aria-pressed=true]'].map(s => document.querySelector(s).getBoundingClientRect()))"
    )
    assert shown.evaluate(visible)
    shown.press("1")
    assert shown.evaluate(visible)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.complaints() == []


def test_a_page_of_some_pictures_shows_those_alone(chromium: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from mfst_jax.page import writer

    monkeypatch.setattr(writer, "MOST_PICTURES", 5)
    page = load(chromium, write_page(tmp_path / "page.html"))
    for key, expected in [("ArrowRight", 4), ("ArrowRight", 8), ("ArrowRight", 8), ("End", 8), ("p", 4), ("Home", 0)]:
        page.press(key)
        check_frame(page, expected)
    assert "3 of 12 frames can be shown" in page.evaluate("document.getElementById('legend').textContent")


def test_a_page_of_one_frame(chromium: Page, tmp_path: Path):
    page = load(chromium, write_page(tmp_path / "page.html", count=1))
    page.press("ArrowRight")
    page.press(" ")
    page.press("n")
    assert rectangles(page, "box") == [box_of(0)]
    assert page.evaluate("document.getElementById('lost-note').textContent").startswith("Never.")
    assert page.complaints() == []


def value_of(page: Page, selector: str) -> Any:
    return page.evaluate(f"document.querySelector({selector!r}).textContent")


def test_a_page_without_maps_says_how_to_get_them(chromium: Page, tmp_path: Path):
    page = load(chromium, write_page(tmp_path / "page.html", maps=False))
    page.press("End")
    check_frame(page, LAST)
    assert "mfst track --page keeps them" in value_of(page, "#search-note")
    assert value_of(page, "#facts div:first-child") == "weights<b>bold</b>"


def test_frames_are_named_as_in_the_video_where_tracking_began_later(chromium: Page, tmp_path: Path):
    page = write_page(tmp_path / "later.html", first=40)
    chromium.resize(1280, 900)
    position = "document.getElementById('position').textContent"
    chromium.open(page)
    chromium.wait_for(SHOWN, 40)
    assert chromium.evaluate(position) == "40 / 51 · 1.60 s"
    chromium.press("n")
    chromium.wait_for(SHOWN, 43)
    assert rectangles(chromium, "box") == [box_of(3)]
    assert chromium.evaluate("document.getElementById('stretches').textContent") == "43–444750–end"
    values = chromium.evaluate("['min', 'now', 'max', 'text'].map(e => chart.getAttribute(`aria-value${e}`))")
    assert values[:3] == ["40", "43", "51"]
    assert values[3].startswith("Frame 43 of 51;")
    chromium.evaluate("location.hash = '#47'")
    chromium.wait_for(SHOWN, 47)
    assert rectangles(chromium, "box") == [box_of(7)]
    np.testing.assert_allclose(pixels(chromium, "picture", 5, 5)[0, 0], [140] * 3 + [255], atol=2)
    chromium.press("End")
    chromium.wait_for(SHOWN, 51)
    assert chromium.complaints() == []
