"""Picture docs/page.png, two views of a page to scrub through a track: `python tools/render_page_picture.py`.

The page is that of the built-in clip, tracked with the built-in weights: on a desktop, light, while the target is lost
behind a tree; and on a phone, dark. Needs the extra `video`, and Chromium.
"""

import tempfile
from pathlib import Path

import tyro
from PIL import Image
from screenshots import screenshot

import mfst_jax
from mfst_jax.following.loop import follow
from mfst_jax.media.sources import demo_source
from mfst_jax.media.writers import save_image
from mfst_jax.tracks.lost_frames import is_lost, stretches

DESKTOP, PHONE = (1280, 900), (390, 900)
"""Width and height of the windows, in pixels."""
GAP = 24
GROUND = (110, 118, 129)
"""Colour around the pictures, which neither page has."""


def main(page: Path | None = None, picture: Path = Path(__file__).parents[1] / "docs/page.png") -> None:
    """Renders the picture.

    Args:
        page: Where the page goes, to be kept.
        picture: The PNG to write.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = page or Path(scratch) / "demo.html"
        source = demo_source()
        assert source.ground_truth is not None
        followed = follow(source, source.ground_truth[0], mfst_jax.load(), page=path)
        frame = f"{max(stretches(is_lost(followed.scores)), key=lambda each: each[1] - each[0])[0]}"
        shots = [screenshot(path, DESKTOP, fragment=frame), screenshot(path, PHONE, fragment=frame, dark=True)]
    size = sum(shot.width for shot in shots) + 3 * GAP, DESKTOP[1] + 2 * GAP
    sheet = Image.new("RGB", size, GROUND)
    left = GAP
    for shot in shots:
        sheet.paste(shot, (left, GAP))
        left += shot.width + GAP
    save_image(sheet, picture)
    print(f"wrote {picture}")


if __name__ == "__main__":
    tyro.cli(main)
