"""Tracks from crops: sequences in which the target walks at random, for studies that need more targets.

    python tools/wandering_crops.py ROOT --out FOLDER [--pace .08] [--reach 40]

Crops that are meant for pairs have the target at their centre, so that there is nothing to track. Here each crop below
ROOT becomes part of a frame of 480 x 480 pixels whose other pixels have the crop's mean colour. The crops walk: in each
frame by a normal deviate of `--pace` sides of the target in each direction, and back by a tenth of their distance from
the middle, at most `--reach` pixels away. The target changes as fast as it does from crop to crop, and moves as little
as at a camera's pace. The walk follows from the name of the sequence alone. Sequences are written in the layout of
GOT-10k; those that are there already are left as they are.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import Float, Int, UInt8
from PIL import Image
from tyro.conf import Positional

from mfst_jax import evaluation
from mfst_jax.errors import InputError
from mfst_jax.media.images import read_image
from mfst_jax.whole_files import write_atomically

SIDE = 480
"""Height and width of a frame, in pixels."""
RETURN = 0.1
"""Share of its distance from the middle by which a crop comes back in a frame."""


def walk(name: str, sides: Float[np.ndarray, " frames"], pace: float, reach: float) -> Int[np.ndarray, "frames 2"]:
    """Places (x, y) of a sequence's crops relative to the middle of the frame, in whole pixels.

    Args:
      name: of the sequence, from which the random numbers follow.
      sides: of the target in each frame, in pixels.
      pace: standard deviation of a step in each direction, in sides of the target.
      reach: farthest place in each direction, in pixels.
    """
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    place, places = np.zeros(2), []
    for side in sides:
        place = np.clip(place * (1 - RETURN) + random.normal(0, pace * side, 2), -reach, reach)
        places.append(np.rint(place).astype(np.int64))
    return np.array(places)


def frames(
    sequence: evaluation.Sequence, pace: float, reach: float
) -> Iterator[tuple[UInt8[np.ndarray, "480 480 3"], Float[np.ndarray, "4"]]]:
    """Frames of a walking target, and its box in each.

    Raises:
      InputError: a crop that does not fit into a frame wherever it may walk.
    """
    boxes = np.nan_to_num(np.asarray(sequence.ground_truth, np.float64))
    places = walk(sequence.name, np.sqrt(boxes[:, 2] * boxes[:, 3]), pace, reach)
    for path, box, place in zip(sequence.frames, boxes, places, strict=True):
        crop = read_image(path)
        size = np.array(crop.shape[1::-1])
        if max(size) + 2 * reach > SIDE:
            wanted = f"a crop of at most {SIDE - 2 * reach:g} pixels a side, or a smaller --reach"
            raise InputError(f"{path}: expected {wanted}, found {size[0]} x {size[1]}")
        x, y = (SIDE - size) // 2 + place
        frame = np.empty((SIDE, SIDE, 3), np.uint8)
        frame[:] = np.mean(crop, axis=(0, 1)).astype(np.uint8)
        frame[y : y + size[1], x : x + size[0]] = crop
        seen = box[2] > 0 and box[3] > 0
        yield frame, np.array([box[0] + x, box[1] + y, box[2], box[3]]) if seen else np.zeros(4)


def main(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    out: Path,
    pace: float = 0.08,
    reach: float = 40.0,
) -> None:
    """Writes a sequence for each one below a folder.

    Args:
        root: A folder of sequences of crops.
        out: The folder to write them to.
        pace: Standard deviation of a step in each direction, in sides of the target.
        reach: Farthest place from the middle in each direction, in pixels.
    """
    for sequence in evaluation.load(root).sequences:
        folder = out / sequence.name
        if (folder / "groundtruth.txt").is_file():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        boxes = []
        for number, (frame, box) in enumerate(frames(sequence, pace, reach), 1):
            Image.fromarray(frame).save(folder / f"{number:08d}.png", compress_level=1)
            boxes.append(",".join(f"{value:.2f}" for value in box))
        write_atomically(folder / "groundtruth.txt", "\n".join(boxes) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
