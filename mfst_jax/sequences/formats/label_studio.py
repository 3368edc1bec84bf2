"""Label Studio's JSON export of videos: each `videorectangle` of each task is a sequence.

The images of a task lie in a folder that is named after its video, or in `images/` or beside the file if there is one
task. Numbers are per cent of the frame; frames count from 1.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mfst_jax.errors import InputError, reason_in_content
from mfst_jax.sequences.formats.keyframes import Keyframe, boxes_between
from mfst_jax.sequences.formats.safe_files import json_files, only_file, read_json
from mfst_jax.sequences.image_files import describe, image_size, is_image
from mfst_jax.sequences.layouts import MOST_NUMBERS, list_images
from mfst_jax.sequences.places import Place, Request, target_name
from mfst_jax.sequences.sequence import Sequence, sequence_of_track

KIND = "Label Studio's JSON of videos"


def is_label_studio(root: Path) -> bool:
    """Whether a folder holds such a file."""
    return bool(_files(root))


def _files(root: Path) -> list[Path]:
    """Files that are a list with rectangles in videos."""
    return json_files((root,), b"[", lambda content: b'"videorectangle"' in content)


def find_label_studio(root: Path, request: Request) -> list[Place]:
    """A sequence for each rectangle."""
    path = only_file(root, _files(root), KIND)
    tasks, places, there = _tasks(path), [], False
    for number, (video, regions) in enumerate(tasks):
        candidates = [root / video, *([root / "images", root] if len(tasks) == 1 else [])]
        folder = next((each for each in candidates if each.is_dir() and any(map(is_image, each.iterdir()))), None)
        there = there or folder is not None
        for region in range(len(regions)):
            alone, target = len(regions) == 1, f"{number}/{region}"
            name, group = target_name(video, region + 1, alone=alone), "" if alone else video
            places.append(Place(name, folder or root / video, path, "label_studio", target=target, video=group))
    if request.images and tasks and not there:
        video = tasks[0][0]
        raise InputError(
            f"{root}: expected the frames of {video} as images in {video}/ ({KIND}), found {describe(root)}"
        )
    return places


def read_label_studio(place: Place, images: bool) -> Sequence:
    """Sequence of one rectangle: between keyframes it moves evenly, after one that is not enabled it is absent."""
    path, folder = place.truth, place.folder
    assert path is not None
    assert folder is not None
    number, region = map(int, place.target.split("/"))
    video, regions = _tasks(path)[number]
    frames = list_images(folder) if images or folder.is_dir() else ()
    if not frames:
        raise InputError(f"{path}: expected the frames of {video} as images in {folder}, found none")
    size = image_size(frames[0])
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not finite, and refused
            keyframes = [_keyframe(each, *size) for each in regions[region]["sequence"]]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: expected keyframes of {place.name} with x, y, width and height, found {reason_in_content(error)}"
        ) from None
    keyframes.sort(key=lambda keyframe: keyframe.frame)
    if not keyframes or not 1 <= keyframes[0].frame <= keyframes[-1].frame <= len(frames):
        found = f"frames {keyframes[0].frame} to {keyframes[-1].frame}" if keyframes else "none"
        raise InputError(f"{path}: expected keyframes of {place.name} in frames 1 to {len(frames)}, found {found}")
    boxes = boxes_between(keyframes, range(1, len(frames) + 1), held=True)
    return sequence_of_track(place.name, frames if images else (), boxes)


def _tasks(path: Path) -> list[tuple[str, list[Any]]]:
    """Name of the video and the rectangles of each task with some, by its first annotation that was not cancelled."""
    content, found = read_json(path, KIND), []
    try:
        for task in content:
            annotations = [each for each in task.get("annotations") or [] if not each.get("was_cancelled")]
            results = annotations[0]["result"] if annotations else []
            regions = [each["value"] for each in results if each.get("type") == "videorectangle"]
            if regions:
                video = next(value for value in task["data"].values() if isinstance(value, str))
                stem = PurePosixPath(re.sub(r"[?#].*", "", video).replace("\\", "/")).stem
                found.append((re.sub(r"^[0-9a-f]{8}-", "", stem), regions))
    except (AttributeError, KeyError, StopIteration, TypeError) as error:
        raise InputError(f"{path}: expected {KIND}, found {reason_in_content(error)}") from None
    for video, _ in found:
        if not re.fullmatch(r"[^/\\.][^/\\]*", video):
            raise InputError(f"{path}: expected the name of a video, found {video!r:.60}")
    return found


def _keyframe(each: Any, height: int, width: int) -> Keyframe:
    """Keyframe of a rectangle; one that is turned around its corner becomes its bounds."""
    frame = each["frame"]
    if frame != int(frame) or abs(frame) > MOST_NUMBERS:
        raise ValueError(f"frame {frame!r:.40}")
    x, y, w, h = (float(each[name]) / 100 for name in ("x", "y", "width", "height"))
    angle = np.deg2rad(float(each.get("rotation") or 0))
    sides = np.array([[0, 0], [w * width, 0], [0, h * height], [w * width, h * height]])
    turned = sides @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    low, high = turned.min(axis=0), turned.max(axis=0)
    box = np.array([x * width + low[0], y * height + low[1], *(high - low)])
    if not np.isfinite(box).all():
        raise ValueError(f"a box that is not finite in frame {frame}")
    return Keyframe(int(frame), box, ends=not each.get("enabled", True))
