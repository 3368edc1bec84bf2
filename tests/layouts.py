"""Sequences on disk, in the layouts of the benchmarks, with images of a few pixels."""

from pathlib import Path

import numpy as np
from PIL import Image


def boxes_of(count: int) -> np.ndarray:
    """Boxes (x, y, w, h) that move and grow, in 0-indexed pixels."""
    steps = np.arange(count, dtype=np.float64)
    return np.stack([10 + 2 * steps, 20 + steps, 30 + 0 * steps, 40 + steps], axis=1)


def from_one(boxes: np.ndarray) -> np.ndarray:
    """0-indexed boxes as OTB writes them."""
    return np.add(boxes, (1, 1, 0, 0))


def write_rows(path: Path, rows: np.ndarray, delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(delimiter.join(f"{number:g}" for number in row) + "\n" for row in np.atleast_2d(rows)))
    return path


def write_images(folder: Path, numbers, digits: int = 4, size: tuple[int, int] = (4, 6)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.new("L", size[::-1]).save(folder / f"{number:0{digits}d}.jpg")


def otb(
    root: Path, name: str, boxes: np.ndarray, numbers=None, file: str = "groundtruth_rect.txt", delimiter: str = ","
) -> Path:
    """A sequence in OTB's layout, its boxes written from 1. `numbers` are those of its images."""
    write_images(root / name / "img", range(1, len(boxes) + 1) if numbers is None else numbers)
    write_rows(root / name / file, from_one(boxes), delimiter)
    return root / name


def got10k(root: Path, name: str, boxes: np.ndarray, absent=None, cover=None, size=(480, 640)) -> Path:
    """A sequence in GOT-10k's layout."""
    folder = root / name
    write_images(folder, range(1, len(boxes) + 1), digits=8)
    write_rows(folder / "groundtruth.txt", boxes)
    for label, rows in (("absence", absent), ("cover", cover)):
        if rows is not None:
            (folder / f"{label}.label").write_text("".join(f"{row:d}\n" for row in rows))
    if size is not None:
        (folder / "meta_info.ini").write_text(f"[METAINFO]\nurl: none\nresolution: ({size[1]}, {size[0]})\n")
    return folder


def lasot(root: Path, name: str, boxes: np.ndarray, occluded=(), out_of_view=(), line: bool = True) -> Path:
    """A sequence in LaSOT's layout, its boxes written from 1; labels, of the rows from 0, are on one line there."""
    folder = root / name
    write_images(folder / "img", range(1, len(boxes) + 1), digits=8)
    write_rows(folder / "groundtruth.txt", from_one(boxes))
    (folder / "nlp.txt").write_text("white airplane landing on ground")
    for label, rows in (("full_occlusion", occluded), ("out_of_view", out_of_view)):
        separator = "," if line else "\n"
        (folder / f"{label}.txt").write_text(separator.join(str(int(row in rows)) for row in range(len(boxes))))
    return folder


def vot(root: Path, name: str, lines: list[str], place: str = "color") -> Path:
    """A sequence in VOT's layout, its regions as they are given; `place` is where its images are."""
    folder = root / name
    write_images(folder / place, range(1, len(lines) + 1), digits=8)
    (folder / "groundtruth.txt").write_text("".join(f"{line}\n" for line in lines))
    if place != ".":
        (folder / "sequence").write_text(f"name={name}\nfps=30\nchannels.color={place}/%08d.jpg\n")
    return folder
