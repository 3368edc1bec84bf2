"""Follow several objects through a video in one pass, and print how far each of them went.

python examples/several_targets.py
python examples/several_targets.py --video my.mp4 --boxes 158 208 61 44 300 60 80 60 --names car tree
"""

import numpy as np
import tyro

import mfst_jax
from mfst_jax.media import demo_source, open_source

Box = tuple[float, float, float, float]
CAR, TREE = (158.0, 208.0, 61.0, 44.0), (300.0, 60.0, 80.0, 60.0)


def main(
    video: str | None = None, boxes: tuple[Box, ...] = (CAR, TREE), names: tuple[str, ...] = ("car", "tree")
) -> None:
    """Follows the objects in `boxes`.

    Args:
      video: a video file, a folder or glob of images, or a webcam's number; by default the built-in clip.
      boxes: x, y, width and height of each in the first frame, in pixels counted from 0.
      names: what each of them is called.
    """
    frames = (demo_source() if video is None else open_source(video)).frames()
    tracker = mfst_jax.MultiTracker()
    tracker.init(next(frames), boxes=boxes, names=names)
    latest = np.array(boxes)
    for frame in frames:
        latest = tracker.update(frame)  # [targets, 4], in the order of tracker.names
    moved = np.linalg.norm(latest[:, :2] - np.array(boxes)[:, :2], axis=1)
    for name, distance, score in zip(tracker.names, moved, tracker.scores, strict=True):
        print(f"{name}: moved by {distance:.1f} px, last score {score:.2f}")


if __name__ == "__main__":
    tyro.cli(main)
