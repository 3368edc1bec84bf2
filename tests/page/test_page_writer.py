"""The page as a file: well-formed, self-contained, with the right numbers, within its budget, whole or not there."""

import base64
import errno
import hashlib
import io
import json
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from html_tree import Tree
from PIL import Image
from track_pages import COUNT, LOST, SCORES, SIZE, box_of, data_of, frame_of, pictures_of, true_box_of, write_page

from mfst_jax.config import to_dict
from mfst_jax.errors import InputError
from mfst_jax.page import PageTarget, PageWriter, data, writer
from mfst_jax.presets import PAPER

HOSTILE = "</script><script>alert(1)</script> <img src=x onerror=alert(1)> $title & 'co'"


def level_of(picture: dict) -> float:
    with Image.open(io.BytesIO(base64.b64decode(picture["picture"]))) as image:
        return float(np.asarray(image).mean())


# What is in it


def test_the_page_is_well_formed_and_needs_nothing_else(tmp_path: Path):
    text = write_page(tmp_path / "page.html", several=True).read_text()
    tree = Tree(text)
    identifiers = [each.attributes["id"] for each in tree.elements if "id" in each.attributes]
    assert len(set(identifiers)) == len(identifiers)
    for element in tree.elements:
        assert "src" not in element.attributes
        assert element.attributes.get("href", "data:,") == "data:,"
        if "aria-labelledby" in element.attributes:
            assert element.attributes["aria-labelledby"] in identifiers
    assert re.findall(r"https?://|@import|url\(", text.replace("http://www.w3.org/2000/svg", "")) == []
    for tag in ("button", "canvas", "select", "svg"):
        for each in tree.all(tag):
            named = "aria-label" in each.attributes or each.attributes.get("aria-hidden") == "true"
            assert named or each.parent.tag == "label", (tag, each.attributes)
    assert tree.all("html", lang="en")


def test_only_its_own_program_may_run(tmp_path: Path):
    tree = Tree(write_page(tmp_path / "page.html").read_text())
    (policy,) = tree.all("meta", **{"http-equiv": "Content-Security-Policy"})
    (program,) = [each for each in tree.all("script") if "type" not in each.attributes]
    digest = base64.b64encode(hashlib.sha256(program.text.encode()).digest()).decode()
    assert policy.attributes["content"] == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def test_names_are_text(tmp_path: Path):
    page = write_page(tmp_path / "page.html", name=HOSTILE).read_text()
    tree = Tree(page)
    assert tree.all("h1")[0].text == tree.all("title")[0].text == HOSTILE
    assert tree.all("img") == tree.all("b") == []
    assert data_of(page)["name"] == HOSTILE
    assert data_of(page)["facts"]["weights"] == "<b>bold</b>"
    assert len([each for each in tree.all("script") if "type" not in each.attributes]) == 1


def test_boxes_scores_and_truth_are_those_of_each_frame(tmp_path: Path):
    track = data_of(write_page(tmp_path / "page.html").read_text())
    (target,) = track["targets"]
    assert (track["width"], track["height"], track["frames"], track["fps"]) == (160, 120, COUNT, 25)
    assert target["boxes"] == [box_of(number) for number in range(COUNT)]
    assert target["scores"] == SCORES.tolist()
    assert target["lost"] == LOST
    assert target["truth"] == [true_box_of(number) if number != 6 else None for number in range(COUNT)]
    # 28 x 23 of 2 x 30 x 24 - 28 x 23 pixels
    assert target["overlaps"][0] == pytest.approx(644 / 796, abs=1e-4)
    assert target["overlaps"][6] is None
    assert track["pictures"] == list(range(COUNT))


def test_pictures_and_maps_are_those_of_each_frame(tmp_path: Path):
    found = pictures_of(write_page(tmp_path / "page.html").read_text())
    assert [picture["frame"] for picture in found] == list(range(COUNT))
    for number, picture in enumerate(found):
        assert level_of(picture) == pytest.approx(20 * number, abs=2)
        if number == 0:
            assert "maps" not in picture
            continue
        cells = np.frombuffer(base64.b64decode(picture["maps"][0]), np.uint8).reshape(34, 34)
        rows, columns = np.nonzero(cells)
        assert (set(rows), set(columns)) == ({16, 17}, {number, number + 1})


