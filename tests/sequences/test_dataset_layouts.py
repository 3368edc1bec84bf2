"""Data sets as people have them: which sequences, frames, boxes and absences each layout gives, and what is refused."""

import json

import numpy as np
import pytest
from data_sets import (
    coco_video,
    cvat,
    cvat_box,
    davis,
    label_studio,
    mask,
    motchallenge,
    nfs,
    struct,
    tcolor128,
    trackingnet,
    uav123,
    whole_lasot,
)
from layouts import boxes_of, lasot, otb, vot, write_images, write_rows
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.sequences import Request, find_dataset, places_in, read_sequence
from mfst_jax.sequences.dataset_layouts import places_above
from mfst_jax.sequences.formats import safe_files
from mfst_jax.sequences.layouts import kind_of

NAN = float("nan")
ABSENT = (NAN, NAN, NAN, NAN)


def sequences(root, split=None, protocol=None):
    """Sequences of a data set by their names."""
    return {place.name: read_sequence(place) for place in find_dataset(root, Request(split, protocol))}


def numbers(sequence):
    return [int("".join(filter(str.isdecimal, path.stem))) for path in sequence.frames]


def refused(root, split=None):
    with pytest.raises(InputError) as error:
        sequences(root, split)
    assert "\n" not in str(error.value)
    return str(error.value)


# UAV123 and UAV20L


def test_uav123_takes_the_frames_of_each_part_of_a_video_from_the_published_ranges(tmp_path):
    parts = {"truck4_1": boxes_of(577), "truck4_2": boxes_of(685), "bike1": boxes_of(3)}
    uav123(tmp_path, parts, videos={"truck4": 1261, "bike1": 3})
    found = sequences(tmp_path)
    assert list(found) == ["bike1", "truck4_1", "truck4_2"]
    assert numbers(found["truck4_1"]) == [*range(1, 578)]
    assert numbers(found["truck4_2"]) == [*range(577, 1262)]
    for name, boxes in parts.items():
        np.testing.assert_array_equal(found[name].ground_truth, boxes)
        assert found[name].problems == ()


def test_uav123_takes_the_ranges_of_configseqs_before_the_published_ones(tmp_path):
    uav123(tmp_path, {"bird1_2": boxes_of(3), "car1": boxes_of(4)}, videos={"bird1": 9, "car1": 4})
    entries = [struct("bird1_2", "bird1", 5, 7), struct("car1", "car1", 1, 4)]
    (tmp_path / "configSeqs.m").write_text(f"function seqs=configSeqs\nseqUAV123={{{',...'.join(entries)}}};\n")
    assert numbers(sequences(tmp_path)["bird1_2"]) == [5, 6, 7]
    (tmp_path / "configSeqs.m").write_text("seqs={struct('name','bird1_2','startFrame',5)};")
    assert refused(tmp_path).startswith(
        f"{tmp_path}/configSeqs.m: expected name, path, startFrame and endFrame in each"
    )


def test_nans_of_uav123_are_absences(tmp_path):
    boxes = boxes_of(4)
    boxes[1:3] = NAN
    (sequence,) = sequences(uav123(tmp_path, {"bike2": boxes})).values()
    assert sequence.absent.tolist() == [False, True, True, False]
    np.testing.assert_array_equal(sequence.ground_truth, boxes)


def test_uav20l_is_taken_where_it_is_asked_for_or_alone(tmp_path):
    uav123(tmp_path, {"bike1": boxes_of(3)})
    uav123(tmp_path, {"bird1": boxes_of(5)}, part="UAV20L")
    assert list(sequences(tmp_path)) == ["bike1"]
    assert [place.layout for place in find_dataset(tmp_path, Request(protocol="uav20l"))] == ["uav20l"]
    assert len(sequences(tmp_path, protocol="uav20l")["bird1"].frames) == 5
    (tmp_path / "anno/UAV123/bike1.txt").unlink()
    (tmp_path / "anno/UAV123/att").rmdir()
    (tmp_path / "anno/UAV123").rmdir()
    assert list(sequences(tmp_path)) == ["bird1"]


