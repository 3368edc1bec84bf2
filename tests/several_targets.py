"""Videos of several targets, and a stand-in for the tracker that follows them without computing anything."""

from typing import Any

import numpy as np
from scenes import texture, video

from mfst_jax.multi import Start


def scene_of_two(frames: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Frames [frames, 120, 160, 3] with two moving patches, and their true boxes [frames, 2, 4]."""
    clip, first = video(52, frames=frames, start=(20, 20))
    patch = texture(np.random.default_rng(53), 26, 30)
    second = np.empty_like(first)
    for number, frame in enumerate(clip):
        x, y = 100 - 2 * number, 70 - number
        frame[y : y + 26, x : x + 30] = patch
        second[number] = x, y, 30, 26
    return clip, np.stack([first, second], axis=1)


class StandIn:
    """In the place of `quick_start.begin`: every box moves by (1, 2) a frame; the scores are `SCORES` in turn."""

    SCORES: Any = ()
    """[frames, targets] of the frames after the first."""

    is_settled, is_compiling = True, False

    def __init__(self, params: Any, start: Start, *, steps: int | None):
        self.boxes, self.steps = start.boxes, 0

    def step(self, frame: Any) -> int:
        self.steps += 1
        return self.steps

    def fetch(self, output: int, *, responses: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        count = len(self.boxes)
        scores = self.SCORES[output - 1] if len(self.SCORES) else np.full(count, 0.9)
        maps = np.zeros((count, 272, 272), np.float32) if responses else None
        return self.boxes + np.float32([output, 2 * output, 0, 0]), np.array(scores, np.float32), maps
