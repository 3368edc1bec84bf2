"""The page in examples/browser: it follows the car of the built-in clip in a real browser, threads and all."""

import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from browser import Page

from mfst_jax.export.running import open_exported
from mfst_jax.media.sources import demo_source

BOX = (158, 208, 61, 44)
FRAMES = 8
STATE = "document.documentElement.dataset.state"
pytestmark = pytest.mark.timeout(300)


def choose_file(page: Page, path: Path) -> None:
    root = page.send("DOM.getDocument")["root"]["nodeId"]
    field = page.send("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.send("DOM.setFileInputFiles", nodeId=field, files=[str(path)])


def asked_elsewhere(page: Page, address: str) -> list[str]:
    asked = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in asked if not url.startswith((address, "data:", f"blob:{address}"))]


def test_the_page_follows_the_car_of_the_built_in_clip(chromium: Page, address: str, built: Path):
    chromium.resize(1000, 900)
    chromium.open(address)
    chromium.wait_for(STATE, "loaded", seconds=60)
    assert chromium.evaluate("self.crossOriginIsolated")
    assert chromium.evaluate("document.getElementById('status').textContent").endswith("AlexNet (torchvision).")
    chromium.evaluate(f"document.getElementById('rate').value = {demo_source().fps}")
    choose_file(chromium, Path(str(files("mfst_jax") / "assets" / "demo.mp4")))
    chromium.wait_for(STATE, "ready")
    place = chromium.evaluate("document.getElementById('picture').getBoundingClientRect().toJSON()")
    x, y, width, height = BOX
    chromium.drag((place["x"] + x, place["y"] + y), (place["x"] + x + width, place["y"] + y + height))
    lines = "document.getElementById('boxes').textContent.split('\\n').length"
    chromium.wait_for(f"{lines} > {FRAMES}", seconds=120)
    chromium.click("#stop")
    chromium.wait_for(STATE, "done")
    rows = chromium.evaluate("document.getElementById('boxes').textContent").splitlines()[:FRAMES]
    found = np.array([[float(number) for number in row.split(",")] for row in rows])
    tracker, frames = open_exported(built / "mfst.onnx"), demo_source().frames()
    tracker.init(next(frames), found[0, 1:5])
    expected = [found[0, 1:5], *(tracker.update(frame) for _, frame in zip(range(FRAMES - 1), frames, strict=False))]
    np.testing.assert_allclose(found[0, 1:5], BOX, atol=1)
    # The browser decodes by itself, to colours that differ by rounding.
    np.testing.assert_allclose(found[:, 1:5], expected, atol=2)
    assert found[1:, 5].min() > 0.5
    assert asked_elsewhere(chromium, address) == []


def test_a_model_of_another_format_is_refused(chromium: Page, address: str, built: Path):
    import onnx

    model = onnx.load(built / "mfst.onnx")
    (text,) = model.metadata_props
    text.value = text.value.replace('"format": 2', '"format": 99')
    onnx.save(model, built / "dist" / "mfst.onnx")
    chromium.open(address)
    chromium.wait_for(STATE, "failed", seconds=60)
    expected = "expected a tracker of format 2, found 99"
    assert chromium.evaluate("document.getElementById('status').textContent") == expected


def test_building_without_a_model_says_so(built: Path):
    for arguments, words in (
        ([], "found none"),
        (["missing.onnx"], "missing.onnx: expected a model to copy, found ENOENT"),
    ):
        done = subprocess.run(["node", "build.mjs", *arguments], cwd=built, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert words in done.stderr
