"""Targets drawn in a real browser, with its own mouse, touch and keyboard events."""

import time
from pathlib import Path

import numpy as np
import pytest
from browser import Page
from selections import at, draw, made_up, opened

from mfst_jax.errors import InputError
from mfst_jax.media.sources import demo_source
from mfst_jax.select import server

pytestmark = pytest.mark.timeout(120)


def hold(page: Page, key: str, modifiers: int) -> None:
    for kind in ("keyDown", "keyUp"):
        page.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, modifiers=modifiers)


def test_a_box_drawn_with_the_mouse_is_the_target_and_enter_starts(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        draw(chromium, 20, 30, 60, 80)
        chromium.press("Enter")
        selection = outcome.result(10)
        chromium.wait_for("document.documentElement.dataset.state", "over")
        for event in chromium.complaints():
            assert event["params"]["request"]["url"].startswith("http://127.0.0.1:"), event
    assert selection.first_frame == 0
    assert [target.name for target in selection.targets] == ["target"]
    np.testing.assert_allclose(selection.targets[0].box, (20, 30, 40, 50), atol=0.3)


def test_a_box_drawn_beyond_the_frame_ends_at_its_edge(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        draw(chromium, 140, 100, 175, 140)
        chromium.press("Enter")
        np.testing.assert_allclose(outcome.result(10).targets[0].box, (140, 100, 20, 20), atol=0.3)


def test_a_box_is_moved_inside_and_resized_at_a_corner(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        draw(chromium, 20, 30, 60, 80)
        draw(chromium, 40, 50, 50, 45)
        draw(chromium, 70, 75, 90, 85)
        chromium.press("Enter")
        np.testing.assert_allclose(outcome.result(10).targets[0].box, (30, 25, 60, 60), atol=0.5)


def test_everything_can_be_done_by_keyboard(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        chromium.press("n")  # 60, 45, 40, 30
        chromium.press("ArrowRight")
        chromium.press("ArrowDown", shift=True)
        hold(chromium, "ArrowLeft", 1)  # alt
        hold(chromium, "ArrowDown", 2 + 8)  # ctrl and shift
        chromium.press("n")
        chromium.press("Delete")
        chromium.press("Enter")
        assert outcome.result(10).targets[0].box == (61, 55, 39, 40)


def test_several_boxes_have_names(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        draw(chromium, 10, 10, 40, 40)
        draw(chromium, 80, 60, 120, 100)
        chromium.click("#targets li:nth-child(2) input")
        chromium.send("Input.insertText", text="<b>ähre</b>")
        chromium.press("Enter")
        assert [target.name for target in outcome.result(10).targets] == ["1", "<b>ähre</b>"]


def test_touch_draws_and_two_fingers_zoom(chromium: Page):
    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        chromium.send("Input.dispatchTouchEvent", type=kind, touchPoints=touches)

    with opened(chromium, made_up(), width=390, height=800) as outcome:
        a, b = at(chromium, 60, 60), at(chromium, 100, 60)
        touch("touchStart", a)
        touch("touchStart", a, b)
        touch("touchMove", at(chromium, 40, 60), at(chromium, 120, 60))
        touch("touchEnd")
        assert chromium.evaluate("zoom") > 1.5
        assert chromium.evaluate("boxes.length") == 0
        touch("touchStart", at(chromium, 70, 50))
        touch("touchMove", at(chromium, 95, 75))
        touch("touchEnd")
        chromium.click("#start")
        np.testing.assert_allclose(outcome.result(10).targets[0].box, (70, 50, 25, 25), atol=0.7)


@pytest.mark.parametrize(("width", "height"), [(1280, 700), (390, 700)])
def test_with_many_boxes_start_and_what_is_wrong_stay_in_sight(chromium: Page, width: int, height: int):
    with opened(chromium, made_up(), width=width, height=height) as outcome:
        for _ in range(12):
            chromium.press("n")
        chromium.evaluate("boxes[11].name = 'a,b'; scrollTo(0, 0)")
        chromium.press("Enter")
        chromium.wait_for("document.getElementById('message').textContent.includes('without a comma')")
        bottoms = "['#message', '#start'].map(each => document.querySelector(each).getBoundingClientRect().bottom)"
        assert max(chromium.evaluate(bottoms)) <= height
        chromium.press("Escape")
        assert isinstance(outcome.exception(10), InputError)


def test_escape_cancels(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        chromium.press("Escape")
        with pytest.raises(InputError, match="cancelled"):
            outcome.result(10)


def test_without_a_box_and_with_an_unsound_name_the_page_says_so(chromium: Page):
    said = "document.getElementById('message').textContent"
    with opened(chromium, made_up()) as outcome:
        chromium.press("Enter")
        chromium.wait_for(said, "Draw a box around an object first.")
        draw(chromium, 10, 10, 40, 40)
        chromium.evaluate("boxes[0].name = 'a,b'")
        chromium.press("Enter")
        chromium.wait_for(f"{said}.includes('without a comma')")
        chromium.press("Escape")
        assert isinstance(outcome.exception(10), InputError)


def test_with_shift_a_box_is_drawn_inside_another_and_a_button_removes_it(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        draw(chromium, 20, 20, 140, 100)
        start, end = at(chromium, 40, 40), at(chromium, 70, 60)
        for kind, (x, y), down in (("mousePressed", start, 1), ("mouseMoved", end, 1), ("mouseReleased", end, 0)):
            chromium.send(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=down, clickCount=1, modifiers=8
            )
        assert chromium.evaluate("boxes.length") == 2
        chromium.click("#targets li:nth-child(1) button")
        chromium.evaluate("document.activeElement.blur()")
        chromium.press("Enter")
        (target,) = outcome.result(10).targets
    np.testing.assert_allclose(target.box, (40, 40, 30, 20), atol=0.3)


def test_escape_in_a_field_leaves_the_field(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        draw(chromium, 20, 20, 60, 60)
        for field in ("#targets input", "#number", "#slider"):
            chromium.evaluate(f"document.querySelector('{field}').focus()")
            chromium.press("Escape")
            assert chromium.evaluate("document.activeElement === document.body")
        assert not outcome.done()
        chromium.press("Enter")
        assert len(outcome.result(10).targets) == 1


def test_escape_gives_up_what_is_being_drawn(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        for kind, place, down in (("mousePressed", (20, 20), 1), ("mouseMoved", (60, 60), 1)):
            x, y = at(chromium, *place)
            chromium.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=down, clickCount=1)
        assert chromium.evaluate("boxes.length") == 1
        chromium.press("Escape")
        assert chromium.evaluate("boxes.length") == 0
        assert not outcome.done()
        x, y = at(chromium, 60, 60)
        chromium.send("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)
        draw(chromium, 30, 30, 70, 70)
        chromium.press("Enter")
        np.testing.assert_allclose(outcome.result(10).targets[0].box, (30, 30, 40, 40), atol=0.3)


def test_a_page_that_is_closed_ends_it_and_one_that_is_reloaded_does_not(
    chromium: Page, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "REOPENING", 1.0)
    with opened(chromium, made_up()) as outcome:
        address = chromium.evaluate("location.href")
        chromium.open(address)
        chromium.wait_for("document.documentElement.dataset.state", "ready")
        time.sleep(1.5)
        assert not outcome.done()
        chromium.open("about:blank")
        with pytest.raises(InputError, match=f"--select: expected targets from {address}, but the page was closed"):
            outcome.result(10)


def test_a_page_says_when_mfst_has_ended(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        address = chromium.evaluate("location.href")
        cancel = "fetch('cancel', {method: 'POST', body: ''})"  # as another page of the same address would
        chromium.evaluate(cancel)
        with pytest.raises(InputError, match="cancelled"):
            outcome.result(10)
        assert chromium.evaluate("location.href") == address
        chromium.wait_for("document.getElementById('hint').textContent", "mfst has ended. This page can be closed.")
        assert chromium.evaluate("document.getElementById('start').disabled")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(chromium: Page, width: int, scheme: str, tmp_path: Path):
    with opened(chromium, demo_source(), width, 844 if width < 500 else 800, scheme) as outcome:
        for number in (0, 1):
            chromium.press("n")
            for _ in range(9 * number):
                chromium.press("ArrowRight", shift=True)
        chromium.screenshot(tmp_path / f"select-{width}-{scheme}.png")
        assert chromium.evaluate("document.documentElement.scrollWidth") == width
        chromium.press("Escape")
        assert isinstance(outcome.exception(10), InputError)
