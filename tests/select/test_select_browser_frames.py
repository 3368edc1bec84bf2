"""The frame in which tracking starts, chosen in a real browser: by slider, by number, or from a webcam's picture."""

import time
from dataclasses import replace

import pytest
from browser import Page
from selections import draw, made_up, opened

pytestmark = pytest.mark.timeout(120)


def test_the_slider_chooses_the_frame_in_which_tracking_starts(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        chromium.evaluate("document.getElementById('slider').focus()")
        for _ in range(3):
            chromium.send("Input.dispatchKeyEvent", type="rawKeyDown", key="ArrowRight", windowsVirtualKeyCode=39)
            chromium.send("Input.dispatchKeyEvent", type="keyUp", key="ArrowRight", windowsVirtualKeyCode=39)
        chromium.wait_for("document.documentElement.dataset.frame", "3")
        draw(chromium, 20, 30, 60, 80)
        chromium.press("Enter")
        selection = outcome.result(10)
    assert selection.first_frame == selection.source.first == 3
    assert [int(frame[0, 0, 0]) for frame in selection.source.frames()] == [60, 80, 100]


def brightness(page: Page) -> float:
    """Of the picture on show, which is grey."""
    return page.evaluate(
        "(() => { const brush = document.createElement('canvas').getContext('2d');"
        "brush.drawImage(picture, 0, 0); return brush.getImageData(20, 20, 1, 1).data[0]; })()"
    )


def test_a_webcam_is_frozen_and_tracking_goes_on_from_there(chromium: Page):
    with opened(chromium, made_up(live=True)) as outcome:
        chromium.wait_for("Number(document.documentElement.dataset.live) > 1")
        early = brightness(chromium)
        chromium.wait_for("Number(document.documentElement.dataset.live) > 3")
        chromium.press(" ")
        chromium.wait_for("document.getElementById('freeze').textContent", "Back to live")
        chromium.wait_for("document.documentElement.dataset.frozen", "true")
        frozen = brightness(chromium)
        assert frozen > early
        draw(chromium, 20, 30, 60, 80)
        time.sleep(0.3)
        assert brightness(chromium) == frozen
        chromium.press("Enter")
        selection = outcome.result(10)
        frames = selection.source.frames()
        drawn_in, following, next_one = (int(next(frames)[0, 0, 0]) for _ in range(3))
        frames.close()
    assert abs(drawn_in - frozen) <= 1  # the page has a JPEG of it
    assert following > drawn_in + 5  # time went on meanwhile
    assert next_one == following + 1
    assert selection.first_frame == selection.source.first == 0


def test_a_webcam_that_is_thawed_is_live_again(chromium: Page):
    with opened(chromium, made_up(live=True)) as outcome:
        chromium.press(" ")
        chromium.wait_for("document.documentElement.dataset.frozen", "true")
        frozen = brightness(chromium)
        chromium.click("#freeze")
        chromium.wait_for("document.documentElement.dataset.frozen", "false")
        seen = chromium.evaluate("Number(document.documentElement.dataset.live)")
        chromium.wait_for(f"Number(document.documentElement.dataset.live) > {seen + 1}")
        assert brightness(chromium) > frozen
        draw(chromium, 20, 30, 60, 80)
        chromium.click("#start")
        assert len(outcome.result(10).targets) == 1


ENTER = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}


def enter_number(page: Page, number: int) -> None:
    """Types a number into its field, and Enter there."""
    page.click("#number")
    page.evaluate("document.getElementById('number').select()")
    page.send("Input.insertText", text=str(number))
    page.send("Input.dispatchKeyEvent", type="keyDown", text="\r", **ENTER)
    page.send("Input.dispatchKeyEvent", type="keyUp", **ENTER)


def test_a_number_may_be_typed_and_enter_in_its_field_does_not_start(chromium: Page):
    with opened(chromium, made_up()) as outcome:
        draw(chromium, 20, 30, 60, 80)
        enter_number(chromium, 4)
        chromium.wait_for("document.documentElement.dataset.frame", "4")
        assert chromium.evaluate("document.getElementById('slider').value") == "4"
        assert abs(brightness(chromium) - 80) <= 1
        assert chromium.evaluate("document.getElementById('start').textContent") == "Start in frame 4"
        assert not outcome.done()
        enter_number(chromium, 99)
        chromium.wait_for("document.documentElement.dataset.frame", "5")
        enter_number(chromium, 5)  # which is on show
        assert outcome.result(10).first_frame == 5


def test_where_nobody_knows_how_many_frames_there_are_one_that_is_not_there_is_said(chromium: Page):
    source = replace(made_up(1200), count=None)
    with opened(chromium, source) as outcome:
        assert chromium.evaluate("document.getElementById('slider').max") == "999"
        enter_number(chromium, 1100)
        chromium.wait_for("document.documentElement.dataset.frame", "1100")
        assert chromium.evaluate("document.getElementById('slider').max") == "2200"
        enter_number(chromium, 1200)
        message = "document.getElementById('message').textContent"
        chromium.wait_for(message, "source made up: expected a frame 1200, found fewer frames")
        assert chromium.evaluate("document.getElementById('number').value") == "1100"
        draw(chromium, 20, 30, 60, 80)
        chromium.press("Enter")
        assert outcome.result(10).first_frame == 1100
