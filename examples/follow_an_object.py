"""Follow one object through a video, and print its box and score in every frame.

python examples/follow_an_object.py
python examples/follow_an_object.py --video my.mp4 --box 158,208,61,44
"""

import tyro

import mfst_jax
from mfst_jax.media import demo_source, open_source
from mfst_jax.tracks import LOST_BELOW


def main(video: str | None = None, box: str = "158,208,61,44") -> None:
    """Follows the object in `box`.

    Args:
      video: a video file, a folder or glob of images, or a webcam's number; by default the built-in clip.
      box: x,y,w,h in the first frame, in pixels counted from 0.
    """
    source = demo_source() if video is None else open_source(video)
    frames = source.frames()  # uint8 RGB [height, width, 3], one at a time
    tracker = mfst_jax.Tracker()  # with the built-in weights
    tracker.init(next(frames), [float(number) for number in box.split(",")])
    for number, frame in enumerate(frames, start=1):
        x, y, width, height = tracker.update(frame)
        lost = "  lost?" if tracker.score < LOST_BELOW else ""
        print(f"frame {number}: {x:.1f},{y:.1f},{width:.1f},{height:.1f}  score {tracker.score:.2f}{lost}")


if __name__ == "__main__":
    tyro.cli(main)
