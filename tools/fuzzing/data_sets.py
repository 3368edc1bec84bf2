"""Seeds and readers of annotated sequences: every layout, as `mfst eval`, `mfst track` and `mfst train` read them."""

import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

from fuzzing.parser import Content, Parser, picture
from mfst_jax.errors import InputError
from mfst_jax.evaluation import datasets
from mfst_jax.media import open_source
from mfst_jax.sequences import places_in
from mfst_jax.sequences.dataset_layouts import find_dataset
from mfst_jax.sequences.layouts import folders_in
from mfst_jax.train.data import annotated_videos

ROWS = "11,21,30,40\n12,22,30,40\n13,23,30,40\n"
TEXT = (".txt", ".label", ".ini", ".m", ".json", ".xml", ".yaml", "/sequence")
"""Ends of the names of annotations."""
MOST = 6
"""Number of sequences of a data set, and of jobs of a training, that are read."""


def images(folder: str, first: int = 1, digits: int = 4, suffix: str = "jpg") -> Content:
    """Three images, numbered from the first."""
    kind = "PNG" if suffix.lower() == "png" else "JPEG"
    return {f"{folder}/{number:0{digits}d}.{suffix}": picture(kind) for number in range(first, first + 3)}


def read_set(root: Path) -> None:
    """Reads a data set in one of the ways in which commands do, as its content has it; what is sound in all of them."""
    ways = (_sources, datasets.load, partial(datasets.load, images=False))
    files = sorted(path for path in root.rglob("*") if path.name.endswith((*TEXT, "sequence", ".png")))
    number = zlib.crc32(b"".join(path.read_bytes() for path in files))
    ways[number % len(ways)](root)


def read_videos(root: Path) -> None:
    """Reads a data set as trainings do."""
    for job in annotated_videos.find(root)[:MOST]:
        annotated_videos.read(job)


def _sources(root: Path) -> None:
    """Opens the folder, and each of its sequences by its name."""
    places = find_dataset(root) or [place for folder in (root, *folders_in(root)) for place in places_in(folder)]
    with suppress(InputError):
        open_source(root)
    for place in places[:MOST]:
        source = open_source(f"{root}#{place.name}")
        for _ in islice(source.frames(), 2):
            pass


def mask(*values: int) -> bytes:
    """Mask of 6 x 4 pixels with a number for each object."""
    from io import BytesIO

    from PIL import Image

    buffer, image = BytesIO(), Image.new("P", (6, 4))
    image.putpalette([value for colour in range(256) for value in (colour, 255 - colour, 7)])
    image.putdata([values[place % len(values)] for place in range(24)])
    image.save(buffer, "PNG")
    return buffer.getvalue()


def otb() -> Content:
    """OTB, a target and two of another video."""
    rows = {"Car4/groundtruth_rect.txt": ROWS, "Jogging/groundtruth_rect.1.txt": ROWS.replace(",", "\t")}
    return rows | {"Jogging/groundtruth_rect.2.txt": ROWS} | images("Car4/img") | images("Jogging/img")


def got10k() -> Content:
    """GOT-10k."""
    folder = "GOT-10k_Val_000001"
    return {
        "list.txt": f"{folder}\n",
        f"{folder}/groundtruth.txt": "10.5,20.25,30,40\n11,21,30,40\n12,22,30,40\n",
        f"{folder}/absence.label": "0\n0\n1\n",
        f"{folder}/cover.label": "8\n7\n0\n",
        f"{folder}/meta_info.ini": "[METAINFO]\nurl: none\nresolution: (640, 480)\n",
        **images(folder, digits=8),
    }


def lasot() -> Content:
    """LaSOT."""
    folder = "airplane/airplane-1"
    labels = {f"{folder}/full_occlusion.txt": "0,0,1", f"{folder}/out_of_view.txt": "0,1,0"}
    listed = {"testing_set.txt": "airplane-1\n", "training_set.txt": "airplane-1\n"}
    return {f"{folder}/groundtruth.txt": ROWS, **labels, **listed, **images(f"{folder}/img", digits=8)}


def vot() -> Content:
    """VOT: a mask, a polygon, an absence and a box."""
    lines = "m10,20,8,4,3,2,6,2,5\n10,20,40,20,40,60,10,60\n0\n"
    return {
        "list.txt": "ants1\n",
        "ants1/groundtruth.txt": lines,
        "ants1/sequence": "name=ants1\nfps=30\nchannels.color=color/%08d.jpg\ngroundtruth=groundtruth.txt\n",
        **images("ants1/color", digits=8),
    }


