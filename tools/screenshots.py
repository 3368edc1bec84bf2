"""Screenshots of pages, by headless Chromium."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync")
SETTLED = 5000
"""Milliseconds of the page's own time after which its picture is taken."""


def screenshot(page: Path, size: tuple[int, int], *, fragment: str = "", dark: bool = False) -> Image.Image:
    """Screenshot of a page in a window of `size` (width, height).

    Args:
      page: the HTML file.
      size: width and height in pixels.
      fragment: what to add to the page's address after a `#`.
      dark: whether the system has the dark colour scheme.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("expected chromium or google-chrome on the PATH, found neither")
    with tempfile.TemporaryDirectory() as scratch:
        shot = Path(scratch) / "shot.png"
        options = [f"--user-data-dir={scratch}/profile", f"--window-size={size[0]},{size[1]}", f"--screenshot={shot}"]
        options += [f"--virtual-time-budget={SETTLED}", *["--force-dark-mode"] * dark]
        address = page.resolve().as_uri() + (f"#{fragment}" if fragment else "")
        subprocess.run([chromium, *FLAGS, *options, address], check=True, stderr=subprocess.DEVNULL)
        with Image.open(shot) as image:
            return image.convert("RGB")
