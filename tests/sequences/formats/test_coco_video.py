"""COCO's JSON for videos: each track is a sequence."""

import json

import numpy as np
import pytest
from data_sets import ABSENT, coco_video, numbers, refused, sequences

from mfst_jax.evaluation import load
from mfst_jax.many.jobs import find_jobs
from mfst_jax.media import open_source
from mfst_jax.sequences import find_dataset


def tracks_of_coco(**changes):
    images = [
        {"id": 10 * video + frame, "video_id": video, "frame_id": frame, "file_name": f"v{video}/{frame}.jpg"}
        for video in (1, 2)
        for frame in (2, 0, 1)
    ]
    boxes = [(10, 7, (1, 2, 3, 1)), (12, 7, (2, 2, 3, 1)), (11, 8, (0, 0, 1, 1)), (20, 3, (1, 1, 1, 1))]
    annotations = [
        {"id": number, "image_id": image, "track_id": track, "category_id": 1, "bbox": box}
        for number, (image, track, box) in enumerate(boxes)
    ]
    videos = [{"id": 1, "name": "v1"}, {"id": 2, "name": "v2"}]
    return {"videos": videos, "images": images, "annotations": annotations, **changes}


def test_each_track_of_coco_is_a_sequence(tmp_path):
    found = sequences(coco_video(tmp_path, tracks_of_coco(), "frames"))
    assert {name: numbers(each) for name, each in found.items()} == {"v1-7": [0, 1, 2], "v1-8": [1, 2], "v2": [0, 1, 2]}
    np.testing.assert_array_equal(found["v1-7"].ground_truth, [(1, 2, 3, 1), ABSENT, (2, 2, 3, 1)])
    assert found["v1-8"].absent.tolist() == [False, True]


def test_names_of_videos_and_tracks_lead_nowhere(tmp_path):
    content = tracks_of_coco(videos=[{"id": 1, "name": "../../v\\1"}, {"id": 2, "name": "/"}])
    for annotation in content["annotations"][:2]:
        annotation["track_id"] = "/etc/x"
    assert list(sequences(coco_video(tmp_path / "mine", content))) == ["v-1--etc-x", "v-1-8", "mine"]


def test_videos_whose_names_become_the_same_are_told_apart_by_a_number(tmp_path):
    content = tracks_of_coco(videos=[{"id": 1, "name": "a-b"}, {"id": 2, "name": "a/b-7"}])
    found = sequences(coco_video(tmp_path, content, "frames"))
    assert {name: len(each.frames) for name, each in found.items()} == {"a-b-7": 3, "a-b-8": 2, "a-b-7-2": 3}
    np.testing.assert_array_equal(found["a-b-7-2"].ground_truth[0], (1, 1, 1, 1))
    jobs, _ = find_jobs([str(tmp_path)])
    assert [job.name for job in jobs] == [*found]
    assert open_source(f"{tmp_path}#a-b-7-2").ground_truth[0].tolist() == [1, 1, 1, 1]
    assert [sequence.name for sequence in load(tmp_path).sequences] == [*found]


def test_youtube_vis_has_the_boxes_of_a_track_in_one_annotation(tmp_path):
    content = {
        "videos": [{"id": 5, "length": 3, "file_names": ["ab/0.jpg", "ab/5.jpg", "ab/10.jpg"]}],
        "annotations": [{"id": 1, "video_id": 5, "bboxes": [None, [1, 2, 3, 1], [2, 2, 3, 1]], "category_id": 1}],
    }
    (sequence,) = sequences(coco_video(tmp_path, content, "train/JPEGImages", "instances.json")).values()
    assert (sequence.name, numbers(sequence)) == ("ab", [5, 10])
    content["annotations"][0]["bboxes"].append([1, 1, 1, 1])
    coco_video(tmp_path, content, "train/JPEGImages", "instances.json")
    assert "found 4 boxes, more than the 3 frames in annotation 0" in refused(tmp_path)


def test_the_file_of_the_split_is_taken(tmp_path):
    coco_video(tmp_path, tracks_of_coco())
    other = tracks_of_coco(annotations=tracks_of_coco()["annotations"][-1:])
    coco_video(tmp_path, other, file="annotations/validation.json")
    assert [list(sequences(tmp_path, split)) for split in ("train", "test")] == [["v1-7", "v1-8", "v2"], ["v2"]]
    assert refused(tmp_path).endswith("expected one file of COCO's JSON for videos, found train.json, validation.json")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": [{"id": 1, "video_id": 9}]}, "found no 9 there in its images"),
        ({"annotations": [{"image_id": 10, "bbox": [1, 2, 3, 4]}]}, "found no 'instance_id' there in annotation 0"),
        ({"annotations": [{"image_id": 10, "track_id": 1, "bbox": [1, 2]}]}, "in annotation 0"),
        ({"annotations": [{"image_id": 10, "track_id": 1, "bbox": [1, 2, 3, 1e999]}]}, "in annotation 0"),
        (
            {"annotations": 2 * tracks_of_coco()["annotations"]},
            "found a second box of track 7 in one frame in annotation",
        ),
        (
            {"images": [{"id": 1, "video_id": 1, "file_name": "../x.jpg"}]},
            "in the place of a file's name in the folder",
        ),
    ],
)
def test_what_is_wrong_with_coco_is_named(tmp_path, changes, words):
    coco_video(tmp_path, tracks_of_coco())
    (tmp_path / "annotations/train.json").write_text(json.dumps(tracks_of_coco(**changes)))
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path}/annotations/train.json: expected COCO's JSON for videos, found ")
    assert words in message


def test_a_result_in_coco_s_format_is_no_ground_truth(tmp_path):
    content = tracks_of_coco()
    content["annotations"][0]["score"] = 0.5
    assert find_dataset(coco_video(tmp_path, content)) is None