def tcolor128() -> Content:
    """TColor-128."""
    return {"Ball_ce2/Ball_ce2_gt.txt": ROWS, "Ball_ce2/Ball_ce2_frames.txt": "1,3\n", **images("Ball_ce2/img")}


def uav123() -> Content:
    """UAV123, with a sequence that is part of a video."""
    entry = (
        "struct('name','car1_1','path','.\\data_seq\\UAV123\\car1\\','startFrame',1,'endFrame',3,'nz',6,"
        "'ext','jpg','init_rect',[0,0,0,0])"
    )
    return {
        "anno/UAV123/car1_1.txt": ROWS,
        "anno/UAV123/bike1.txt": ROWS.replace("12,22,30,40", "NaN,NaN,NaN,NaN"),
        "configSeqs.m": f"seqs={{{entry},...\n}};\n",
        **images("data_seq/UAV123/car1", digits=6),
        **images("data_seq/UAV123/bike1", digits=6),
    }


def trackingnet() -> Content:
    """TrackingNet."""
    return {"TEST/anno/a-0.txt": ROWS, **images("TEST/frames/a-0", 0, digits=1)}


def nfs() -> Content:
    """NFS."""
    lines = '0 10 20 40 60 0 0 0 0 "car"\n0 11 21 41 61 1 0 0 1 "car"\n0 12 22 42 62 2 1 0 1 "car"\n'
    return {"car/30/car.txt": lines, **images("car/30/car", digits=5)}


def motchallenge() -> Content:
    """MOTChallenge."""
    rows = "1,2,11,21,30,40,1,1,1\n2,2,12,21,30,40,1,1,0.5\n2,7,1,1,5,5,1,1,1\n3,7,2,1,5,5,1,1,1\n1,9,1,1,5,5,0,3,1\n"
    info = "[Sequence]\nname=MOT17-02\nimDir=img1\nframeRate=30\nseqLength=3\n"
    return {"MOT17-02/gt/gt.txt": rows, "MOT17-02/seqinfo.ini": info, **images("MOT17-02/img1", digits=6)}


def davis() -> Content:
    """DAVIS."""
    masks = {f"Annotations/480p/bear/{number:05d}.png": mask(0, 1, 2) for number in range(3)}
    return {**images("JPEGImages/480p/bear", 0, digits=5), **masks, "ImageSets/2017/val.txt": "bear\n"}


def youtube_vos() -> Content:
    """YouTube-VOS."""
    masks = {f"Annotations/a1/{number:05d}.png": mask(0, 1, 3) for number in range(3)}
    objects = {"videos": {"a1": {"objects": {"1": {"category": "cat", "frames": ["00000"]}, "3": {}}}}}
    return {**images("JPEGImages/a1", 0, digits=5), **masks, "meta.json": json.dumps(objects)}


def coco_video() -> Content:
    """COCO's JSON for videos, as TAO has it."""
    content = {
        "videos": [{"id": 1, "name": "v"}],
        "images": [{"id": n + 5, "video_id": 1, "frame_index": n, "file_name": f"v/{n + 1:04d}.jpg"} for n in range(3)],
        "tracks": [{"id": 4, "video_id": 1}],
        "annotations": [{"id": n, "image_id": n + 5, "track_id": 4, "bbox": [1, 2, 3, 4]} for n in range(3)],
    }
    return {"annotations/validation.json": json.dumps(content), **images("frames/v")}


def youtube_vis() -> Content:
    """COCO's JSON for videos, as YouTube-VIS has it."""
    names = [f"v/{number:04d}.jpg" for number in (1, 2, 3)]
    content = {
        "videos": [{"id": 1, "file_names": names, "width": 6, "height": 4, "length": 3}],
        "annotations": [{"id": 9, "video_id": 1, "bboxes": [[1, 2, 3, 4], None, [1.5, 2, 3, 4]]}],
    }
    return {"train.json": json.dumps(content), **images("train/JPEGImages/v")}