def test_half_of_uav123_is_refused(tmp_path):
    write_images(tmp_path / "data_seq/UAV123/bike1", (1, 2), digits=6)
    assert "expected anno/UAV123/ or anno/UAV20L/ or anno/UAV123_10fps/ beside data_seq/" in refused(tmp_path)
    write_rows(tmp_path / "anno/UAV123/bike1.txt", boxes_of(2))
    assert list(sequences(tmp_path)) == ["bike1"]
    write_rows(tmp_path / "anno/UAV123/mine_2.txt", boxes_of(2))
    assert "expected configSeqs.m, which says the frames of mine_2 (UAV123)" in refused(tmp_path)


# TrackingNet


def test_trackingnet_has_its_training_and_test_parts(tmp_path):
    trackingnet(tmp_path, "TRAIN_0", "abc_1", boxes_of(12))
    trackingnet(tmp_path, "TRAIN_1", "abd_0", boxes_of(2))
    trackingnet(tmp_path, "TEST", "xyz_0", boxes_of(1), count=3)
    assert list(sequences(tmp_path, "train")) == ["abc_1", "abd_0"]
    assert list(sequences(tmp_path)) == ["xyz_0", "abc_1", "abd_0"]
    (test,) = sequences(tmp_path, "test").values()
    assert (numbers(test), test.annotated) == ([0, 1, 2], 1)
    train = sequences(tmp_path / "TRAIN_0")["abc_1"]
    assert numbers(train) == [*range(12)]
    np.testing.assert_array_equal(train.ground_truth, boxes_of(12))  # from 0


def test_half_of_trackingnet_is_refused(tmp_path):
    trackingnet(tmp_path, "TRAIN_0", "abc_1", boxes_of(3))
    assert refused(tmp_path, "test") == f"{tmp_path}: expected TEST (TrackingNet), found TRAIN_0/"
    write_rows(tmp_path / "mine/anno/a.txt", boxes_of(3))
    assert refused(tmp_path / "mine") == f"{tmp_path}/mine: expected anno/ and frames/ (TrackingNet), found anno/"
    assert find_dataset(tmp_path / "mine", Request(images=False))[0].name == "a"


# NFS


def test_nfs_has_corners_and_says_where_the_target_is_lost(tmp_path):
    nfs(tmp_path, "airboard_1", boxes_of(4), lost=[2])
    (sequence,) = sequences(tmp_path).values()
    assert sequence.name == "airboard_1"
    assert sequence.absent.tolist() == [False, False, True, False]
    np.testing.assert_array_equal(sequence.ground_truth[[0, 1, 3]], boxes_of(4)[[0, 1, 3]])


def test_nfs_at_30_frames_a_second_may_have_a_line_for_each_frame_at_240(tmp_path):
    nfs(tmp_path, "bee", boxes_of(81), count=11)
    nfs(tmp_path, "bee", boxes_of(81), rate="240")
    nfs(tmp_path, "car", boxes_of(4), count=3)  # a line more than images, as in some of its files
    found = sequences(tmp_path)
    np.testing.assert_array_equal(found["bee"].ground_truth, boxes_of(81)[::8])
    assert (len(found["bee"].frames), found["bee"].problems) == (11, ())
    assert len(found["car"].ground_truth) == len(found["car"].frames) == 3
    assert [len(each.frames) for each in sequences(tmp_path, protocol="nfs240").values()] == [81]
    assert list(sequences(tmp_path / "bee")) == list(sequences(tmp_path / "bee/30")) == ["bee"]


def test_what_is_wrong_with_nfs_is_named(tmp_path):
    truth = nfs(tmp_path, "bee", boxes_of(3)) / "bee/30/bee.txt"
    truth.write_text("0 1 2 3 4 0 0 0 0 bee\n0 1 2 x 4 1 0 0 0 bee\n0 1 2 3 4 2 0 0 0 bee\n")
    assert refused(tmp_path) == (
        f"{truth}, line 2: expected track, left, top, right, bottom, frame and three flags, "
        "found '0 1 2 x 4 1 0 0 0 bee'"
    )
    (tmp_path / "bee/30/bee").rename(tmp_path / "bee/30/images")
    assert refused(tmp_path) == f"{tmp_path}/bee/30: expected the images in bee/ (NFS), found bee.txt and images/"


