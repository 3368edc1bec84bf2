"""A clip as a folder of images in OTB's layout, and tables of boxes as they are read."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from scenes import video


def write_clip(folder: Path) -> tuple[Path, np.ndarray]:
    """Writes four frames and their true boxes below a folder; returns the clip's folder and the boxes."""
    frames, truth = video(30, frames=4)
    folder = folder / "Patch"
    (folder / "img").mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / "img" / f"{number:04d}.png")
    np.savetxt(folder / "groundtruth_rect.txt", truth + np.float32([1, 1, 0, 0]), fmt="%g", delimiter=",")
    return folder, truth


def rows(path: Path) -> list[dict[str, str]]:
    """Rows of a table in CSV."""
    with path.open() as file:
        return list(csv.DictReader(file))
