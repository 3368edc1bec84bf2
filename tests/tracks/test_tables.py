"""Tables of boxes as they are written, read by other means than ours."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mfst_jax.errors import InputError
from mfst_jax.tracks.tables import CocoTable, CsvTable, MotTable, open_table

NAN = float("nan")
NAMES = ("car", 'the "bike"')
BOXES = [np.array([[1.0, 2.5, 30, 40], [5, 6, 7, 8]]), np.array([[-1.23456, 2, 3, 4], [NAN] * 4])]
SCORES = [np.ones(2), np.array([0.49996, NAN])]


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def write(path: Path, names: tuple[str, ...] = NAMES) -> Path:
    with open_table(path, names, video="clip", size=(90, 120)) as table:
        for number, (boxes, scores) in enumerate(zip(BOXES, SCORES, strict=True)):
            table.write(number, boxes[: len(names)], scores[: len(names)])
    return path


def test_one_target_without_a_name_has_no_column(tmp_path: Path):
    path = tmp_path / "boxes.csv"
    with CsvTable(path) as table:
        table.write(0, np.array([[1.0, 2.5, 30.0, 40.0]], np.float32), np.ones(1, np.float32))
        table.write(1, np.full((1, 4), NAN, np.float32), np.full(1, NAN))
        table.write(2, np.array([[-1.23456, 2, 3, 4]]), np.array([0.49996]))
        assert not path.exists()
        (hidden,) = tmp_path.glob(".boxes.csv.part/*")
        assert len(rows(hidden)) == 4  # rows are on disk as they come
    assert path.read_text() == (
        "frame,x,y,w,h,score,lost\n"
        "0,1.0000,2.5000,30.0000,40.0000,1.0000,0\n"
        "1,nan,nan,nan,nan,nan,1\n"
        "2,-1.2346,2.0000,3.0000,4.0000,0.5000,1\n"
    )
    assert list(tmp_path.iterdir()) == [path]


def test_targets_with_names_have_a_column_and_a_row_a_frame_each(tmp_path: Path):
    assert rows(write(tmp_path / "boxes.csv")) == [
        ["frame", "x", "y", "w", "h", "score", "lost", "target"],
        ["0", "1.0000", "2.5000", "30.0000", "40.0000", "1.0000", "0", "car"],
        ["0", "5.0000", "6.0000", "7.0000", "8.0000", "1.0000", "0", 'the "bike"'],
        ["1", "-1.2346", "2.0000", "3.0000", "4.0000", "0.5000", "1", "car"],
        ["1", "nan", "nan", "nan", "nan", "nan", "1", 'the "bike"'],
    ]
    assert rows(write(tmp_path / "one.csv", ("car",)))[1][-1] == "car"


def test_text_for_motchallenge_counts_from_one(tmp_path: Path):
    table = np.loadtxt(write(tmp_path / "boxes.MOT.txt"), delimiter=",")
    np.testing.assert_allclose(
        table,
        [
            [1, 1, 2, 3.5, 30, 40, 1, -1, -1, -1],
            [1, 2, 6, 7, 7, 8, 1, -1, -1, -1],
            [2, 1, -0.2346, 3, 3, 4, 0.5, -1, -1, -1],
        ],
    )


def test_json_for_coco_has_videos_images_annotations_tracks_and_categories(tmp_path: Path):
    content = json.loads(write(tmp_path / "boxes.json").read_text())
    assert content["videos"] == [{"id": 1, "name": "clip", "height": 90, "width": 120}]
    assert [(image["id"], image["frame_id"], image["video_id"]) for image in content["images"]] == [
        (1, 0, 1),
        (2, 1, 1),
    ]
    assert {(image["height"], image["width"]) for image in content["images"]} == {(90, 120)}
    assert [image["file_name"] for image in content["images"]] == ["000000.jpg", "000001.jpg"]
    assert [(track["id"], track["name"]) for track in content["tracks"]] == [(1, "car"), (2, 'the "bike"')]
    categories = {category["id"] for category in content["categories"]}
    found = [(each["image_id"], each["track_id"], each["bbox"], each["lost"]) for each in content["annotations"]]
    assert found == [
        (1, 1, [1, 2.5, 30, 40], False),
        (1, 2, [5, 6, 7, 8], False),
        (2, 1, [-1.2346, 2, 3, 4], True),
    ]
    assert [each["id"] for each in content["annotations"]] == [1, 2, 3]
    assert [each["area"] for each in content["annotations"]] == [1200, 56, 12]
    assert {each["category_id"] for each in content["annotations"]} <= categories
    assert {each["iscrowd"] for each in content["annotations"]} == {0}


def test_json_for_coco_names_the_files_of_the_frames_where_there_are_some(tmp_path: Path):
    files = ["a/1.png", "b/1.png", "b/2.png"]
    with open_table(tmp_path / "boxes.json", NAMES, video="", size=(9, 9), files=files) as table:
        for number in range(2):
            table.write(number, BOXES[0], SCORES[0])
    content = json.loads((tmp_path / "boxes.json").read_text())
    assert [image["file_name"] for image in content["images"]] == files[:2]


@pytest.mark.parametrize("name", ["boxes.csv", "boxes.mot.txt", "boxes.json"])
def test_a_table_survives_an_exception_and_is_complete(tmp_path: Path, name: str):
    with pytest.raises(ZeroDivisionError), open_table(tmp_path / name, NAMES, video="", size=(9, 9)) as table:  # noqa: PT012
        table.write(0, BOXES[0], SCORES[0])
        raise ZeroDivisionError
    text = (tmp_path / name).read_text()
    if name == "boxes.json":
        content = json.loads(text)
        assert (len(content["images"]), len(content["annotations"])) == (1, 2)
    else:
        assert len(text.splitlines()) == 2 + (name == "boxes.csv")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["boxes.csv", "boxes.mot.txt", "boxes.json"])
def test_without_a_frame_an_older_file_stays(tmp_path: Path, name: str):
    (tmp_path / name).write_text("older\n")
    with open_table(tmp_path / name, NAMES, video="", size=(9, 9)):
        pass
    assert (tmp_path / name).read_text() == "older\n"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.xlsx", "a.tsv", "a.csv.gz"])
def test_a_suffix_of_another_format_is_refused_before_anything_is_written(tmp_path: Path, name: str):
    with pytest.raises(InputError, match=r"expected one of \.csv \.mot\.txt \.json, found '\."):
        open_table(tmp_path / name, NAMES, video="", size=(9, 9))
    assert not [*tmp_path.iterdir()]


def test_the_name_decides_on_the_format(tmp_path: Path):
    for name, kind in {
        "a.csv": CsvTable,
        "a.txt": CsvTable,
        "a": CsvTable,
        "a.mot.txt": MotTable,
        "a.JSON": CocoTable,
    }.items():
        assert type(open_table(tmp_path / name, NAMES, video="", size=(9, 9))) is kind
