"""The frames in the report show what the files say, and the page is in order in a real browser."""

import json
import re

import numpy as np
import pytest
from browser import find_chromium, open_browser
from html_tree import Tree
from layouts import boxes_of, otb, write_rows
from pages import HOSTILE, SHIFTS
from PIL import Image

from mfst_jax.evaluation import Results, load, report, score, write_result
from mfst_jax.evaluation.metrics import overlaps

pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")


# Frames


def test_boxes_lie_where_the_files_say(plain):
    case, page, _ = plain
    tree = Tree(page)
    pictures = tree.all("svg", **{"class": "frame"})
    assert len(pictures) == 3 * 6
    first = case.dataset.sequences[0]
    shift = dict(zip(HOSTILE, SHIFTS["ours"], strict=True))[first.name]
    for part, picture in enumerate(pictures[:6]):
        frame = int((part + 0.5) * len(first.frames) / 6)
        assert picture.attributes["viewbox"] == "0 0 120 90"
        assert picture.attributes["aria-label"].startswith(f"Frame {frame + 1} of {first.name}, with a true box; ours ")
        drawn = {}
        for box in picture.children:
            if box.tag == "rect" and box.attributes["class"] != "rim":
                place = [float(box.attributes[name]) for name in ("x", "y", "width", "height")]
                drawn[box.attributes["class"]] = place
        x, y, w, h = first.ground_truth[frame]
        assert len(drawn) == 3
        assert drawn["truth"] == [x, y, w, h]
        assert drawn["box-0"] == [x + shift, y, w, h]
        overlap = overlaps(np.array([drawn["box-0"]]), np.array([drawn["truth"]]))[0]
        assert f"{overlap:.2f}" in picture.parent.text


def test_boxes_that_are_none_and_absent_targets_are_left_out(case):
    boxes = boxes_of(9)
    rows = np.array(boxes)
    rows[3] = 0
    write_rows(case.folder / "data" / HOSTILE[0] / "groundtruth_rect.txt", rows + [1, 1, 0, 0] * (rows[:, 2:3] > 0))
    boxes[6:] = np.nan
    write_result(case.folder / "ours", HOSTILE[0], boxes)
    tree = Tree(case.write()[0])
    strip = tree.strip(HOSTILE[0])
    pictures = [each for each in tree.all("svg", **{"class": "frame"}) if strip in ancestors(each)]
    drawn = [{box.attributes.get("class") for box in picture.children} for picture in pictures]
    assert ["truth" in classes for classes in drawn] == [True, True, False, True, True, True]  # frames 0, 2, 3, 5, 6, 8
    assert ["box-0" in classes for classes in drawn] == [True, True, True, True, False, False]
    assert not any("nan" in value for each in tree.all("rect") + tree.all("path") for value in each.attributes.values())


def test_unreadable_images_and_none(case):
    case.write()
    broken = case.dataset.sequences[0].frames[int(0.5 * len(case.dataset.sequences[0].frames) / 6)]
    broken.write_bytes(b"no image")
    tree = Tree(case.write()[0])
    (said,) = [each.text for each in tree.all("p") if each.attributes.get("class") == "unreadable"]
    assert said.startswith(f"image {broken}: expected a readable image")
    assert "The images of this sequence are not at hand." in case.write(images=False)[0]


def test_pictures_are_small(tmp_path):
    rng = np.random.default_rng(0)
    folder = otb(tmp_path / "data", "mine", boxes_of(6))
    for path in (folder / "img").iterdir():
        coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8))
        coarse.resize((1280, 960), Image.Resampling.BICUBIC).save(path)
    write_result(tmp_path / "ours", "mine", boxes_of(6))
    dataset, results = load(tmp_path / "data", "folder"), Results(tmp_path / "ours")
    report.write(tmp_path / "report.html", dataset, results, score(results, dataset), {})
    page = (tmp_path / "report.html").read_text()
    assert max(map(len, re.findall('base64,([^"]*)', page))) < 24_000  # of 15 MB for 600


# In a browser


@pytest.mark.timeout(120)
def test_in_a_browser_a_click_sorts_and_nothing_complains(plain, tmp_path):
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("chromium is not installed")
    case, _, ours = plain
    names = "[...document.querySelectorAll('.sequences tbody tr')].map(row => row.cells[0].textContent)"
    heads = "[...document.querySelectorAll('.sequences th[scope=col]')].map(head => head.getAttribute('aria-sort'))"
    aucs = {name: each.measures.success_auc for name, each in ours.sequences.items()}
    with open_browser(chromium, tmp_path / "profile") as page:
        page.send("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
        page.open(case.folder / "report.html")
        assert page.evaluate(names) == list(aucs)
        page.click(".sequences th:nth-child(4) button")
        assert page.evaluate(names) == sorted(aucs, key=aucs.get)
        assert page.evaluate(heads)[3] == "ascending"
        page.click(".sequences th:nth-child(4) button")
        assert page.evaluate(names) == sorted(aucs, key=aucs.get, reverse=True)
        page.click(".sequences th:nth-child(1) button")
        assert page.evaluate(names) == sorted(aucs, key=str.lower)
        assert [state for state in page.evaluate(heads) if state] == ["ascending"]
        assert page.evaluate("document.querySelectorAll('.sequences th.drawing button').length") == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        assert page.evaluate("[...document.querySelectorAll('image')].map(each => each.getBBox().width)") == [120] * 18
        colours = []
        for scheme in ("light", "dark"):
            media = [{"name": "prefers-color-scheme", "value": scheme}]
            page.send("Emulation.setEmulatedMedia", features=media)
            page.screenshot(tmp_path / f"{scheme}.png")
            with Image.open(tmp_path / f"{scheme}.png") as shot:
                colours.append(shot.convert("L").getpixel((2, 2)))
        assert colours[0] > 200 > 50 > colours[1]
        assert page.complaints() == [], json.dumps(page.complaints())


def ancestors(element):
    while element.parent is not None:
        element = element.parent
        yield element
