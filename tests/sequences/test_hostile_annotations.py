"""Annotations that lie about sizes, lead elsewhere or overflow are refused, soon and without much memory."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from data_sets import cvat, cvat_box, label_studio, motchallenge, refused, struct, uav123
from hypothesis import given
from hypothesis import strategies as st
from layouts import boxes_of, from_one, got10k, otb, vot, write_images, write_rows

from mfst_jax.errors import InputError
from mfst_jax.evaluation import datasets
from mfst_jax.media import open_source
from mfst_jax.sequences import find_dataset, places_in, read_sequence, text
from mfst_jax.sequences.annotations import read_boxes
from mfst_jax.sequences.image_files import choose_images
from mfst_jax.sequences.places import target_name

BOXES = boxes_of(3)


@pytest.mark.parametrize("number", ["1e10", "-1e10", "1e308"])
def test_a_box_farther_away_than_any_frame_is_refused_with_its_line(tmp_path: Path, number: str):
    folder = otb(tmp_path, "bee", BOXES)
    (folder / "groundtruth_rect.txt").write_text(f"1,2,3,4\n{number},2,3,4\n1,2,3,4\n")
    with pytest.raises(InputError, match=r"groundtruth_rect.txt, line 2: expected a box within 1e\+09 pixels, found"):
        open_source(folder)


def test_corners_that_overflow_are_refused(tmp_path: Path):
    folder = vot(tmp_path, "bee", ["1,2,3,4,5,6,7,8", "-1e308,0,1e308,0,1e308,1,-1e308,1"])
    (place,) = places_in(folder)
    with pytest.raises(InputError, match="line 2: expected finite numbers"):
        read_sequence(place)


def test_a_far_box_of_a_track_is_refused_with_its_frame(tmp_path: Path):
    motchallenge(tmp_path, "a", [(1, 1, 1, 1, 5, 5, 1, 1, 1), (2, 1, 1e20, 1, 5, 5, 1, 1, 1)], 2)
    assert "frame 2: expected a box within 1e+09 pixels, found 1e+20" in refused(tmp_path)


@pytest.mark.parametrize(("first", "last"), [(5, 2), (1, 10**12), (-3, 2)])
def test_numbers_of_frames_that_cannot_be_are_refused_at_once(tmp_path: Path, first: int, last: int):
    uav123(tmp_path, {"car1_1": BOXES}, videos={"car1": 3})
    (tmp_path / "configSeqs.m").write_text(struct("car1_1", "car1", first, last))
    started = time.monotonic()
    assert "configSeqs.m: expected name, path, startFrame and endFrame" in refused(tmp_path)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("video", ["..", "a\0b"])
def test_a_video_that_is_no_name_of_a_folder_is_refused(tmp_path: Path, video: str):
    uav123(tmp_path, {"car1_1": BOXES}, videos={"car1": 3})
    (tmp_path / "configSeqs.m").write_text(struct("car1_1", video, 1, 3))
    assert "configSeqs.m: expected name, path" in refused(tmp_path)


def test_a_video_with_a_name_that_is_too_long_is_refused(tmp_path: Path):
    uav123(tmp_path, {"car1_1": BOXES}, videos={"car1": 3})
    (tmp_path / "configSeqs.m").write_text(struct("car1_1", "é" * 200, 1, 3))
    with pytest.raises(InputError, match="expected a folder of images, found "):
        datasets.load(tmp_path)


def test_many_lacking_images_are_counted_and_not_listed():
    images = [Path(f"{number:04d}.jpg") for number in (1, 2, 5)]
    started = time.monotonic()
    with pytest.raises(InputError, match=r"0003.jpg: expected frames 1 to 99999999, .* and 99999995 more"):
        choose_images(images, 4, range(1, 10**8))
    assert time.monotonic() - started < 1
    with pytest.raises(InputError, match=r"0003.jpg: expected frames 1 to 5, found none of this name and 1 more"):
        choose_images(images, 4, None)


def test_images_with_numbers_of_hundreds_of_digits_are_taken_for_timestamps():
    images = (Path("1.jpg"), Path("2.jpg"), Path("9" * 200 + ".jpg"))
    assert choose_images(images, 2, None) == images


def test_a_size_of_thousands_of_digits_counts_as_none(tmp_path: Path):
    folder = got10k(tmp_path, "a", BOXES)
    (folder / "meta_info.ini").write_text(f"resolution: ({'9' * 5000}, 480)\n")
    (sequence,) = datasets.load(tmp_path, "got10k").sequences
    assert sequence.size == (4, 6)  # that of its images


def test_xml_in_an_encoding_that_nobody_knows_is_refused(tmp_path: Path):
    cvat(tmp_path, f'<track id="0">{cvat_box(0, 1, 1, 3, 3)}</track>', 1)
    text = (tmp_path / "annotations.xml").read_text()
    (tmp_path / "annotations.xml").write_text(text.replace("utf-8", "utf-9"))
    assert "annotations.xml: expected CVAT's XML for videos, found unknown encoding" in refused(tmp_path)


def test_names_that_lead_elsewhere_are_refused(tmp_path: Path):
    write_images(tmp_path / "elsewhere", range(1, 4))
    root = tmp_path / "set"
    for name in ("../elsewhere/0001.jpg", str(tmp_path / "elsewhere" / "0001.jpg")):
        content = {
            "videos": [{"id": 1, "name": "v"}],
            "images": [{"id": 1, "video_id": 1, "frame_id": 0, "file_name": name}],
            "annotations": [{"id": 1, "image_id": 1, "track_id": 1, "bbox": [0, 0, 2, 2]}],
        }
        (root / "annotations").mkdir(parents=True, exist_ok=True)
        (root / "annotations" / "train.json").write_text(json.dumps(content))
        assert "in the place of a file's name in the folder" in refused(root)


def test_a_truth_that_is_huge_does_not_warn_when_scored(tmp_path: Path):
    write_rows(tmp_path / "truth" / "Car4.txt", from_one(np.array([[1, 2, 3, 4], [1e10, 2, 3, 4]])))
    with pytest.raises(InputError, match="line 2: expected a box within"):
        datasets.load(tmp_path / "truth", images=False)


@pytest.mark.parametrize(
    "line",
    [
        "channels.color=../../other/%08d.jpg",
        "groundtruth=/etc/passwd",
        "channels.ir=..\\..\\x",
        "groundtruth=a/../../b",
    ],
)
def test_properties_of_vot_that_lead_elsewhere_are_refused(tmp_path: Path, line: str):
    folder = vot(tmp_path, "bee", ["1,2,3,4", "1,2,3,4"])
    (folder / "groundtruth.txt").rename(folder / "truth.txt")
    (folder / "sequence").write_text(f"name=bee\n{line}\n")
    with pytest.raises(InputError, match=r"sequence: expected a path in this folder for"):
        open_source(folder)


def test_a_folder_of_images_above_the_video_is_none(tmp_path: Path):
    folder = motchallenge(tmp_path, "a", [(1, 1, 1, 1, 5, 5, 1, 1, 1)], 1)
    (folder / "seqinfo.ini").write_text("[Sequence]\nimDir=..\n")
    (sequence,) = (read_sequence(place) for place in find_dataset(tmp_path) or ())
    assert [path.parent for path in sequence.frames] == [folder / "img1"]


@pytest.mark.parametrize("name", ["groundtruth_rect.txt", "sequence"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_pipes_and_devices_under_the_names_of_files_do_not_block(tmp_path: Path, name: str, kind: str):
    folder = otb(tmp_path, "bee", BOXES)
    (folder / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    else:
        (folder / name).mkdir()
    started = time.monotonic()
    if name == "sequence":
        assert open_source(folder).ground_truth is not None
    else:
        assert open_source(folder).ground_truth is None
        with pytest.raises(InputError, match="expected a text file, found a"):
            read_boxes(folder / name, origin=1)
    assert time.monotonic() - started < 5


def test_a_file_of_numbers_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text, "LARGEST_TEXT", 20)
    path = write_rows(tmp_path / "a.txt", BOXES)
    with pytest.raises(InputError, match=r"a.txt: expected a text file, found more than 20 bytes"):
        read_boxes(path, origin=1)


@given(st.text(max_size=20), st.text(max_size=20), st.booleans())
def test_no_name_of_a_target_leads_out_of_a_folder(video: str, target: str, alone: bool):
    name = target_name(video, target, alone=alone)
    assert Path("folder", f"{name}.txt").resolve().parent == Path("folder").resolve()
    assert not {"/", "\\", "\0", "\n"} & {*name}
    assert name not in ("", ".", "..")


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "a\0.jpg", "d/" * 3000 + "a.jpg"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str):
    content = {
        "videos": [{"id": 1, "name": "v"}],
        "images": [{"id": 1, "video_id": 1, "frame_id": 0, "file_name": name}],
        "annotations": [{"id": 1, "image_id": 1, "track_id": 1, "bbox": [0, 0, 2, 2]}],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    assert "in the place of a file's name in the folder" in refused(tmp_path)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e308", "1e999"])
def test_numbers_of_json_that_overflow_are_refused(tmp_path: Path, number: str):
    images = [{"id": 1, "video_id": 1, "frame_id": 0, "file_name": "a.jpg"}]
    annotations = [{"id": 1, "image_id": 1, "track_id": 1, "bbox": [7777, 0, 2, 2]}]
    content = {"videos": [{"id": 1, "name": "v"}], "images": images, "annotations": annotations}
    write_images(tmp_path / "coco", ())
    (tmp_path / "coco" / "train.json").write_text(json.dumps(content).replace("7777", number))
    (tmp_path / "coco" / "a.jpg").write_bytes(b"")
    assert "expected" in refused(tmp_path / "coco")
    for key in ("frame", "x", "width"):
        keyframe = {"frame": 1, "enabled": True, "x": 1, "y": 1, "width": 1, "height": 1, "rotation": 5} | {key: 7777}
        label_studio(tmp_path / key, [[keyframe]], 2)
        path = next((tmp_path / key).glob("*.json"))
        path.write_text(path.read_text().replace("7777", number))
        assert "expected" in refused(tmp_path / key)