# TColor-128, DTB70, VOT, LaSOT: a folder for each sequence


def test_tcolor128_says_which_images_it_annotates(tmp_path):
    (place,) = places_in(tcolor128(tmp_path, "Airport_ce", boxes_of(4), first=3, images=9))
    assert kind_of(place) == "tcolor128"
    sequence = read_sequence(place)
    assert (numbers(sequence), sequence.problems) == ([3, 4, 5, 6], ())
    np.testing.assert_array_equal(sequence.ground_truth, boxes_of(4))
    (tmp_path / "Airport_ce/Airport_ce_frames.txt").write_text("6,3\n")
    with pytest.raises(InputError, match=r"_frames\.txt, line 1: expected the first and the last frame, found '6,3'"):
        read_sequence(place)


def test_kinds_of_sequences_are_told_by_their_content(tmp_path):
    def kind(folder):
        (place,) = places_in(folder)
        return kind_of(place)

    assert kind(otb(tmp_path, "Animal1", boxes_of(3))) == ""
    assert kind(lasot(tmp_path, "airplane-1", boxes_of(3))) == "lasot"
    assert kind(vot(tmp_path, "ball", ["1,2,3,4"])) == "vot"
    assert kind(vot(tmp_path, "bag", ["0,0,4,0,4,4,0,4"], ".")) == "vot"
    assert kind(vot(tmp_path, "cup", ["m1,2,3,2,0,6"], ".")) == "vot"
    assert kind(vot(tmp_path, "mine", ["1,2,3,4"], ".")) == ""


def test_lasot_has_its_published_test_split_or_the_listed_one(tmp_path):
    whole_lasot(
        tmp_path, ["airplane-1", "airplane-2", "zebra-10", "zebra-9"], boxes_of(4), occluded=[1], out_of_view=[3]
    )
    assert list(sequences(tmp_path)) == ["airplane-1", "airplane-2", "zebra-9", "zebra-10"]
    assert list(sequences(tmp_path, "test")) == ["airplane-1", "zebra-10"]
    assert list(sequences(tmp_path, "train")) == ["airplane-2", "zebra-9"]
    (tmp_path / "testing_set.txt").write_text("airplane-2\r\nzebra-9\r\n")
    found = sequences(tmp_path, "test")
    assert list(found) == ["airplane-2", "zebra-9"]
    assert found["zebra-9"].labelled_absent.tolist() == [False, True, False, True]
    (tmp_path / "testing_set.txt").write_text("bear-1\n")
    assert refused(tmp_path, "test") == f"{tmp_path}: expected sequences of LaSOT's test split, found none of them"


# MOTChallenge

ROWS = [
    (1, 2, 11, 21, 30, 40, 1, 1, 1),
    (2, 2, 12, 21, 30, 40, 1, 1, 0.5),
    (4, 2, 14, 21, 30, 40, 1, 1, 1),
    (2, 7, 1, 1, 5, 5, 1, 1, 1),
    (3, 7, 2, 1, 5, 5, 1, 1, 1),
    (1, 9, 1, 1, 5, 5, 0, 3, 1),  # to be ignored
]


def test_each_identity_of_motchallenge_is_a_sequence_from_its_first_row_to_its_last(tmp_path):
    motchallenge(tmp_path / "MOT17/train", "MOT17-02-DPM", ROWS, 6)
    motchallenge(tmp_path / "MOT17/train", "MOT17-02-SDP", ROWS, 6)  # the same video again
    write_images(tmp_path / "MOT17/test/MOT17-01-DPM/img1", (1, 2))
    found = sequences(tmp_path / "MOT17")
    assert list(found) == ["MOT17-02-DPM-2", "MOT17-02-DPM-7"]
    assert [numbers(each) for each in found.values()] == [[1, 2, 3, 4], [2, 3]]
    first = found["MOT17-02-DPM-2"]
    assert first.absent.tolist() == [False, False, True, False]
    np.testing.assert_array_equal(first.ground_truth[3], (13, 20, 30, 40))
    assert list(sequences(tmp_path / "MOT17/train/MOT17-02-SDP")) == ["MOT17-02-SDP-2", "MOT17-02-SDP-7"]


