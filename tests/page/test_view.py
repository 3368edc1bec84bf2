"""`mfst view`: the page of an earlier track, from its table of boxes and wherever its frames are now."""

import base64
import io
import shutil
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from track_pages import COUNT, LOST, SCORES, SIZE, box_of, data_of, frame_of, pictures_of, true_box_of

from mfst_jax import cli
from mfst_jax.media.sources import open_source
from mfst_jax.params import Contents
from mfst_jax.presets import ALEXNET
from mfst_jax.tracks.files import Record, record_path
from mfst_jax.tracks.tables import CsvTable, open_table


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A table of boxes with its record, as `mfst track sequence --boxes out/boxes.csv` would leave them."""
    folder = tmp_path / "sequence"
    (folder / "img").mkdir(parents=True)
    for number in range(COUNT):
        Image.fromarray(frame_of(number)).save(folder / "img" / f"{number + 1:04d}.png")
    truth = np.array([true_box_of(number) for number in range(COUNT)]) + np.array([1, 1, 0, 0])
    np.savetxt(folder / "groundtruth_rect.txt", truth, fmt="%g", delimiter=",")
    table = tmp_path / "out" / "boxes.csv"
    table.parent.mkdir()
    with CsvTable(table) as boxes:
        for number in range(COUNT):
            boxes.write(number, np.array([box_of(number)]), SCORES[[number]])
    contents = Contents(siamfc=False, alexnet="torchvision")
    Record.of(table, str(folder), open_source(folder), contents, ALEXNET).write(table)
    return table


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line that `mfst view` says."""
    assert cli.main(["view", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == ""
    return line


def test_the_page_lies_beside_the_table_and_shows_its_boxes_on_its_frames(
    result: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["view", str(result)]) == 0
    page = result.with_suffix(".html")
    assert capsys.readouterr().err == f"wrote {page}\n"
    track = data_of(page.read_text())
    (target,) = track["targets"]
    assert target["boxes"] == [box_of(number) for number in range(COUNT)]
    assert target["lost"] == LOST
    assert target["truth"] == [true_box_of(number) for number in range(COUNT)]
    assert target["regions"][1] is not None
    assert track["config"]["score_slope"] == str(ALEXNET.score_slope)
    assert track["facts"]["weights"] == "AlexNet (torchvision)"
    assert not track["hasMaps"]
    assert [picture["frame"] for picture in pictures_of(page.read_text())] == list(range(COUNT))


@pytest.mark.parametrize("name", ["later.csv", "later.mot.txt", "later.json"])
def test_a_track_that_began_in_a_later_frame_is_shown_on_its_frames(result: Path, tmp_path: Path, name: str):
    table, first = result.with_name(name), 4
    source = open_source(tmp_path / "sequence")
    with open_table(table, ["target"], video="clip", size=SIZE) as boxes:
        for number in range(first, COUNT):
            boxes.write(number, np.array([box_of(number)]), SCORES[[number]])
    contents = Contents(siamfc=False, alexnet="torchvision")
    Record.of(table, str(tmp_path / "sequence"), source.starting_at(first), contents, ALEXNET).write(table)
    assert cli.main(["view", str(table)]) == 0
    page = table.with_suffix(".html").read_text()
    track = data_of(page)
    assert (track["first"], track["frames"]) == (first, COUNT - first)
    assert track["targets"][0]["boxes"] == [box_of(number) for number in range(first, COUNT)]
    assert track["targets"][0]["truth"] == [true_box_of(number) for number in range(first, COUNT)]
    pictures = [Image.open(io.BytesIO(base64.b64decode(each["picture"]))) for each in pictures_of(page)]
    means = [np.mean(np.asarray(picture)) for picture in pictures]
    np.testing.assert_allclose(means, [20 * number for number in range(first, COUNT)], atol=2)


def test_a_video_that_moved_is_named(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    moved = tmp_path / "elsewhere"
    (tmp_path / "sequence").rename(moved)
    line = refusal(capsys, result)
    assert line.startswith(f"mfst: --source: expected where the frames of {result} are now, found none; ")
    assert str(tmp_path / "sequence") in line
    assert list(result.parent.glob("*.html")) == []
    out = tmp_path / "page.html"
    assert cli.main(["view", str(result), "--source", str(moved), "--out", str(out)]) == 0
    assert data_of(out.read_text())["frames"] == COUNT


def test_a_table_and_its_video_may_move_together(result: Path, tmp_path: Path):
    for name in ("out", "sequence"):
        shutil.move(tmp_path / name, tmp_path / "new" / name)
    assert cli.main(["view", str(tmp_path / "new" / "out" / "boxes.csv")]) == 0


def test_without_a_record_the_source_has_to_be_named(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    record_path(result).unlink()
    assert "--source: expected where the frames of" in refusal(capsys, result)
    assert cli.main(["view", str(result), "--source", str(tmp_path / "sequence")]) == 0
    (target,) = data_of(result.with_suffix(".html").read_text())["targets"]
    assert target["boxes"][3] == box_of(3)
    assert target["regions"] is None


def test_a_webcams_frames_are_gone(result: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    contents = Contents(siamfc=False, alexnet="torchvision")
    monkeypatch.chdir(result.parent)
    Record.of(result, "0", open_source(result.parent.parent / "sequence"), contents, ALEXNET).write(result)
    assert "as they came live" in refusal(capsys, result)


def test_fewer_frames_than_boxes_are_an_error_with_a_page_of_what_there_is(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "sequence" / "groundtruth_rect.txt").unlink()
    for number in range(9, COUNT + 1):
        (tmp_path / "sequence" / "img" / f"{number:04d}.png").unlink()
    assert "source sequence: expected 12 frames, as many as boxes, found 8" in refusal(capsys, result)
    assert data_of(result.with_suffix(".html").read_text())["frames"] == 8


def test_frames_of_another_size_are_another_video(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    other = tmp_path / "other.png"
    Image.fromarray(frame_of(0)[:-1]).save(other)
    line = refusal(capsys, result, "--source", other)
    height, width = SIZE
    assert f"expected frames of {width}x{height} pixels" in line
    assert f"found {width}x{height - 1}" in line


def test_what_is_no_table_is_refused(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert "expected COCO's JSON for videos, found no 'images' there" in refusal(capsys, record_path(result))
    assert "boxes nowhere.csv: expected a table in CSV, found No such file" in refusal(capsys, "nowhere.csv")
    (tmp_path / "video.mp4").write_bytes(b"\0\0\0\x18ftyp\xff")
    found = refusal(capsys, tmp_path / "video.mp4")
    assert found.endswith("video.mp4: expected a table in CSV, found no text in utf-8 from byte 8 on")
    assert "expected one of .html .htm" in refusal(capsys, result, "--out", tmp_path / "page.pdf")


def test_a_browser_is_opened_where_that_is_asked_for(
    result: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or len(opened) > 1)
    address = result.with_suffix(".html").as_uri()
    assert cli.main(["view", str(result)]) == 0
    assert opened == []
    capsys.readouterr()
    assert cli.main(["view", str(result), "--open"]) == 0
    assert f"no browser was found to open {address}" in capsys.readouterr().err
    assert cli.main(["view", str(result), "--open"]) == 0
    assert "no browser" not in capsys.readouterr().err
    assert opened == [address, address]


@pytest.mark.parametrize("name", ["several.csv", "several.mot.txt", "several.json"])
def test_every_format_of_several_targets_is_shown(result: Path, tmp_path: Path, name: str):
    table, frames = result.with_name(name), open_source(tmp_path / "sequence")
    with open_table(table, ["car", "bike"], video="clip", size=SIZE) as boxes:
        for number in range(COUNT):
            boxes.write(number, np.array([box_of(number), [5, 5, 20, 20]]), np.array([SCORES[number], 0.25]))
    contents = Contents(siamfc=False, alexnet="torchvision")
    Record.of(table, str(tmp_path / "sequence"), frames, contents, ALEXNET, ["car", "bike"]).write(table)
    assert cli.main(["view", str(table)]) == 0
    track = data_of(table.with_suffix(".html").read_text())
    car, bike = track["targets"]
    assert (car["name"], bike["name"]) == ("car", "bike")
    assert car["boxes"] == [box_of(number) for number in range(COUNT)]
    assert bike["boxes"] == [[5, 5, 20, 20]] * COUNT
    assert (car["lost"], bike["lost"]) == (LOST, [[0, COUNT - 1]])
    assert car["colour"] != bike["colour"]
    assert car["truth"] is bike["truth"] is None  # whose it is, nobody says
    assert len(pictures_of(table.with_suffix(".html").read_text())) == COUNT
