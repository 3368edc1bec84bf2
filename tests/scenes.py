"""Small synthetic videos with a known target: a textured patch that moves over a textured background."""

import numpy as np
from PIL import Image


def texture(rng: np.random.Generator, height: int, width: int, grain: int = 6) -> np.ndarray:
    """[height, width, 3] uint8 of smooth random colour, with detail at about `grain` pixels."""
    coarse = rng.integers(0, 256, (height // grain + 2, width // grain + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def video(
    seed: int,
    frames: int = 4,
    size: tuple[int, int] = (120, 160),
    target: tuple[int, int] = (28, 24),
    start: tuple[int, int] = (60, 40),
    velocity: tuple[int, int] = (3, 2),
) -> tuple[np.ndarray, np.ndarray]:
    """Frames [frames, height, width, 3] uint8 and the target's true boxes [frames, 4] float32 (x, y, w, h)."""
    rng = np.random.default_rng(seed)
    background = texture(rng, *size, grain=12)
    height, width = target
    patch = texture(rng, height, width)
    clip = np.repeat(background[None], frames, axis=0)
    boxes = np.empty((frames, 4), np.float32)
    for index, frame in enumerate(clip):
        x, y = start[0] + index * velocity[0], start[1] + index * velocity[1]
        frame[y : y + height, x : x + width] = patch
        boxes[index] = x, y, width, height
    return clip, boxes


def zoom(
    seed: int, growth: float, frames: int = 12, side: int = 240, target: int = 40
) -> tuple[np.ndarray, np.ndarray]:
    """A textured patch in the middle that grows by a factor a frame: frames and boxes as those of `video`."""
    rng = np.random.default_rng(seed)
    background, patch = texture(rng, side, side, grain=12), texture(rng, target, target)
    clip = np.repeat(background[None], frames, axis=0)
    boxes = np.empty((frames, 4), np.float32)
    for index, frame in enumerate(clip):
        size = round(target * growth**index)
        corner = (side - size) // 2
        resized = Image.fromarray(patch).resize((size, size), Image.Resampling.BICUBIC)
        frame[corner : corner + size, corner : corner + size] = np.asarray(resized)
        boxes[index] = corner, corner, size, size
    return clip, boxes
