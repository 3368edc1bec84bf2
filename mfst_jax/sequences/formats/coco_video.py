"""COCO's JSON for videos, as TAO, CocoVID and YouTube-VIS have it: a sequence for each track of each video.

`annotations` belong to images by `image_id` and to tracks by `track_id` or `instance_id`; or, in YouTube-VIS, each is a
track with `bboxes`, one for each of the video's `file_names`, null where the target is absent.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mfst_jax.errors import InputError, reason_in_content
from mfst_jax.sequences.formats.safe_files import json_files, name_inside, only_file, read_json
from mfst_jax.sequences.image_files import check_there, describe
from mfst_jax.sequences.layouts import name_of
from mfst_jax.sequences.places import Place, Request, target_name
from mfst_jax.sequences.sequence import Sequence, sequence_of_track
from mfst_jax.sequences.text import changes

KIND = "COCO's JSON for videos"
IMAGE_FOLDERS = ("", "images", "frames", "JPEGImages", "data", "train", "val", "valid", "test", "train/JPEGImages")
"""Folders of a data set that the names of images may begin from, beside the one that the JSON file is named after."""
SPLITS = {"train": ("train",), "test": ("val", "test")}

Video = tuple[list[str], dict[str, dict[int, list[float]]]]
"""Names of the images of a video in order, and the boxes of each track by the number of the image."""


def is_coco(root: Path) -> bool:
    """Whether a folder, or its folder `annotations`, holds such a file."""
    return bool(_files(root))


def _files(root: Path) -> list[Path]:
    """Files that are an object with videos and annotations; those of a tracker's result have scores."""
    return json_files(
        (root, root / "annotations"),
        b"{",
        lambda content: b'"videos"' in content and b'"annotations"' in content and b'"score"' not in content,
    )


def find_coco(root: Path, request: Request) -> list[Place]:
    """A sequence for each track, of the file of the split that is asked for where there are several files."""
    files = _files(root)
    if len(files) > 1 and request.split is not None:
        files = [path for path in files if any(word in path.stem.lower() for word in SPLITS[request.split])] or files
    path = only_file(root, files, KIND)
    places: list[Place] = []
    there, videos = False, _videos(path, changes(path))
    for number, (title, (images, tracks)) in enumerate(videos.items()):
        folder = _base(root, path, images[0]) if images else None
        there = there or folder is not None
        name, alone = title.strip("/") or name_of(root), len(tracks) == 1
        for track in tracks:
            called, target, video = target_name(name, track, alone=alone), f"{number}/{track}", "" if alone else name
            places.append(Place(called, folder or root, path, "coco_video", target=target, video=video))
    if request.images and places and not there:
        image = next(iter(images for images, tracks in videos.values() if tracks))[:1]
        raise InputError(f"{root}: expected images such as {''.join(image)} ({KIND}), found {describe(root)}")
    return places


def read_coco(place: Place, images: bool) -> Sequence:
    """Sequence of one track, from the first image that has a box of it."""
    path, folder = place.truth, place.folder
    assert path is not None
    assert folder is not None
    number, track = place.target.split("/", 1)
    names, tracks = [*_videos(path, changes(path)).values()][int(number)]
    boxes = np.full((len(names), 4), np.nan)
    for row, box in tracks[track].items():
        boxes[row] = box
    frames = [folder / name for name in names] if images else []
    check_there(frames, path)
    return sequence_of_track(place.name, frames, boxes)


def _base(root: Path, path: Path, image: str) -> Path | None:
    """Folder that the names of the images begin from."""
    folders = [root / name for name in (*IMAGE_FOLDERS, path.stem)]
    return next((folder for folder in folders if (folder / image).is_file()), None)


@lru_cache(maxsize=2)
def _videos(path: Path, version: int) -> dict[str, Video]:
    """Videos of a file by their names, in its order."""
    content = read_json(path, KIND)
    where = "its videos"
    try:
        videos: dict[Any, tuple[str, list[tuple[Any, str]], dict[str, dict[int, list[float]]]]] = {}
        for video in content["videos"]:
            listed = video.get("file_names") or []
            names = [(number, name_inside(name)) for number, name in enumerate(listed)]
            title = video.get("name") or (Path(listed[0]).parent.as_posix() if listed else str(video["id"]))
            videos[video["id"]] = (str(title), names, {})
        where = "its images"
        place_of = {}
        for image in content.get("images") or []:
            order = image.get("frame_id", image.get("frame_index", len(place_of)))
            place_of[image["id"]] = (image["video_id"], order)
            videos[image["video_id"]][1].append((order, name_inside(image["file_name"])))
        rows = {key: {order: row for row, (order, _) in enumerate(sorted(each[1]))} for key, each in videos.items()}
        for number, each in enumerate(content["annotations"]):
            where = f"annotation {number}"
            if "bboxes" in each:
                tracks, track, boxes = videos[each["video_id"]][2], str(each["id"]), each["bboxes"]
                if len(boxes) > len(videos[each["video_id"]][1]):
                    raise ValueError(f"{len(boxes)} boxes, more than the {len(videos[each['video_id']][1])} frames")
                found = {row: box for row, box in enumerate(boxes) if box}
            else:
                video, order = place_of[each["image_id"]]
                tracks, track = videos[video][2], str(each["track_id"] if "track_id" in each else each["instance_id"])
                found = {rows[video][order]: each["bbox"]}
            for row, box in found.items():
                if row in tracks.setdefault(track, {}):
                    raise ValueError(f"a second box of track {track} in one frame")
                tracks[track][row] = _box(box)
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{path}: expected {KIND}, found {reason_in_content(error)} in {where}") from None
    named: dict[str, Video] = {}
    for title, images, tracks in videos.values():
        while title in named:
            title += "'"
        named[title] = ([name for _, name in sorted(images)], tracks)
    return named


def _box(box: Any) -> list[float]:
    x, y, width, height = map(float, box)
    if not np.isfinite([x, y, width, height]).all():
        raise ValueError(f"{box}"[:60])
    return [x, y, width, height]
