"""Picture docs/select.webp, two views of the page to draw targets in: `python tools/render_select_picture.py`.

Two boxes are drawn in a later frame of the built-in clip: on a desktop, light, and on a phone, dark. Needs Chromium.
"""

import os
import queue
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tyro
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.media.sources import demo_source
from mfst_jax.media.writers import save_image
from mfst_jax.select import select_targets

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import Page, find_chromium, open_browser

FRAME = 40
BOXES = {"rally car": (227, 210, 68, 39), "its twin": (377, 155, 68, 39)}
DESKTOP, PHONE = (1280, 720), (390, 844)
"""Width and height of the windows, in pixels."""
GAP = 24
GROUND = (110, 118, 129)
"""Colour around the pictures, which neither page has."""


def main(picture: Path = Path(__file__).parents[1] / "docs/select.webp") -> None:
    """Renders the picture.

    Args:
        picture: The picture to write.
    """
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("expected chromium or google-chrome on the PATH, found neither")
    with tempfile.TemporaryDirectory() as scratch, open_browser(chromium, Path(scratch) / "profile") as page:
        shot = Path(scratch) / "shot.png"
        shots = [_shoot(page, shot, DESKTOP, "light"), _shoot(page, shot, PHONE, "dark")]
    size = sum(each.width for each in shots) + 3 * GAP, max(each.height for each in shots) + 2 * GAP
    sheet = Image.new("RGB", size, GROUND)
    left = GAP
    for each in shots:
        sheet.paste(each, (left, GAP))
        left += each.width + GAP
    save_image(sheet, picture)
    print(f"wrote {picture}")


def _shoot(page: Page, shot: Path, size: tuple[int, int], scheme: str) -> Image.Image:
    """Screenshot of the page in a window of a size, after drawing the boxes with the mouse; the choice is cancelled."""
    addresses: queue.Queue[str] = queue.Queue()
    os.environ.setdefault("DISPLAY", ":0")  # or no browser would be opened
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(select_targets, demo_source(), opener=lambda address: addresses.put(address) is None)
        page.resize(*size, scheme)
        page.open(addresses.get(timeout=20))
        page.wait_for("document.documentElement.dataset.state", "ready")
        page.evaluate(f"show({FRAME})")
        page.wait_for("document.documentElement.dataset.frame", f"{FRAME}")
        for number, (name, (x, y, width, height)) in enumerate(BOXES.items(), start=1):
            page.drag(_place(page, x, y), _place(page, x + width, y + height))
            page.click(f"#targets li:nth-child({number}) input")
            page.send("Input.insertText", text=name)
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        page.screenshot(shot)
        page.press("Escape")
        assert isinstance(outcome.exception(20), InputError)
    with Image.open(shot) as image:
        return image.convert("RGB")


def _place(page: Page, x: float, y: float) -> tuple[float, float]:
    """Place in the window of a pixel of the frame."""
    area = page.evaluate("stage.getBoundingClientRect().toJSON()")
    width, height = page.evaluate("[source.width, source.height]")
    return area["x"] + x / width * area["width"], area["y"] + y / height * area["height"]


if __name__ == "__main__":
    tyro.cli(main)
