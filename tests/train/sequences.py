"""Synthetic sequences in GOT-10k's layout, and videos of crops that never were on disk."""

import json
from pathlib import Path

import numpy as np
import scenes
from PIL import Image

from mfst_jax.train.data.curation import CROP_SIZE, Video


def write_sequence(folder: Path, seed: int, frames: int = 4) -> np.ndarray:
    """A sequence of PNGs and its true boxes, which it returns."""
    clip, boxes = scenes.video(seed, frames, velocity=(3, 2) if frames < 10 else (0, 0))
    folder.mkdir(parents=True)
    for number, frame in enumerate(clip, start=1):
        Image.fromarray(frame).save(folder / f"{number:08d}.png")
    np.savetxt(folder / "groundtruth.txt", boxes, "%.2f", delimiter=",")
    return boxes


def write_sequences(root: Path, count: int, frames: int = 4) -> Path:
    """`count` sequences below `root`."""
    for seed in range(count):
        write_sequence(root / f"video{chr(ord('a') + seed)}", seed, frames)
    return root


def video(name: str, frames: list[int] | np.ndarray, seed: int = 0) -> Video:
    """A video whose crops are random."""

    def read(row: int) -> np.ndarray:
        return np.random.default_rng([seed, row]).integers(0, 256, (CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)

    sizes = np.full((len(frames), 2), 64, np.float32)
    return Video(name, np.array(frames), sizes, json.dumps([name, seed, len(frames)]), read)


def write_vid(root: Path, name: str, seed: int, frames: int) -> np.ndarray:
    """A video in ILSVRC2015-VID's layout; a second track, 5 px to the right, from its third frame on."""
    clip, boxes = scenes.video(seed, frames, velocity=(3, 2))
    for number, (frame, box) in enumerate(zip(clip, boxes, strict=True)):
        image = root / "Data" / "VID" / "train" / "ILSVRC2015_VID_train_0000" / name / f"{number:06d}.JPEG"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame).save(image, "JPEG")
        left, top, width, height = box
        objects = "".join(
            f"<object><trackid>{track}</trackid><name>n01</name><bndbox><xmax>{left + 5 * track + width:.0f}</xmax>"
            f"<xmin>{left + 5 * track:.0f}</xmin><ymax>{top + height:.0f}</ymax><ymin>{top:.0f}</ymin></bndbox>"
            "</object>"
            for track in ((0, 1) if number >= 2 else (0,))
        )
        path = root / "Annotations" / "VID" / "train" / "ILSVRC2015_VID_train_0000" / name / f"{number:06d}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<annotation><folder>x</folder>{objects}</annotation>")
    return boxes