def test_what_is_wrong_with_motchallenge_is_named(tmp_path):
    folder = motchallenge(tmp_path, "TUD", ROWS, 3)
    truth = folder / "gt/gt.txt"
    assert refused(folder) == f"{truth}: expected rows of 3 frames, one an image, found frame 4"
    truth.write_text("1,1,2,3,4,5\n1,1,2,3,4,5\n")
    assert refused(folder) == f"{truth}: expected one row a frame of identity 1, found several of one frame"
    truth.write_text("1,1,2,3,4,5,1\n0,1,2,3,4,5,1\n")
    assert (
        refused(folder) == f"{truth}, line 2: expected a frame and an identity from 1, and a box, found '0,1,2,3,4,5,1'"
    )
    truth.write_text("1,1,2,3\n")
    assert f"{truth}, line 1: expected frame, identity, left, top, width, height" in refused(folder)
    truth.unlink()
    assert refused(folder) == f"{folder}: expected gt/gt.txt (MOTChallenge), found gt/, img1/ and seqinfo.ini"


# DAVIS and YouTube-VOS


@pytest.mark.parametrize("mode", ["P", "L"])
def test_each_object_of_davis_is_a_sequence_of_the_bounds_of_its_pixels(tmp_path, mode):
    masks = [mask((1, 0, 2, 3), (4, 1, 2, 2)), mask((0, 0, 6, 1)), mask((2, 2, 1, 1), (3, 3, 3, 1))]
    davis(tmp_path, "bear", masks, mode=mode)
    found = sequences(tmp_path)
    assert list(found) == ["bear-1", "bear-2"]
    np.testing.assert_array_equal(found["bear-1"].ground_truth, [(1, 0, 2, 3), (0, 0, 6, 1), (2, 2, 1, 1)])
    np.testing.assert_array_equal(found["bear-2"].ground_truth, [(4, 1, 2, 2), ABSENT, (3, 3, 3, 1)])
    assert found["bear-2"].absent.tolist() == [False, True, False]


def test_255_is_the_object_of_davis_2016_and_nobody_knows_it_in_others(tmp_path):
    davis(tmp_path, "cow", [mask((1, 1, 2, 2), values=(255,))] * 2)
    davis(tmp_path, "dog", [mask((1, 1, 2, 2), (0, 0, 1, 1), values=(1, 255))] * 2)
    found = sequences(tmp_path)
    assert list(found) == ["cow", "dog"]
    np.testing.assert_array_equal(found["cow"].ground_truth, found["dog"].ground_truth)


def test_davis_has_lists_of_its_splits_and_may_annotate_the_first_frame_only(tmp_path):
    for name in ("bear", "bmx", "cow"):
        davis(tmp_path, name, [mask((1, 1, 2, 2)), None, None])
    for year, split, text in (
        ("480p", "train", "/JPEGImages/480p/cow/00000.jpg /Annotations/480p/cow/00000.png\n"),
        ("2017", "val", "bmx\ncow\n"),
    ):
        (tmp_path / "ImageSets" / year).mkdir(parents=True)
        (tmp_path / f"ImageSets/{year}/{split}.txt").write_text(text)
    assert list(sequences(tmp_path)) == ["bear", "bmx", "cow"]
    assert list(sequences(tmp_path, "test")) == ["bmx", "cow"]
    (sequence,) = sequences(tmp_path, "train").values()
    assert (sequence.name, sequence.annotated, sequence.absent.tolist()) == ("cow", 1, [False] * 3)


def test_objects_of_youtube_vos_may_come_later(tmp_path):
    davis(tmp_path, "0ab", [mask((1, 1, 2, 2)), mask((1, 1, 2, 2), (4, 0, 1, 1))], resolution="")
    meta = {"videos": {"0ab": {"objects": {"1": {"frames": ["00000"]}, "2": {"frames": ["00001"]}}}}}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    assert {name: numbers(each) for name, each in sequences(tmp_path).items()} == {"0ab-1": [0, 1], "0ab-2": [1]}
    (tmp_path / "meta.json").write_text("[")
    assert refused(tmp_path).startswith(f"{tmp_path}/meta.json: expected the objects of videos (YouTube-VOS), found")


