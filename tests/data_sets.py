"""Small copies of data sets as a whole, laid out as their own archives unpack."""

import json
from pathlib import Path

import numpy as np
import pytest
from layouts import from_one, lasot, write_images, write_rows
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.sequences import Request, Sequence, find_dataset, read_sequence

SIZE = (4, 6)
"""Height and width of all images."""
ABSENT = (float("nan"),) * 4
"""Box of a frame without the target."""
IDENTITIES = [
    (1, 2, 11, 21, 30, 40, 1, 1, 1),
    (2, 2, 12, 21, 30, 40, 1, 1, 0.5),
    (4, 2, 14, 21, 30, 40, 1, 1, 1),
    (2, 7, 1, 1, 5, 5, 1, 1, 1),
    (3, 7, 2, 1, 5, 5, 1, 1, 1),
    (1, 9, 1, 1, 5, 5, 0, 3, 1),  # to be ignored
]
"""Rows of MOTChallenge's ground truth: two identities to follow, of four frames."""


def sequences(root: Path, split: str | None = None, protocol: str | None = None) -> dict[str, Sequence]:
    """Sequences of a data set by their names."""
    return {place.name: read_sequence(place) for place in find_dataset(root, Request(split, protocol))}


def numbers(sequence: Sequence) -> list[int]:
    """Numbers in the names of a sequence's images."""
    return [int("".join(filter(str.isdecimal, path.stem))) for path in sequence.frames]


def refused(root: Path, split: str | None = None) -> str:
    """Message with which a data set is refused."""
    with pytest.raises(InputError) as error:
        sequences(root, split)
    assert "\n" not in str(error.value)
    return str(error.value)


def uav123(root: Path, annotated: dict[str, np.ndarray], part: str = "UAV123", videos: dict[str, int] | None = None):
    """UAV123: true boxes from 1, NaN where the target is absent; `videos` are the numbers of images of each."""
    for name, boxes in annotated.items():
        write_rows(root / f"anno/{part}/{name}.txt", from_one(boxes))
    for name, count in (videos or {name: len(boxes) for name, boxes in annotated.items()}).items():
        write_images(root / f"data_seq/UAV123/{name}", range(1, count + 1), digits=6)
    (root / "anno/UAV123/att").mkdir(parents=True, exist_ok=True)
    return root


def struct(name: str, video: str, first: int, last: int) -> str:
    """An entry of UAV123's configSeqs.m."""
    return (
        f"struct('name','{name}','path','.\\data_seq\\UAV123\\{video}\\','startFrame',{first},'endFrame',{last},"
        "'nz',6,'ext','jpg','init_rect',[0,0,0,0])"
    )


def trackingnet(root: Path, part: str, name: str, boxes: np.ndarray, count: int | None = None) -> Path:
    """A sequence of TrackingNet, whose images are 0.jpg, 1.jpg and so on."""
    write_rows(root / part / "anno" / f"{name}.txt", boxes)
    write_images(root / part / "frames" / name, range(count or len(boxes)), digits=1)
    return root


def nfs(root: Path, name: str, boxes: np.ndarray, rate: str = "30", count: int | None = None, lost=()) -> Path:
    """A sequence of NFS: a line has track, corners, frame, lost, occluded, generated and the label in quotes."""
    folder = root / name / rate
    write_images(folder / name, range(1, (count or len(boxes)) + 1), digits=5)
    lines = [
        f'0 {x:g} {y:g} {x + w:g} {y + h:g} {row} {int(row in lost)} 0 {int(row % 8 > 0)} "{name}"\n'
        for row, (x, y, w, h) in enumerate(boxes)
    ]
    (folder / f"{name}.txt").write_text("".join(lines))
    return root


def tcolor128(root: Path, name: str, boxes: np.ndarray, first: int = 1, images: int | None = None) -> Path:
    """A sequence of TColor-128, the first of whose annotated images has the number `first`."""
    last = first + len(boxes) - 1
    write_images(root / name / "img", range(1, (images or last) + 1))
    write_rows(root / name / f"{name}_gt.txt", from_one(boxes))
    (root / name / f"{name}_frames.txt").write_text(f"{first},{last}\n")
    return root / name


def whole_lasot(root: Path, names: list[str], boxes: np.ndarray, **labels) -> Path:
    """LaSOT with some of its sequences."""
    for name in names:
        lasot(root / name.rsplit("-", 1)[0], name, boxes, **labels)
    return root