def test_several_targets_have_a_name_a_colour_and_a_map_each(tmp_path: Path):
    page = write_page(tmp_path / "page.html", several=True).read_text()
    car, bike = data_of(page)["targets"]
    assert (car["name"], car["colour"], bike["name"], bike["colour"]) == ("car", 0, "bike", 1)
    assert bike["truth"] is bike["overlaps"] is None
    assert bike["lost"] == [[0, COUNT - 1]]
    assert [len(picture.get("maps", ())) for picture in pictures_of(page)] == [0] + [2] * (COUNT - 1)


def test_what_is_not_a_number_is_null(tmp_path: Path):
    with PageWriter(tmp_path / "page.html", name="x", size=SIZE, fps=25, targets=[PageTarget("a")]) as page:
        page.write(frame_of(0), np.array([box_of(0)]), np.array([1.0]))
        page.write(frame_of(1), np.full((1, 4), np.nan), np.array([np.inf]))
    (target,) = data_of((tmp_path / "page.html").read_text())["targets"]
    assert target["boxes"] == [box_of(0), None]
    assert target["scores"] == [1, None]
    assert target["regions"] is None


def test_the_same_track_gives_the_same_bytes(tmp_path: Path):
    one, two = write_page(tmp_path / "one.html"), write_page(tmp_path / "two.html")
    assert one.read_bytes() == two.read_bytes()


# Search regions


def test_a_frame_is_searched_around_the_box_before():
    boxes = np.array([[10, 20, 20, 20], [90, 90, 9, 9], [0, 0, 30, 10]], np.float32)
    regions = data.region_outlines(boxes, context=0.5)
    assert np.isnan(regions[0]).all()
    # A square of 20 pixels has a context of 20 more: the exemplar shows 40, the search region 255/127 of it.
    np.testing.assert_allclose(regions[1], [10 + 9.5, 20 + 9.5, 40 * 255 / 127], rtol=1e-6)
    np.testing.assert_allclose(regions[2], [94, 94, 18 * 255 / 127], rtol=1e-6)


def test_the_region_is_the_one_that_the_tracker_searches(random_params):
    """Against `crops.search_side`, at scale 1."""
    import mfst_jax
    from mfst_jax.crops import search_side
    from mfst_jax.presets import ALEXNET

    frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    box = np.array([60, 40, 24, 28], np.float32)
    state = mfst_jax.init(mfst_jax.load(), frame, box)
    (_, region) = data.region_outlines(np.stack([box, box]), ALEXNET.context)
    np.testing.assert_allclose(region[:2], state.centre, rtol=1e-6)
    np.testing.assert_allclose(region[2], search_side(state.size, ALEXNET.context), rtol=1e-6)


def test_a_map_covers_the_middle_of_the_region():
    assert data.map_share("half_pixel") == pytest.approx(136 / 254)
    assert data.map_share("corners") == data.map_share("tf1") == pytest.approx(128 / 254)
    assert to_dict(PAPER)["upsampling"] == "half_pixel"


# Within the budget


def test_a_long_video_keeps_every_second_picture_every_fourth_and_so_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer, "MOST_PICTURES", 5)
    page = write_page(tmp_path / "page.html").read_text()
    track, found = data_of(page), pictures_of(page)
    assert track["pictures"] == [0, 4, 8] == [picture["frame"] for picture in found]
    assert [round(level_of(picture) / 20) for picture in found] == [0, 4, 8]
    assert len(track["targets"][0]["boxes"]) == COUNT
    Tree(page)


def test_pictures_that_take_too_much_are_thinned_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = write_page(tmp_path / "whole.html").stat().st_size
    budget = 14_000
    monkeypatch.setattr(writer, "BUDGET", budget)
    page = write_page(tmp_path / "page.html").read_text()
    assert whole - len(page) > 0
    blocks = re.findall(r'<script type="application/json" class="frame">.*?</script>\n', page, re.DOTALL)
    assert 1 < len(blocks) < COUNT
    assert sum(map(len, blocks)) <= budget


# Whole, or not there


