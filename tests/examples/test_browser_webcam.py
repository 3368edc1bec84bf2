"""The page in examples/browser with a webcam: a real browser's camera that shows the built-in clip, or is missing.

Each picture of the camera bears its number, in black and white cells, so that it is known which ones were tracked.
"""

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from browser import Page, find_chromium, open_browser
from PIL import Image

import mfst_jax
from mfst_jax.media.sources import demo_source

BOX = (158, 208, 61, 44)
RATE = 30  # pictures a second: what Chromium takes from a file of JPEG pictures
STILL = 2 * RATE  # pictures of the clip's first frame, before the car begins to move
SLOWER = 12  # pictures of every other frame
MOVED = STILL + 5 * SLOWER  # the car has moved by then
CELLS, SIDE = 9, 16  # binary digits of a picture's number, the last one first, and pixels on a side of one
TRACKED = 4  # frames that a slow machine tracks before the camera's film begins again
STATE = "document.documentElement.dataset.state"
STATUS = "document.getElementById('status').textContent"
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
WATCH = f"""
window.numberShown = () => {{
  const brush = document.getElementById("picture").getContext("2d");
  let number = 0;
  for (let cell = 0; cell < {CELLS}; cell++)
    if (brush.getImageData(cell * {SIDE} + {SIDE // 2}, {SIDE // 2}, 1, 1).data[0] > 127) number += 2 ** cell;
  return number;
}};
window.seen = [];
new MutationObserver(() => seen.push([numberShown(), performance.now()])).observe(
  document.getElementById("boxes"), {{ childList: true }});
const ask = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
if (ask) navigator.mediaDevices.getUserMedia = async (wish) => (window.stream = await ask(wish));
"""
RED_ABOVE_AND_AROUND = """(() => {
  const rows = document.getElementById("boxes").textContent.trim().split("\\n");
  const [, x, y, width, height] = rows.at(-1).split(",").map(Number);
  const brush = document.getElementById("picture").getContext("2d");
  const isRed = (...place) => {
    const { data } = brush.getImageData(...place);
    return [...data.keys()].some((i) => i % 4 === 0 && data[i] === 255 && data[i + 1] === 59 && data[i + 2] === 48);
  };
  return [isRed(x, y - 20, 30, 16), isRed(x - 2, y + height / 2, 5, 1) && isRed(x + width / 2, y + height - 2, 1, 5)];
})()"""
pytestmark = pytest.mark.timeout(300)


def with_number(frame: np.ndarray, number: int) -> np.ndarray:
    marked = frame.copy()
    for cell in range(CELLS):
        marked[:SIDE, cell * SIDE : (cell + 1) * SIDE] = 255 * (number >> cell & 1)
    return marked


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    """JPEG pictures that the camera gives, over and over."""
    frames = [frame for _, frame in zip(range(17), demo_source().frames(), strict=False)]
    shown = [0] * STILL + [index for index in range(1, len(frames)) for _ in range(SLOWER)]
    contents = []
    for number, index in enumerate(shown):
        content = BytesIO()
        Image.fromarray(with_number(frames[index], number)).save(content, "JPEG", quality=92)
        contents.append(content.getvalue())
    return contents


