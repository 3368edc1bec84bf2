"""MOTChallenge's text and COCO's JSON read: ours, other programs', and what is neither."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfst_jax.errors import InputError
from mfst_jax.media.source import Source
from mfst_jax.params import Contents
from mfst_jax.presets import ALEXNET
from mfst_jax.tracks.files import Record, read_table
from mfst_jax.tracks.tables import open_table

NAN = float("nan")
SOURCE = Source("clip", (120, 160), 4, 25.0, None, lambda: iter(()))  # type: ignore[arg-type,return-value]

coordinates = st.floats(-1e6, 1e6, width=32)
frames = st.lists(
    st.lists(st.tuples(st.tuples(*[coordinates] * 4), st.floats(0, 1, width=32)), min_size=2, max_size=2),
    min_size=1,
    max_size=6,
)


@given(frames, st.sampled_from(["boxes.csv", "boxes.mot.txt", "boxes.json"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_several_targets_come_back_as_they_were_written(tmp_path: Path, frames: list[Any], name: str):
    path = tmp_path / name
    with open_table(path, ["car", "bike"], video="clip", size=(120, 160)) as table:
        for number, rows in enumerate(frames):
            table.write(number, np.array([box for box, _ in rows]), np.array([score for _, score in rows]))
    contents = Contents(siamfc=False, alexnet="torchvision")
    Record.of(path, str(tmp_path / "clip.mp4"), SOURCE, contents, ALEXNET, ["car", "bike"]).write(path)
    found = read_table(path)
    assert [track.name for track in found] == ["car", "bike"]
    for place, track in enumerate(found):
        boxes, scores = (np.array([rows[place][part] for rows in frames]) for part in (0, 1))
        np.testing.assert_allclose(track.boxes, boxes, rtol=1e-6, atol=6e-5)
        np.testing.assert_allclose(track.scores, scores, atol=6e-5)


def test_targets_of_motchallenge_without_a_record_are_called_by_their_ids(tmp_path: Path):
    path = tmp_path / "MOT17-02.txt"
    path.write_text("2, 7, 1, 1, 10, 20, -1, -1, -1, -1\n\n4,7,2,1,10,20,.25,-1,-1,-1\n1,3,11,21,5,6\n")
    seven, three = read_table(path)
    assert (seven.name, three.name) == ("7", "3")
    np.testing.assert_array_equal(seven.boxes, [[NAN] * 4, [0, 0, 10, 20], [NAN] * 4, [1, 0, 10, 20]])
    np.testing.assert_array_equal(seven.scores, np.float32([NAN, NAN, NAN, 0.25]))
    assert seven.lost.tolist() == [False, False, False, True]
    np.testing.assert_array_equal(three.boxes[0], [10, 20, 5, 6])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,1,2,3,4,5,1\n1,1,2,3,4,5,1\n", "line 2: expected a frame that 1 has no box of yet, found 0 again"),
        ("0,1,2,3,4,5,1\n", "line 1: expected a frame's number from 1"),
        ("1,1,2,3,4,5\n1.5,1,2,3,4,5\n", "line 2: expected a frame's number from 1"),
        ("99999999,1,2,3,4,5\n", "line 1: expected a frame's number from 1"),
        ("1,1,2,3,4,5\n2,1,2,3,4\n", "line 2: expected a frame's number from 1, a target's and its box, found '2,1"),
        ("1,1,1e300,3,4,5\n", "line 1: expected a frame's number from 1"),
        ("1,1,2,3,4,5,1e300\n", "line 1: expected a frame's number from 1"),
    ],
)
def test_what_is_no_text_of_motchallenge_is_refused(tmp_path: Path, text: str, said: str):
    path = tmp_path / "boxes.txt"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"boxes {path}, {said}")


def coco(**changes: Any) -> dict[str, Any]:
    """A file of one video with two frames, in which one target has a box in the second."""
    images = [{"id": 50, "frame_id": 1}, {"id": 40, "frame_id": 0}]
    annotations = [{"image_id": 50, "track_id": 9, "bbox": [1, 2, 3, 4]}]
    return {"videos": [{"id": 3}], "images": images, "annotations": annotations} | changes


def test_json_of_another_program_is_read(tmp_path: Path):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(coco()))
    (nine,) = read_table(path)
    assert nine.name == "9"
    np.testing.assert_array_equal(nine.boxes, [[NAN] * 4, [1, 2, 3, 4]])
    assert np.isnan(nine.scores).all()
    assert nine.lost.tolist() == [False, False]
    annotations = [{"image_id": 50, "instance_id": 9, "bbox": [1, 2, 3, 4], "score": 0.2}]
    path.write_text(json.dumps(coco(annotations=annotations, tracks=[{"id": 9, "name": "car"}])))
    (car,) = read_table(path)
    assert (car.name, car.lost.tolist()) == ("car", [False, True])


def test_tracks_of_one_name_in_coco_are_told_apart_by_their_ids(tmp_path: Path):
    path = tmp_path / "boxes.json"
    named = [{"id": 1, "name": "car"}, {"id": 2, "name": "car"}, {"id": 3, "name": "bus"}]
    boxes = [{"image_id": 50, "track_id": track, "bbox": [track, 2, 3, 4]} for track in (1, 2, 3)]
    path.write_text(json.dumps(coco(annotations=boxes, tracks=named)))
    found = [(track.name, track.boxes[1, 0]) for track in read_table(path)]
    assert found == [("car-1", 1), ("car-2", 2), ("bus", 3)]


@pytest.mark.parametrize("name", ["frame_id", "frame_index"])
@pytest.mark.parametrize("first", [0, 1])
def test_frames_of_json_may_count_from_0_or_1(tmp_path: Path, name: str, first: int):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(coco(images=[{"id": 40, name: first}, {"id": 50, name: first + 1}])))
    (nine,) = read_table(path)
    np.testing.assert_array_equal(nine.boxes, [[NAN] * 4, [1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "found"),
        ({}, "no 'images' there in its images"),
        (coco(videos=[{"id": 1}, {"id": 2}]), "expected boxes of one video, found 2 videos"),
        (coco(videos=7), "in its videos"),
        (coco(images=[{"id": 50, "frame_id": 5}]), "expected images of the frames from 0 or 1 on"),
        (coco(images=[{"frame_id": 0}]), "no 'id' there in its images"),
        (coco(annotations=[{"image_id": 50, "bbox": [1, 2, 3, 4]}]), "no 'instance_id' there in annotation 0"),
        (coco(annotations=[{"image_id": 41, "track_id": 1, "bbox": [1, 2, 3, 4]}]), "no 41 there in annotation 0"),
        (coco(annotations=[{"image_id": 50, "track_id": 1, "bbox": [1, 2, 3]}]), "in annotation 0"),
        (coco(annotations=[{"image_id": 50, "track_id": 1, "bbox": [1, 2, 3, 1e300]}]), "in annotation 0"),
        (coco(annotations=[{"image_id": 50, "track_id": 1, "bbox": [1, 2, 3, 4], "score": 1e300}]), "in annotation 0"),
        (coco(annotations=coco()["annotations"] * 2), "annotation 1: expected a frame that 9 has no box of yet"),
        (coco(annotations=[]), "expected a row for each frame, found none"),
    ],
)
def test_what_is_no_json_of_coco_is_refused_in_one_line(tmp_path: Path, content: Any, said: str):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"boxes {path}")
    assert str(caught.value).count(str(path)) == 1
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_in_the_place_of_json_is_refused(tmp_path: Path):
    path = tmp_path / "boxes.json"
    for text in ("frame,x,y,w,h\n", "[" * 100_000, ""):
        path.write_text(text)
        with pytest.raises(InputError, match="expected COCO's JSON for videos, found"):
            read_table(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "frame_id", "image_id", "track_id", "bbox", "score"]), inner, max_size=6
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["videos", "images", "annotations", "tracks"]), values, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_a_table_or_an_input_error(tmp_path: Path, content: dict[str, Any]):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content))
    try:
        tracks = read_table(path)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert all(track.boxes.shape == (len(track.lost), 4) for track in tracks)
