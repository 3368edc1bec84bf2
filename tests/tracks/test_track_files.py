"""What `mfst track` leaves on disk comes back as it was, and anything else is refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfst_jax.config import to_dict
from mfst_jax.errors import InputError
from mfst_jax.media.source import Source
from mfst_jax.params import Contents
from mfst_jax.presets import ALEXNET
from mfst_jax.targets import THE_TARGET
from mfst_jax.tracks.files import Record, Track, read_record, read_table, record_path
from mfst_jax.tracks.tables import CsvTable

NAN = float("nan")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def read_one(path: Path) -> Track:
    (target,) = read_table(path)
    return target


# The table

coordinates = st.floats(-1e6, 1e6, width=32)
rows = st.lists(st.tuples(st.tuples(*[coordinates] * 4), st.floats(0, 1, width=32)), min_size=1, max_size=8)


@given(rows)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_boxes_come_back_as_they_were_written(tmp_path: Path, rows: list[tuple[tuple[float, ...], float]]):
    path = tmp_path / "boxes.csv"
    with CsvTable(path) as table:
        for number, (box, score) in enumerate(rows):
            table.write(number, np.array([box]), np.array([score]))
    target = read_one(path)
    assert target.name == THE_TARGET
    np.testing.assert_allclose(target.boxes, np.array([box for box, _ in rows]), rtol=1e-6, atol=6e-5)
    np.testing.assert_allclose(target.scores, np.array([score for _, score in rows]), atol=6e-5)
    assert target.lost.tolist() == [score < 0.5 for _, score in rows]


def test_a_box_without_numbers_comes_back_as_none(tmp_path: Path):
    path = tmp_path / "boxes.csv"
    with CsvTable(path) as table:
        table.write(0, np.array([[1, 2, 3, 4]]), np.ones(1))
        table.write(1, np.full((1, 4), NAN), np.full(1, NAN))
    target = read_one(path)
    assert np.isnan(target.boxes[1]).all()
    assert np.isnan(target.scores[1])
    assert target.lost.tolist() == [False, True]


def test_whether_it_is_lost_is_as_the_column_says_and_else_as_the_score_does(tmp_path: Path):
    text = "frame,x,y,w,h,score,lost\n0,1,2,3,4,0.9,0\n1,1,2,3,4,0.5000,1\n"
    assert read_one(write(tmp_path / "both.csv", text)).lost.tolist() == [False, True]
    text = "frame,x,y,w,h,score\n0,1,2,3,4,0.9\n1,1,2,3,4,0.2\n"
    assert read_one(write(tmp_path / "score.csv", text)).lost.tolist() == [False, True]
    target = read_one(write(tmp_path / "neither.csv", "frame,x,y,w,h\n0,1,2,3,4\n"))
    assert target.lost.tolist() == [False]
    assert np.isnan(target.scores).all()


def test_several_targets_are_told_apart_by_their_column_whatever_the_order(tmp_path: Path):
    text = "\ufefftarget, frame, w, h, x, y, score\ncar,0,3,4,1,2,.9\nbike,0,7,8,5,6,.8\nbike,1,7,8,6,6,.3\n"
    car, bike = read_table(write(tmp_path / "boxes.csv", text))
    assert (car.name, bike.name) == ("car", "bike")
    np.testing.assert_array_equal(car.boxes, [[1, 2, 3, 4], [NAN] * 4])
    np.testing.assert_array_equal(bike.boxes, [[5, 6, 7, 8], [6, 6, 7, 8]])
    assert bike.lost.tolist() == [False, True]


HEADER = "frame,x,y,w,h,score,lost\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a header with the columns frame,x,y,w,h, found none called frame or x or y or w or h"),
        ("frame,x,y,w\n0,1,2,3\n", "found none called h"),
        (HEADER, "expected a row for each frame, found none"),
        (HEADER + "0,1,2,3,4,1,0\n0,1,2,3,4,1,0\n", "line 3: expected a frame that target has no box of yet, found 0"),
        (HEADER + "0,1,2,3,4,1,0\n2,1,2,3,4,1,0\n", "expected frames from 0 on without a gap, found none of number 1"),
        (HEADER + "99999999999,1,2,3,4,1,0\n", "found none of number 0"),
        (HEADER + "0,1,2,3\n", "line 2: expected a frame's number"),
        (HEADER + "0,1,2,3,4,1,0,7\n", "line 2: expected a frame's number"),
        (HEADER + "0,1,2,3,4,1,2\n", "line 2: expected a frame's number"),
        (HEADER + "-1,1,2,3,4,1,0\n", "line 2: expected a frame's number"),
        (HEADER + "0.5,1,2,3,4,1,0\n", "line 2: expected a frame's number"),
        (HEADER + "0,1e300,2,3,4,1,0\n", "line 2: expected a frame's number"),
        (HEADER + "0,1,2,3,4,1e300,0\n", "line 2: expected a frame's number"),
        (HEADER + "0,left,2,3,4,1,0\n", "line 2: expected a frame's number, its box, score and 0 or 1, found '0,left"),
    ],
)
def test_what_is_no_table_of_boxes_is_refused_in_one_line(tmp_path: Path, text: str, said: str):
    with pytest.raises(InputError) as caught:
        read_table(write(tmp_path / "boxes.csv", text))
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"boxes {tmp_path / 'boxes.csv'}")
    assert "\n" not in str(caught.value)


def test_frames_count_from_the_first_one_that_was_tracked_by_the_record(tmp_path: Path):
    table = write(tmp_path / "boxes.csv", HEADER + "7,1,2,3,4,1,0\n8,2,2,3,4,0.3,1\n")
    with pytest.raises(InputError, match="expected frames from 0 on without a gap, found none of number 0"):
        read_table(table)
    Record("clip.mp4", (48, 64), first=7).write(table)
    record = read_record(table)
    assert record is not None
    assert record.first == 7
    (target,) = read_table(table)
    assert target.first == 7
    np.testing.assert_array_equal(target.boxes, [[1, 2, 3, 4], [2, 2, 3, 4]])
    assert target.lost.tolist() == [False, True]


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (6, "expected frames from 6 on without a gap, found none of number 6"),
        (8, "expected frames from 8 on, the first one by the record beside it, found 7"),
        (9, "expected frames from 9 on, the first one by the record beside it, found 7"),
    ],
)
def test_a_table_whose_record_names_another_first_frame_is_refused(tmp_path: Path, first: int, said: str):
    table = write(tmp_path / "boxes.csv", HEADER + "7,1,2,3,4,1,0\n8,2,2,3,4,0.3,1\n")
    Record("clip.mp4", (48, 64), first=first).write(table)
    with pytest.raises(InputError, match=said):
        read_table(table)


@pytest.mark.parametrize("first", [-1, 1.5, "3", True, 10**9, None])
def test_a_first_frame_that_is_no_number_of_one_is_refused(tmp_path: Path, first: object):
    table = write(tmp_path / "boxes.csv", HEADER + "0,1,2,3,4,1,0\n")
    Record("clip.mp4", (48, 64)).write(table)
    values = json.loads(record_path(table).read_text())
    record_path(table).write_text(json.dumps(values | {"first": first}))
    with pytest.raises(InputError, match=r"record .*boxes\.csv\.json: expected what mfst track writes, found first"):
        read_record(table)


@pytest.mark.parametrize("context", [-1, 101, 10**400, float("nan"), "1", None])
def test_a_context_that_no_configuration_has_is_refused(tmp_path: Path, context: object):
    table = write(tmp_path / "boxes.csv", HEADER + "0,1,2,3,4,1,0\n")
    Record("clip.mp4", (48, 64), {"context": 0.5}).write(table)
    values = json.loads(record_path(table).read_text())
    record_path(table).write_text(json.dumps(values | {"config": {"context": context}}))
    with pytest.raises(InputError, match=r"record .*boxes\.csv\.json: expected what mfst track writes, found 'clip"):
        read_record(table)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "[]", '{"source": "a"}', '{"size": [1e999, 1]}', '{"size": 7}', "\0"]
)
def test_a_record_of_anything_else_is_refused(tmp_path: Path, text: str):
    table = write(tmp_path / "boxes.csv", HEADER + "0,1,2,3,4,1,0\n")
    Record("clip.mp4", (48, 64)).write(table)
    if text.startswith('{"size"'):
        text = json.dumps(json.loads(record_path(table).read_text()) | json.loads(text))
    record_path(table).write_text(text)
    with pytest.raises(InputError, match=r"record .*boxes\.csv\.json: expected what mfst track writes, found "):
        read_record(table)


def test_what_cannot_be_read_is_refused(tmp_path: Path):
    (tmp_path / "video.csv").write_bytes(b"\x00\xff\xfe\x00ftyp")
    for name in ("video.csv", "nowhere.csv", "."):
        with pytest.raises(InputError, match="boxes "):
            read_table(tmp_path / name)


@given(st.text(alphabet='frame,xywhscolt0123456789.\n"nai-+ \x00', max_size=80), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_table_or_an_input_error(tmp_path: Path, text: str, with_header: bool):
    path = tmp_path / "boxes.csv"
    path.write_bytes(((HEADER if with_header else "") + text).encode())
    try:
        targets = read_table(path)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert all(target.boxes.shape == (len(target.lost), 4) for target in targets)


# The record

SOURCE = Source("clip", (120, 160), 4, 25.0, None, lambda: iter(()))  # type: ignore[arg-type,return-value]


def record_of(table: Path, path: str) -> Record:
    return Record.of(table, path, SOURCE, Contents(siamfc=False, alexnet="torchvision"), ALEXNET)


def test_a_record_comes_back_and_finds_the_source_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    table = Path("out/boxes.csv")
    record_of(table, "videos/clip.mp4").write(table)
    record = read_record(table)
    assert record is not None
    assert record.source == "../videos/clip.mp4"
    assert record.locate(table) == "videos/clip.mp4"
    assert record.size == (120, 160)
    assert record.weights == "AlexNet (torchvision)"
    assert json.dumps(record.config) == json.dumps(to_dict(ALEXNET))
    # Moved together, they find each other again.
    assert record.locate(Path("/elsewhere/out/boxes.csv")) == "/elsewhere/videos/clip.mp4"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["boxes.csv.json"]


def test_a_record_knows_the_names_of_the_targets_if_they_have_some(tmp_path: Path):
    table, contents = tmp_path / "boxes.csv", Contents(siamfc=False, alexnet="torchvision")
    for names, expected in ((("car", "bike"), ("car", "bike")), (("car",), ("car",)), ((THE_TARGET,), ())):
        Record.of(table, str(tmp_path / "clip.mp4"), SOURCE, contents, ALEXNET, names).write(table)
        record = read_record(table)
        assert record is not None
        assert record.targets == expected
        assert ("targets" in json.loads(record_path(table).read_text())) == (expected != ())


def test_a_webcam_has_no_frames_to_find_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert record_of(tmp_path / "boxes.csv", "0").locate(tmp_path / "boxes.csv") is None
    (tmp_path / "0").mkdir()  # a folder called 0 goes before the webcam, as where it is opened
    assert record_of(tmp_path / "boxes.csv", "0").locate(tmp_path / "boxes.csv") == str(tmp_path / "0")


def test_no_record_is_none(tmp_path: Path):
    assert read_record(tmp_path / "boxes.csv") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda values: "no JSON",
        lambda values: "[]",
        lambda values: json.dumps({name: value for name, value in values.items() if name != "size"}),
        lambda values: json.dumps(values | {"size": [1, 2, 3]}),
        lambda values: json.dumps(values | {"size": "large"}),
        lambda values: json.dumps(values | {"source": 7}),
        lambda values: json.dumps(values | {"config": [1]}),
        lambda values: json.dumps(values | {"targets": 7}),
        lambda values: json.dumps(values | {"targets": ["car", 7]}),
        lambda values: json.dumps(values | {"config": {"context": "wide"}}),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, change):
    table = tmp_path / "boxes.csv"
    record_of(table, str(tmp_path / "clip.mp4")).write(table)
    path = record_path(table)
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(InputError, match=f"record .*{path.name}: expected what mfst track writes"):
        read_record(table)


def test_a_record_that_cannot_be_written_says_so(tmp_path: Path):
    table = tmp_path / "boxes.csv"
    record_path(table).mkdir()
    with pytest.raises(InputError, match=r"record .* found a folder"):
        record_of(table, "clip.mp4").write(table)