def test_what_is_wrong_with_masks_is_named(tmp_path):
    davis(tmp_path, "bear", [mask((1, 1, 2, 2)), mask((1, 1, 2, 2), size=(5, 6))])
    masks = tmp_path / "Annotations/480p/bear"
    assert refused(tmp_path) == f"{masks}/00001.png: expected 6x4 pixels like its frame, found 6x5"
    Image.new("RGB", (6, 4)).save(masks / "00001.png")
    assert refused(tmp_path) == f"{masks}/00001.png: expected a mask with one number a pixel, found an image of RGB"
    (masks / "00001.png").write_bytes(b"no image")
    assert refused(tmp_path).startswith(f"{masks}/00001.png: expected a mask, found ")
    (tmp_path / "JPEGImages/480p/bear/00001.jpg").unlink()
    images = tmp_path / "JPEGImages/480p/bear"
    assert refused(tmp_path) == f"{masks}/00001.png: expected an image of this name in {images}, found none"
    (tmp_path / "Annotations").rename(tmp_path / "Masks")
    assert refused(tmp_path).startswith(f"{tmp_path}: expected JPEGImages/ and Annotations/ (DAVIS), found ")


# COCO for videos


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


# CVAT


def test_tracks_of_cvat_move_between_keyframes_until_they_are_outside(tmp_path):
    shapes = (
        cvat_box(1, 0, 0, 2, 2) + cvat_box(3, 2, 1, 4, 3) + cvat_box(4, 2, 1, 4, 3, outside=1) + cvat_box(6, 1, 1, 2, 2)
    )
    polygon = '<polygon frame="0" outside="0" points="1.0,0.5;4.0,1.5;2.0,3.0"></polygon>'
    tracks = f'<track id="4" label="car">{shapes}</track><track id="5" label="dog">{polygon}</track>'
    root = cvat(tmp_path / "task", tracks, 8)
    found = sequences(root)
    assert list(found) == ["task-4", "task-5"]
    car = found["task-4"]
    assert numbers(car) == [1, 2, 3, 4, 5, 6, 7]
    expected = [(0, 0, 2, 2), (1, 0.5, 2, 2), (2, 1, 2, 2), ABSENT, ABSENT, (1, 1, 1, 1), ABSENT]
    np.testing.assert_array_equal(car.ground_truth, expected)
    np.testing.assert_array_equal(found["task-5"].ground_truth[0], (1, 0.5, 3, 2.5))


def test_frames_of_cvat_are_told_by_their_numbers(tmp_path):
    root = cvat(
        tmp_path / "task", f'<track id="0" label="car">{cvat_box(2, 0, 0, 2, 2) + cvat_box(4, 0, 0, 2, 2)}</track>', 6
    )
    for number in (0, 1, 3, 5):  # every second frame, from the third one on
        (root / f"images/frame_{number:06d}.PNG").unlink()
    (sequence,) = sequences(root).values()
    assert numbers(sequence) == [2, 4]
    assert not sequence.absent.any()


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    "<annotations><track>&c;</track></annotations>"
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "expected CVAT's XML for videos, found a document type, which could declare entities"),
        (
            "<annotations>" + "<a>" * 100,
            "expected CVAT's XML for videos, found more than 64 elements within each other",
        ),
        ("<annotations>", "expected CVAT's XML for videos, found no element found"),
        ("<a><annotations/></a>", "expected CVAT's XML for videos, found the element a"),
        ("<annotations/>", "expected tracks, found none"),
        ("<annotations><image/></annotations>", "expected tracks, found images (export as CVAT for video)"),
        (
            f'<annotations><track id="0">{cvat_box(8, 0, 0, 1, 1)}</track></annotations>',
            "expected shapes in 2 frames, one an image, found frame 8",
        ),
        ('<annotations><track id="0"><box frame="0"/></track></annotations>', "frames and coordinates in track 0"),
        (
            f'<annotations><track id="0">{cvat_box(0, 0, 0, float("nan"), 1)}</track></annotations>',
            "found a box that is not finite in frame 0",
        ),
    ],
)
def test_what_is_wrong_with_cvat_is_named(tmp_path, text, words):
    cvat(tmp_path, "", 2)
    (tmp_path / "annotations.xml").write_text(text)
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path}/annotations.xml: expected ")
    assert words in message