def motchallenge(root: Path, video: str, rows: list[tuple], count: int, info: bool = True) -> Path:
    """A video of MOTChallenge: rows of frame, identity, left, top, width, height, flag, class, visibility."""
    folder = root / video
    write_images(folder / "img1", range(1, count + 1), digits=6)
    write_rows(folder / "gt/gt.txt", np.array(rows, np.float64))
    if info:
        (folder / "seqinfo.ini").write_text(f"[Sequence]\nname={video}\nimDir=img1\nframeRate=30\nseqLength={count}\n")
    return folder


def davis(root: Path, video: str, masks: list[np.ndarray | None], resolution: str = "480p", mode: str = "P") -> Path:
    """A video of DAVIS: `masks` by frame, None where a frame has none."""
    write_images(root / "JPEGImages" / resolution / video, range(len(masks)), digits=5, size=SIZE)
    folder = root / "Annotations" / resolution / video
    folder.mkdir(parents=True)
    for number, mask in enumerate(masks):
        if mask is not None:
            image = Image.fromarray(np.asarray(mask, np.uint8))
            if mode == "P":
                image.putpalette([value for colour in range(256) for value in (colour, 255 - colour, 7)])
            image.save(folder / f"{number:05d}.png")
    return root


def mask(*boxes: tuple[int, int, int, int], values: tuple[int, ...] = (1, 2, 3), size: tuple[int, int] = SIZE):
    """Mask with a rectangle (x, y, w, h) for each object."""
    pixels = np.zeros(size, np.uint8)
    for (x, y, w, h), value in zip(boxes, values, strict=False):
        pixels[y : y + h, x : x + w] = value
    return pixels


def coco_video(root: Path, content: dict, folder: str = "", file: str = "annotations/train.json") -> Path:
    """COCO's JSON for videos and its images."""
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(content))
    names = [image["file_name"] for image in content.get("images", [])]
    for name in names + [each for video in content["videos"] for each in video.get("file_names", [])]:
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", SIZE[::-1]).save(path)
    return root


def cvat(root: Path, tracks: str, count: int) -> Path:
    """CVAT's export of a video with its frames."""
    write_images(root / "images", (), size=SIZE)
    for number in range(count):
        Image.new("L", SIZE[::-1]).save(root / f"images/frame_{number:06d}.PNG", "PNG")
    meta = f"<meta><task><id>7</id><name>mine</name><size>{count}</size><mode>interpolation</mode></task></meta>"
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    (root / "annotations.xml").write_text(f"{head}<annotations><version>1.1</version>{meta}{tracks}</annotations>")
    return root


def cvat_box(frame: int, left: float, top: float, right: float, bottom: float, outside: int = 0) -> str:
    """A box of a track in CVAT's XML."""
    return (
        f'<box frame="{frame}" keyframe="1" outside="{outside}" occluded="0" '
        f'xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}" z_order="0"></box>'
    )


def label_studio(root: Path, regions: list[list[dict]], count: int, video: str = "1a2b3c4d-cars.mp4") -> Path:
    """Label Studio's export of one task, with the frames of its video."""
    write_images(root / "cars", range(1, count + 1), digits=6, size=SIZE)
    result = [
        {
            "value": {"framesCount": count, "duration": count / 25, "sequence": sequence, "labels": ["Car"]},
            "id": f"region{number}",
            "from_name": "box",
            "to_name": "video",
            "type": "videorectangle",
        }
        for number, sequence in enumerate(regions)
    ]
    task = {"id": 1, "data": {"video": f"/data/upload/1/{video}"}, "annotations": [{"id": 3, "result": result}]}
    (root / "project-1.json").write_text(json.dumps([task]))
    return root


def pysot(root: Path, benchmark: str, boxes: dict, frames: int, **more: object) -> Path:
    """Pysot's JSON of a benchmark, with the images of its sequences."""
    content = {}
    for name, rows in boxes.items():
        write_images(root / name / "img", range(1, frames + 1), size=SIZE)
        rows = np.asarray(rows, float).tolist()
        images = [f"{name}/img/{number:04d}.jpg" for number in range(1, frames + 1)]
        content[name] = {"video_dir": name, "init_rect": rows[0], "img_names": images, "gt_rect": rows, **more}
    (root / f"{benchmark}.json").write_text(json.dumps(content))
    return root
