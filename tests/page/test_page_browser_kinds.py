"""Pages of other tracks and in other windows: several targets, few pictures, one frame, no maps, phones, the dark."""

from pathlib import Path

import numpy as np
import pytest
from browser import Page
from PIL import Image
from shown_pages import LAST, SHOWN, check_frame, load, pixels, rectangles, value_of
from track_pages import box_of, frame_of, write_page

from mfst_jax.page import PageTarget, PageWriter

THEME = "document.documentElement.dataset.theme"

pytestmark = pytest.mark.timeout(180)


def test_light_and_dark_follow_the_system_and_can_be_chosen(chromium: Page, tmp_path: Path):
    def ground() -> int:
        chromium.screenshot(tmp_path / "shot.png")
        with Image.open(tmp_path / "shot.png") as shot:
            return shot.convert("L").getpixel((2, 2))

    page = load(chromium, write_page(tmp_path / "page.html"), scheme="dark")
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
