"""The report: well-formed, self-contained and escaped, its numbers the summary's, in order in a real browser."""

import json
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import find_chromium, open_browser
from layouts import boxes_of, otb, write_images, write_rows
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.evaluation import Results, load, report, score, write_result
from mfst_jax.evaluation.metrics import overlaps

pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
VOID = {"meta", "link", "br", "img"}
HOSTILE = ("<script>alert(1)<script>", '"><img src=x onerror=alert(1)>', "$title & 'co'")
FAR = "<i>far"
LENGTHS = (9, 12, 14)
SHIFTS = {"ours": (4, 9, 0), "near": (6, 3, 2), FAR: (20, 2, 9)}
"""Pixels that each tracker is off on each sequence."""
CONFIG = {"scale_step": 1.025, "layers": ("conv4", "conv5"), "note": "<b>bold</b>"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: "Element | None"
    children: list["Element"] = field(default_factory=list)
    text: str = ""
    """With that of the elements inside."""


class Tree(HTMLParser):
    """The elements of a page, every one of which must be closed."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        element = Element(tag, dict(attrs), self.open[-1] if self.open else None)
        self.elements.append(element)
        if element.parent is not None:
            element.parent.children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        for element in self.open:
            element.text += data

    def all(self, tag, **attributes):
        return [
            each
            for each in self.elements
            if each.tag == tag and all(each.attributes.get(name) == value for name, value in attributes.items())
        ]

    def table(self, label):
        """The cells of a table's body, row by row."""
        (region,) = self.all("div", **{"aria-label": label})
        rows = [row for row in self.all("tr") if row.parent.tag == "tbody" and row.parent.parent.parent is region]
        return [row.children for row in rows]

    def strip(self, sequence):
        """The element with the frames of a sequence."""
        (head,) = [each for each in self.all("h3") if each.text == sequence]
        return head.parent.parent


def values_of(cells):
    return [float(cell.attributes["data-value"]) for cell in cells if cell.attributes.get("data-value")]


class Case:
    """Sequences with hostile names, a tracker of ours and two others, and the report about them."""

    def __init__(self, folder):
        self.folder, self.others = folder, {}
        for name, count in zip(HOSTILE, LENGTHS, strict=True):
            otb(folder / "data", name, boxes_of(count))
            write_images(folder / "data" / name / "img", range(1, count + 1), size=(90, 120))
        for tracker, shifts in SHIFTS.items():
            for name, count, shift in zip(HOSTILE, LENGTHS, shifts, strict=True):
                write_result(folder / tracker, name, np.add(boxes_of(count), (shift, 0, 0, 0)), np.full(count, 0.05))

    def write(self, name="report.html", images=True, **fields):
        """The page and our summary, with some of its fields as given."""
        self.dataset = load(self.folder / "data", "folder", images=images)
        trackers = {tracker: Results(self.folder / tracker) for tracker in SHIFTS}
        summaries = {tracker: score(results, self.dataset) for tracker, results in trackers.items()}
        ours = replace(summaries.pop("ours"), **fields)
        self.others = {tracker: (trackers[tracker], summary) for tracker, summary in summaries.items()}
        path = self.folder / name
        report.write(path, self.dataset, trackers["ours"], ours, self.others)
        return path.read_text(), ours


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A case, its page and its summary, for tests that change nothing."""
    whole = Case(tmp_path_factory.mktemp("report"))
    return whole, *whole.write(config=CONFIG, weights={"sha256": "ab" * 32}, versions={"jax": "0.10.1"})


# The page


def test_the_page_is_well_formed_and_needs_nothing_else(plain):
    tree = Tree(plain[1])
    identifiers = [each.attributes["id"] for each in tree.elements if "id" in each.attributes]
    assert len(set(identifiers)) == len(identifiers)
    for element in tree.elements:
        for name in ("href", "src", "aria-labelledby"):
            if name in element.attributes:
                value = element.attributes[name].removeprefix("#" if name == "href" else "")
                assert value.startswith("data:") or value in identifiers, (element.tag, value)
    assert re.findall(r"(?:https?:)?//\w|@import|url\((?!#)", re.sub(r"base64,[^\"]*", "", plain[1])) == []
    (policy,) = tree.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy.attributes["content"].startswith("default-src 'none'; img-src data:")


def test_everything_has_a_text_or_a_scope(plain):
    tree = Tree(plain[1])
    for drawing in tree.all("svg"):
        assert drawing.attributes.get("aria-hidden") == "true" or drawing.attributes["aria-label"], drawing
    assert {head.attributes.get("scope") for head in tree.all("th")} == {"col", "row"}
    assert all(table.children[0].tag == "caption" for table in tree.all("table"))
    assert tree.all("html", lang="en")


def test_names_are_text(plain):
    case, page, _ = plain
    tree = Tree(page)
    assert len(tree.all("script")) == 1
    assert tree.all("img") == tree.all("i") == []
    assert [head.text for head in tree.all("h3")[:3]] == [sequence.name for sequence in case.dataset.sequences]
    assert "<b>bold</b>" in [fact.text for fact in tree.all("dd")]
    assert any(FAR in text.text for text in tree.all("text"))


def test_the_same_input_gives_the_same_bytes(case):
    assert case.write("first.html")[0] == case.write("second.html")[0]


# Numbers


def test_the_tables_hold_the_summaries_numbers(plain):
    case, page, ours = plain
    tree = Tree(page)
    rows = {row[0].text: row for row in tree.table("Sequences")}
    assert list(rows) == list(ours.sequences)
    for name, own in ours.sequences.items():
        aucs = {other: summary.sequences[name].measures.success_auc for other, (_, summary) in case.others.items()}
        best = max(aucs, key=aucs.get)
        auc = own.measures.success_auc
        expected = [own.frames, own.measures.precision_20px, auc, aucs[best], auc - aucs[best]]
        assert values_of(rows[name]) == expected
        assert best in [cell.text for cell in rows[name]]
        assert f"{auc:.3f}" in [cell.text for cell in rows[name]]
    trackers = {row[0].text: values_of(row) for row in tree.table("Trackers")}
    assert trackers["ours"][:3] == [3, ours.overall.success_auc, ours.overall.precision_20px]
    assert trackers["near"][1] == case.others["near"][1].overall.success_auc
    assert trackers["ours"][-1] == pytest.approx(20)
    differences = {row[0].text: values_of(row) for row in tree.table("Comparison")}
    far = case.others[FAR][1].overall.success_auc
    assert differences[FAR][1] == pytest.approx(ours.overall.success_auc - far)


def test_the_head_shows_scores_and_their_intervals(plain):
    tree, ours = Tree(plain[1]), plain[2]
    tiles = [[part.text for part in tile.children] for tile in tree.all("dl")[0].children]
    low, high = ours.interval("success_auc")
    assert tiles[0] == ["Success AUC", f"{ours.overall.success_auc:.3f}", f"95 %: [{low:.3f}, {high:.3f}]"]
    assert tiles[-1] == ["Speed", "20.0", "frames a second"]
    assert tree.all("h1")[0].text == "oursSequences (3)"
    assert [pair.text for pair in tree.all("dl")[1].children] == [
        "scale_step1.025",
        'layers["conv4", "conv5"]',
        "note<b>bold</b>",
    ]
    assert "ab" * 32 in plain[1]


def test_got10k_is_known_by_other_scores(case):
    tiles = Tree(case.write(protocol="got10k")[0]).all("dl")[0].children
    assert [tile.children[0].text for tile in tiles[:2]] == ["Average overlap", "Success rate at 0.5"]


# What is missing


def test_what_is_missing_or_went_wrong_is_listed(case):
    (case.folder / "ours" / f"{HOSTILE[0]}.txt").write_text("1,2,<3>\n")
    (case.folder / "near" / f"{HOSTILE[1]}.txt").unlink()
    write_rows(case.folder / "data/empty/groundtruth_rect.txt", np.zeros((2, 4)))
    page, ours = case.write()
    tree = Tree(page)
    assert ours.missing == ("empty", HOSTILE[0])
    assert f"empty, {HOSTILE[0]}" in [each.text for each in tree.all("p")]
    lines = [each.text for each in tree.all("li")]
    assert any("line 1: expected 4 numbers, found '1,2,<3>'" in line for line in lines)
    assert any("near" in line and "expected a result, found none" in line for line in lines)
    assert any("data/empty" in line for line in lines)
    assert len(set(lines)) == len(lines)
    assert "The scores are those of 2 of 4 sequences" in page
    assert "ours has no score here" in tree.strip(HOSTILE[0]).text
    assert "ours has no score here" not in tree.strip(HOSTILE[1]).text


def test_a_partial_copy_is_named(tmp_path):
    otb(tmp_path / "data", "Deer", boxes_of(71))
    write_result(tmp_path / "ours", "Deer", boxes_of(71))
    dataset = load(tmp_path / "data")
    results = Results(tmp_path / "ours")
    report.write(tmp_path / "report.html", dataset, results, score(results, dataset), {})
    tree = Tree((tmp_path / "report.html").read_text())
    assert tree.all("title")[0].text == "ours on OTB-100 (1 of 100 sequences)"
    assert "99 of the 100 sequences were not there" in " ".join(each.text for each in tree.all("p"))
    assert "fast motion (1)" in [each.text for each in tree.all("text")]
    assert [cell.text for cell in tree.table("Sequences")[0]][:3] == ["Deer", "MB FM IPR BC LR", "71"]
    assert "Comparison" not in [each.text for each in tree.all("h2")]


def test_without_any_score_it_says_why(tmp_path):
    otb(tmp_path / "data", "mine", boxes_of(4))
    (tmp_path / "ours").mkdir()
    dataset = load(tmp_path / "data", "folder")
    results = Results(tmp_path / "ours")
    report.write(tmp_path / "report.html", dataset, results, score(results, dataset), {})
    tree = Tree((tmp_path / "report.html").read_text())
    assert [each.text for each in tree.all("h2")] == ["Frames", "Missing and odd", "How it was run"]
    assert any("mine.txt: expected a result, found none" in line.text for line in tree.all("li"))


def test_another_tracker_of_the_same_name_stays_another(case):
    case.write()
    results, summary = Results(case.folder / "ours"), score(Results(case.folder / "ours"), case.dataset)
    report.write(case.folder / "report.html", case.dataset, results, summary, {"ours": case.others["near"]})
    rows = Tree((case.folder / "report.html").read_text()).table("Trackers")
    assert {row[0].text for row in rows} == {"ours (this one)", "ours"}


def test_a_place_that_cannot_be_written_to(case):
    with pytest.raises(InputError, match=r"report\.html: expected to write it"):
        case.write(f"ours/{HOSTILE[0]}.txt/report.html")


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