def test_files_that_are_too_large_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_files, "LARGEST", 100)
    cvat(tmp_path, f'<track id="0">{cvat_box(0, 0, 0, 1, 1)}</track>', 1)
    assert "expected CVAT's XML for videos, found " in refused(tmp_path)
    assert "bytes, more than 100" in refused(tmp_path)


# Label Studio


def key(frame, x, y, width, height, **more):
    return {"frame": frame, "x": x, "y": y, "width": width, "height": height, "enabled": True, "rotation": 0, **more}


def test_rectangles_of_label_studio_are_per_cent_and_move_between_keyframes(tmp_path):
    one = [key(2, 0, 0, 50, 50), key(4, 50, 50, 50, 50, enabled=False), key(6, 0, 25, 100, 25)]
    two = [key(1, 50, 50, 50, 25, rotation=180)]
    found = sequences(label_studio(tmp_path, [one, two], 7))  # frames of 6 x 4 pixels
    assert list(found) == ["cars-1", "cars-2"]
    assert numbers(found["cars-1"]) == [2, 3, 4, 5, 6, 7]
    boxes = [(0, 0, 3, 2), (1.5, 1, 3, 2), (3, 2, 3, 2), ABSENT, (0, 1, 6, 1), (0, 1, 6, 1)]
    np.testing.assert_array_equal(found["cars-1"].ground_truth, boxes)
    np.testing.assert_allclose(found["cars-2"].ground_truth, [(0, 1, 3, 1)] * 7, atol=1e-12)


def test_what_is_wrong_with_label_studio_is_named(tmp_path):
    path = label_studio(tmp_path, [[key(9, 0, 0, 50, 50)]], 7) / "project-1.json"
    assert refused(tmp_path) == f"{path}: expected keyframes of cars in frames 1 to 7, found frames 9 to 9"
    label_studio(tmp_path, [[{"frame": 1, "x": 3}]], 7)
    words = "expected keyframes of cars with x, y, width and height, found no 'y' there"
    assert refused(tmp_path) == f"{path}: {words}"
    path.write_text('[{"data": {}, "annotations": [{"result": [{"type": "videorectangle", "value": {}}]}]}]')
    assert refused(tmp_path).startswith(f"{path}: expected Label Studio's JSON of videos, found ")
    label_studio(tmp_path, [[key(1, 0, 0, 50, 50)]], 7, video="..\\..\\etc.mp4")
    (tmp_path / "cars").rename(tmp_path / "dogs")
    assert "expected the frames of etc as images in etc/ (Label Studio's JSON of videos)" in refused(tmp_path)


# Described by their owner


def described(root, text):
    write_images(root / "frames/one", (1, 2, 3))
    write_images(root / "frames/two", (1, 2, 3))
    write_rows(root / "labels/one.txt", boxes_of(3))
    write_rows(root / "labels/two.txt", boxes_of(3) + 1)
    (root / "mfst.yaml").write_text(text)
    return root


def test_two_lines_describe_a_data_set(tmp_path):
    found = sequences(described(tmp_path, "images: frames/{name}/*.jpg\nboxes: labels/{name}.txt\n"))
    assert list(found) == ["one", "two"]
    assert numbers(found["two"]) == [1, 2, 3]
    np.testing.assert_array_equal(found["two"].ground_truth, boxes_of(3) + 1)


