"""Synthetic sequences in GOT-10k's layout, and videos of crops that never were on disk."""

import json
from pathlib import Path

import numpy as np
import scenes
from PIL import Image

from train.folders import CROP_SIZE, Video


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