@pytest.fixture
def browser(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A browser with the flags of the test's parameter, and with its camera's film where there is one."""
    program = find_chromium()
    if program is None:
        pytest.skip("chromium is not installed")
    flags = [*request.param]
    if "pictures" in request.fixturenames:
        (tmp_path / "film.mjpeg").write_bytes(b"".join(request.getfixturevalue("pictures")))
        flags.append(f"--use-file-for-fake-video-capture={tmp_path / 'film.mjpeg'}")
    with open_browser(program, tmp_path / "profile", *flags) as page:
        page.resize(1000, 900)
        yield page


def open_page(page: Page, address: str) -> None:
    page.open(address)
    page.evaluate(WATCH)
    page.wait_for(STATE, "loaded", seconds=60)


def draw_in_a_still_picture(page: Page) -> int:
    """Draws the box around the car while it stands. Returns the number of the picture it is drawn in."""
    bounds = page.evaluate("document.getElementById('picture').getBoundingClientRect().toJSON()")
    x, y, width, height = BOX
    start, end = (bounds["x"] + x, bounds["y"] + y), (bounds["x"] + x + width, bounds["y"] + y + height)
    give_up = time.monotonic() + 120
    while True:
        page.mouse("mousePressed", start)
        if (number := page.evaluate("numberShown()")) < STILL // 2:
            break
        page.mouse("mouseReleased", start)  # too small a box: the picture moves on
        assert time.monotonic() < give_up, "the camera's film never began"
    page.mouse("mouseMoved", end)
    time.sleep(3 / RATE)
    assert page.evaluate("numberShown()") == number, "the picture moved while the box was drawn"
    page.mouse("mouseReleased", end)
    return number


@pytest.mark.parametrize("browser", [CAMERA], indirect=True)
def test_the_page_follows_the_car_in_a_webcams_newest_pictures(browser: Page, address: str, pictures: list[bytes]):
    open_page(browser, address)
    browser.click("#webcam")
    browser.wait_for(STATE, "ready")
    assert browser.evaluate("[stream.active, stream.getTracks()[0].readyState]") == [True, "live"]
    first = draw_in_a_still_picture(browser)
    enough = f"seen.length > {TRACKED + 1} && seen.some(([number]) => number > {MOVED})"
    browser.wait_for(f"{enough} || {STATE} === 'failed'", seconds=120)
    assert "of the webcam's frames dropped" in browser.evaluate(STATUS)
    browser.click("#stop")
    browser.wait_for(STATE, "done")
    assert browser.evaluate(STATUS) == "The camera is off."
    assert browser.evaluate("[stream.active, stream.getTracks()[0].readyState]") == [False, "ended"]
    assert browser.evaluate(RED_ABOVE_AND_AROUND) == [True, True]
    rows = browser.evaluate("document.getElementById('boxes').textContent").splitlines()
    found = np.array([[float(number) for number in row.split(",")] for row in rows])
    seen = browser.evaluate("seen").copy()[-len(rows) :]
    numbers = [number for number, _ in seen]
    again = next((i for i in range(1, len(numbers)) if numbers[i] < numbers[i - 1]), len(numbers))
    numbers, found = numbers[:again], found[:again]
    assert numbers[0] == first
    assert len(numbers) >= TRACKED
    # The tracker takes far longer than a thirtieth of a second. What comes meanwhile is dropped, not kept for later.
    passed = (seen[again - 1][1] - seen[1][1]) * RATE / 1000
    assert numbers[-1] - numbers[1] > len(numbers)
    assert abs(numbers[-1] - numbers[1] - passed) < RATE
    frames = [np.asarray(Image.open(BytesIO(pictures[number]))) for number in numbers]
    np.testing.assert_allclose(found[0, 1:5], BOX, atol=1)
    expected = mfst_jax.track(mfst_jax.load(), np.stack(frames), found[0, 1:5].astype(np.float32))
    np.testing.assert_allclose(found[:, 1:5], expected.box, atol=2)
    assert abs(found[-1, 1] - BOX[0]) > 4, "the car had not moved yet"
    assert found[1:, 5].min() > 0.5


@pytest.mark.parametrize(
    ("browser", "words"),
    [
        (("--use-fake-device-for-media-stream=device-count=0", CAMERA[1]), "No camera was found"),
        (("--use-fake-device-for-media-stream", "--deny-permission-prompts"), "The camera was not allowed"),
        ((*CAMERA, "--host-resolver-rules=MAP page.test 127.0.0.1, MAP * ~NOTFOUND"), "secure pages alone"),
    ],
    indirect=["browser"],
    ids=["no camera", "denied", "not secure"],
)
def test_a_sentence_says_why_there_is_no_webcam(browser: Page, address: str, words: str):
    if "secure" in words:
        address = address.replace("127.0.0.1", "page.test")
    open_page(browser, address)
    browser.click("#webcam")
    browser.wait_for(STATE, "failed")
    assert words in browser.evaluate(STATUS)
    assert not browser.evaluate("document.getElementById('webcam').disabled")
    assert browser.evaluate("document.getElementById('stop').disabled")


@pytest.mark.parametrize("browser", [CAMERA], indirect=True)
def test_another_box_follows_another_object_and_a_camera_that_goes_away_is_named(
    browser: Page, address: str, pictures: list[bytes]
):
    open_page(browser, address)
    browser.click("#webcam")
    browser.wait_for(STATE, "ready")
    draw_in_a_still_picture(browser)
    browser.wait_for("seen.length >= 2", seconds=120)
    bounds = browser.evaluate("document.getElementById('picture').getBoundingClientRect().toJSON()")
    browser.drag((bounds["x"] + 400, bounds["y"] + 100), (bounds["x"] + 480, bounds["y"] + 160))
    browser.wait_for("document.getElementById('boxes').textContent.startsWith('0,400.')", seconds=60)
    browser.wait_for(STATE, "tracking")
    browser.evaluate("stream.getTracks()[0].dispatchEvent(new Event('ended'))")
    browser.wait_for(STATE, "failed")
    assert browser.evaluate(STATUS) == "The camera has gone."
    assert browser.evaluate("stream.active") is False