def test_nothing_is_seen_before_it_is_complete(tmp_path: Path):
    path = tmp_path / "page.html"
    path.write_text("older")
    with PageWriter(path, name="x", size=SIZE, fps=25, targets=[PageTarget("a")]) as page:
        page.write(frame_of(0), np.array([box_of(0)]), np.array([1.0]))
        assert path.read_text() == "older"
    assert data_of(path.read_text())["frames"] == 1
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_keeps_the_frames_before_it(tmp_path: Path):
    path = tmp_path / "page.html"
    writer = PageWriter(path, name="x", size=SIZE, fps=25, targets=[PageTarget("a")])
    with pytest.raises(ZeroDivisionError), writer as page:  # noqa: PT012
        page.write(frame_of(0), np.array([box_of(0)]), np.array([1.0]))
        raise ZeroDivisionError
    assert data_of(path.read_text())["frames"] == 1


def test_without_any_frame_no_file_is_made(tmp_path: Path):
    with PageWriter(tmp_path / "page.html", name="x", size=SIZE, fps=25, targets=[PageTarget("a")]):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"), [("page.txt", r"expected one of \.html \.htm"), ("no/page.html", "existing folder")]
)
def test_a_place_where_no_page_can_be_is_refused_before_any_work(tmp_path: Path, name: str, said: str):
    with pytest.raises(InputError, match=said):
        PageWriter(tmp_path / name, name="x", size=SIZE, fps=25, targets=[PageTarget("a")])


def test_a_full_disk_leaves_a_page_with_fewer_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plain, room = writer.write_all, [0]
    space = write_page(tmp_path / "whole.html").stat().st_size - 9000

    def limited(file, data):
        """As the system does, writes what there is room for before it fails."""
        left = space - file.tell()
        plain(file, data[: max(0, left)])
        if len(data) > left:
            room[0] += 1
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "write_all", limited)
    path = tmp_path / "page.html"
    try:
        write_page(path)
    except InputError as error:
        assert str(error) == f"page {path}: expected to write it, found No space left on device"  # noqa: PT017
    assert room[0] >= 1
    page = path.read_text()
    Tree(page)
    assert 1 <= len(pictures_of(page)) < COUNT
    assert path.stat().st_size <= space
    json.dumps(data_of(page), allow_nan=False)


def test_a_disk_that_is_full_from_the_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "write_all", full)
    with pytest.raises(InputError, match="No space left"):
        write_page(tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


FRAME, BOX = np.zeros((32, 48, 3), np.uint8), [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("frame", "boxes", "scores", "more", "said"),
    [
        (FRAME, BOX[0], [1], {}, "expected boxes [1, 4], scores [1] and lost [1], one for each target, found [4]"),
        (FRAME, BOX * 2, [1, 1], {}, "found [2, 4], [2], [2]"),
        (FRAME, BOX, np.ones((1, 1)), {}, "found [1, 4], [1, 1], [1, 1]"),
        (FRAME, BOX, [1], {"lost": [False, True]}, "found [1, 4], [1], [2]"),
        (FRAME, BOX, [1], {"responses": []}, "expected 1 responses, found 0"),
        (FRAME[:30], BOX, [1], {}, "expected frames of 48x32 pixels, found 48x30"),
        (FRAME.astype(np.float32), BOX, [1], {}, "frame: expected uint8 RGB [height, width, 3], found float32 of"),
        (FRAME[..., 0], BOX, [1], {}, "found uint8 of shape [32, 48]"),
    ],
)
def test_what_is_not_of_every_target_is_refused_when_it_comes_and_the_frames_before_are_kept(
    tmp_path: Path, frame: np.ndarray, boxes: list, scores: list | np.ndarray, more: dict, said: str
):
    path = tmp_path / "page.html"
    page = PageWriter(path, name="a", size=(32, 48), fps=25, targets=[PageTarget("car")])
    with pytest.raises(InputError, match=re.escape(said)), page:  # noqa: PT012
        page.write(jnp.asarray(FRAME), BOX, [1])
        page.write(frame, boxes, scores, **more)
    assert data_of(path.read_text(encoding="utf-8"))["frames"] == 1