def test_corners_columns_and_the_first_pixel_may_be_described(tmp_path):
    text = '---\n# mine\nimages: "frames/{name}/*.jpg"\nboxes: ./labels/{name}.txt\nfirst_pixel: 1  # as in MATLAB\n'
    root = described(tmp_path, text + "box: corners\ncolumns: 2-5\n")
    write_rows(root / "labels/one.txt", [(0, 1, 1, 4, 3, 9), (1, 2, 2, 5, 4, 9), (2, 0, 0, 0, 0, 9)])
    (root / "labels/two.txt").unlink()
    (sequence,) = sequences(root).values()
    np.testing.assert_array_equal(sequence.ground_truth, [(0, 0, 3, 2), (1, 1, 3, 2), ABSENT])
    assert sequence.absent.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("images: frames/{name}/*.jpg\n", ": expected images and boxes, each with {name}, found no boxes"),
        ("images: frames/*.jpg\n", ", line 1: expected a value of images such as docs/sequences.md shows, found"),
        ("pictures: a\n", ", line 1: expected one of images, boxes, first_pixel, box, columns, each once, a colon"),
        ("images: {name}/*.jpg\nimages: {name}/*.jpg\n", ", line 2: expected one of images, boxes"),
        ("images: ../{name}/*.jpg\n", ", line 1: expected a path in this folder, found 'images: ../{name}/*.jpg'"),
        ("images: {name}/*.jpg\nboxes: {name}.csv\n", ": expected files {name}.csv, found none"),
        ("columns: 1-9\n", ", line 1: expected four columns, such as 2-5, found 'columns: 1-9'"),
    ],
)
def test_a_description_that_does_not_describe_is_named(tmp_path, text, words):
    message = refused(described(tmp_path, text))
    assert message.startswith(f"{tmp_path}/mfst.yaml")
    assert words.removeprefix("found")[:60] in message


# Of all


def test_two_layouts_in_one_folder_are_refused(tmp_path):
    uav123(tmp_path, {"bike1": boxes_of(3)})
    davis(tmp_path, "bear", [mask((1, 1, 2, 2))])
    words = "UAV123 (anno/ and data_seq/) and DAVIS (JPEGImages/ and Annotations/)"
    assert refused(tmp_path) == f"{tmp_path}: expected one layout, found {words}"
    root = cvat(otb(tmp_path, "mine", boxes_of(1)), f'<track id="0">{cvat_box(0, 0, 0, 1, 1)}</track>', 1)
    assert refused(root) == f"{root}: expected one layout, found CVAT (annotations.xml) and that of a single sequence"


@pytest.mark.parametrize("make", [uav123, trackingnet, nfs])
def test_more_rows_than_frames_are_refused(tmp_path, make):
    if make is uav123:
        truth = uav123(tmp_path, {"bike1": boxes_of(6)}, videos={"bike1": 4}) / "anno/UAV123/bike1.txt"
    elif make is trackingnet:
        truth = trackingnet(tmp_path, "TEST", "a", boxes_of(6), count=4) / "TEST/anno/a.txt"
    else:
        truth = nfs(tmp_path, "a", boxes_of(6), count=4) / "a/30/a.txt"
    assert refused(tmp_path) == f"{truth}, line 5: expected 4 lines, one a frame, found 6"


def test_the_data_set_of_a_folder_of_images_is_found_above_it(tmp_path):
    uav123(tmp_path / "uav", {"bird1_1": boxes_of(253), "bike1": boxes_of(3)}, videos={"bird1": 253, "bike1": 3})
    trackingnet(tmp_path / "tn", "TRAIN_3", "a_0", boxes_of(3))
    nfs(tmp_path / "nfs", "bee", boxes_of(3))
    davis(tmp_path / "davis", "bear", [mask((1, 1, 2, 2), (0, 0, 1, 1))])
    folder = motchallenge(tmp_path / "mot", "TUD", ROWS, 4)
    found = {
        images: [place.name for place in places_above(tmp_path / images)]
        for images in (
            "uav/data_seq/UAV123/bird1",
            "tn/TRAIN_3/frames/a_0",
            "nfs/bee/30/bee",
            "davis/JPEGImages/480p/bear",
        )
    }
    assert [*found.values()] == [["bird1_1"], ["a_0"], ["bee"], ["bear-1", "bear-2"]]
    assert [place.name for place in places_above(folder / "img1")] == ["TUD-2", "TUD-7"]
    assert places_above(tmp_path / "uav/anno") == []


def test_a_folder_of_none_of_these_layouts_is_none(tmp_path):
    otb(tmp_path, "Deer", boxes_of(3))
    assert find_dataset(tmp_path) is find_dataset(tmp_path / "Deer") is None
    with pytest.raises(InputError, match="nowhere: expected a folder of sequences, found No such file"):
        find_dataset(tmp_path / "nowhere")