def cvat() -> Content:
    """CVAT: boxes, a polygon and a mask."""
    box = '<box frame="{}" keyframe="1" outside="{}" occluded="0" xtl="1.5" ytl="1" xbr="3" ybr="3" z_order="0"></box>'
    polygon = '<polygon frame="0" outside="0" points="0.0,1.0;2.0,1.0;2.0,3.5"></polygon>'
    shape = '<mask frame="1" outside="0" rle="1, 2" left="1" top="1" width="2" height="2"></mask>'
    tracks = (
        f'<track id="0" label="a">{box.format(0, 0)}{box.format(2, 1)}</track><track id="1">{polygon}{shape}</track>'
    )
    head = (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task><size>3</size></task>'
    )
    frames = {f"images/frame_{number:06d}.PNG": picture("PNG") for number in range(3)}
    return {"annotations.xml": f"{head}</meta>{tracks}</annotations>", **frames}


def label_studio() -> Content:
    """Label Studio's export."""
    sequence = [
        {"frame": 1, "enabled": True, "rotation": 0, "x": 10, "y": 20.5, "width": 30, "height": 40, "time": 0.04},
        {"frame": 3, "enabled": False, "rotation": 15, "x": 12, "y": 20, "width": 30, "height": 40, "time": 0.12},
    ]
    value = {"framesCount": 3, "duration": 0.12, "sequence": sequence, "labels": ["Car"]}
    result = {"value": value, "id": "a", "from_name": "box", "to_name": "video", "type": "videorectangle"}
    task = {"id": 1, "annotations": [{"id": 2, "was_cancelled": False, "result": [result]}]}
    video = {"data": {"video": "/data/upload/1/1a2b3c4d-cars.mp4"}}
    return {"export.json": json.dumps([task | video]), **images("cars", digits=6)}


def pysot() -> Content:
    """Pysot's JSON of a benchmark: boxes with labels, and polygons."""
    names = [f"Car4/img/{number:04d}.jpg" for number in range(1, 4)]
    boxes = {"gt_rect": [[10, 20, 30, 40]] * 3, "absent": [0, 0, 1], "attr": ["IV"]}
    polygons = {"gt_rect": [[10, 20, 40, 20, 40, 60, 10, 60]] * 2}
    content = {
        name: {"video_dir": "Car4", "img_names": names, **more} for name, more in (("a", boxes), ("b", polygons))
    }
    return {"OTB100.json": json.dumps(content), **images("Car4/img")}


def described() -> Content:
    """Data set with a description of its own."""
    text = "images: frames/{name}/*.jpg\nboxes: labels/{name}.txt\nfirst_pixel: 1\nbox: corners\ncolumns: 2-5\n"
    return {
        "mfst.yaml": text,
        "labels/a.txt": "0,10,20,30,40,1\n1,11,20,31,40,1\n2,12,20,32,40,1\n",
        **images("frames/a"),
    }


def vid() -> Content:
    """ILSVRC2015-VID."""
    place = "VID/train/ILSVRC2015_VID_train_0000/v"
    box = "<bndbox><xmax>5</xmax><xmin>1</xmin><ymax>4</ymax><ymin>0</ymin></bndbox>"
    entry = f"<annotation><size><width>6</width></size><object><trackid>0</trackid>{box}</object></annotation>"
    frames = images(f"Data/{place}", 0, digits=6, suffix="JPEG")
    return frames | {f"Annotations/{place}/{number:06d}.xml": entry for number in range(3)}


def _parser(name: str, seed: Callable[[], Content], read: Callable[[Path], object] = read_set) -> Parser:
    return Parser(f"data set: {name}", read, (seed,), TEXT, text=0.8, share=0.5)


PARSERS = (
    _parser("OTB", otb),
    _parser("GOT-10k", got10k),
    _parser("LaSOT", lasot),
    _parser("VOT", vot),
    _parser("TColor-128", tcolor128),
    _parser("UAV123", uav123),
    _parser("TrackingNet", trackingnet),
    _parser("NFS", nfs),
    _parser("MOTChallenge", motchallenge),
    _parser("DAVIS", davis),
    _parser("YouTube-VOS", youtube_vos),
    Parser("data set: masks", read_set, (davis, youtube_vos), (".png",), share=0.5, compiled=True),
    _parser("COCO, TAO", coco_video),
    _parser("COCO, YouTube-VIS", youtube_vis),
    _parser("CVAT", cvat),
    _parser("Label Studio", label_studio),
    _parser("pysot", pysot),
    _parser("described", described),
    _parser("ILSVRC2015-VID, to train on", vid, read_videos),
    Parser(
        "data set: any, to train on",
        read_videos,
        (otb, lasot, motchallenge, coco_video, cvat),
        TEXT,
        text=0.8,
        share=0.5,
    ),
)
