"""Boxes between the keyframes that an annotation tool exports."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64


class Keyframe(NamedTuple):
    """Box that somebody drew in one frame.

    Attributes:
      frame: Number of the frame.
      box: (x, y, w, h) in 0-indexed pixels.
      ends: Whether the target is absent in the frames after it.
      seen: Whether the target is in the frame itself.
    """

    frame: int
    box: Float64[np.ndarray, "4"]
    ends: bool
    seen: bool = True


def boxes_between(
    keyframes: Sequence[Keyframe], frames: Sequence[int], *, held: bool
) -> Float64[np.ndarray, "frames 4"]:
    """Box in each frame: between two keyframes it moves evenly from one to the other.

    Args:
      keyframes: in order of their frames.
      frames: numbers of the frames, in order.
      held: whether the last keyframe's box stays in the frames after it, unless that ends the track.

    Returns:
      Boxes, NaN where the target is absent.
    """
    boxes, numbers = np.full((len(frames), 4), np.nan), np.asarray(frames)
    for number, keyframe in enumerate(keyframes):
        follower = keyframes[number + 1] if number + 1 < len(keyframes) else None
        if keyframe.seen:
            boxes[numbers == keyframe.frame] = keyframe.box
        if keyframe.ends or not keyframe.seen:
            continue
        if follower is None:
            if held:
                boxes[numbers > keyframe.frame] = keyframe.box
            continue
        between = (numbers > keyframe.frame) & (numbers < follower.frame)
        share = (numbers[between] - keyframe.frame) / max(1, follower.frame - keyframe.frame)
        target = follower.box if follower.seen else keyframe.box
        boxes[between] = keyframe.box + share[:, None] * (target - keyframe.box)
    return boxes
