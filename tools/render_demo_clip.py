"""Built-in demo clip and its exact ground truth, rendered: `python tools/render_demo_clip.py [folder]`.

A drone descends over a meadow and follows a striped rally car (the target) along a winding track. Its twin in other
colours comes towards it and passes close by; then the car drives half under a tree. Everything is procedural and
seeded. Lengths are in world units: one is a pixel of the first frame. Points are (x, y), angles are radians, clockwise
in the picture. Colours are in 0..1.
"""

import argparse
from pathlib import Path

import av
import numpy as np
from demo_scenery import CAR, CORNER, DENSITY, LANE, Scene, from_bytes, park, to_bytes, track
from PIL import Image

FRAMES, FPS = 150, 25
WIDTH, HEIGHT = 640, 360
OVERSAMPLING = 2
"""Samples per pixel and axis while rendering."""


def pose(x: float, lane: float, backwards: bool) -> tuple[np.ndarray, float]:
    """Middle and heading of a car at `x` that keeps `lane` units to the right of the middle of the track."""
    slope = float(track(x + 8) - track(x - 8)) / 16
    heading = np.arctan(slope)
    middle = np.array([x, float(track(x))]) + lane * np.array([-np.sin(heading), np.cos(heading)])
    return middle, heading + (np.pi if backwards else 0)


def target_pose(t: int) -> tuple[np.ndarray, float]:
    """Middle and heading of the target in frame `t`."""
    return pose(330 + 2.8 * t + 14 * np.sin(t / 21), LANE, backwards=False)


def distractor_pose(t: int) -> tuple[np.ndarray, float]:
    """Middle and heading of the twin in frame `t`."""
    return pose(700 - 2.8 * t, -LANE, backwards=True)


def camera(t: int) -> tuple[np.ndarray, float, float]:
    """Middle of the view, pixels per unit, and the angle of the view, in frame `t`."""
    share = t / (FRAMES - 1)
    middle = np.array([455 + 175 * share + 9 * np.sin(t / 17), 306 + 16 * np.sin(t / 31)])
    shake = 0.5 * np.array([np.sin(t * 1.7) + np.sin(t * 0.9 + 1), np.sin(t * 1.3 + 2) + np.cos(t * 0.7)])
    return middle + shake, 1.62**share, 0.07 * np.sin(t / 40)


def to_view(points: np.ndarray, t: int) -> np.ndarray:
    """World points [n, 2] as points of frame `t`, in pixels from its top-left corner (not pixel centres)."""
    middle, zoom, turn = camera(t)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (points - middle) @ rotation.T * zoom + (WIDTH / 2, HEIGHT / 2)


def ground_truth(t: int) -> tuple[float, float, float, float]:
    """Exact axis-aligned box of the target in frame `t`: x, y, w, h in 0-indexed pixels, hidden parts included.

    The car is a rectangle rounded by discs of radius `CORNER`, and so is its picture: the box is that of the discs.
    """
    middle, heading = target_pose(t)
    half = np.array(CAR) / 2 - CORNER
    forward = np.array([np.cos(heading), np.sin(heading)])
    right = np.array([-forward[1], forward[0]])
    corners = [middle + a * half[0] * forward + b * half[1] * right for a in (-1, 1) for b in (-1, 1)]
    seen, radius = to_view(np.array(corners), t), CORNER * camera(t)[1]
    low, high = seen.min(axis=0) - radius, seen.max(axis=0) + radius
    return (*low.tolist(), *(high - low).tolist())


def render(scene: Scene, still: np.ndarray, t: int) -> np.ndarray:
    """Frame `t`, uint8 RGB. `still` is the lit world without cars."""
    ground, world = scene.ground.copy(), still.copy()
    cars = ((scene.distractor, distractor_pose(t)), (scene.target, target_pose(t)))
    for area in [park(ground, car, *where) for car, where in cars]:
        world[area] = scene.lit(ground, area)
    middle, zoom, turn = camera(t)
    cos, sin, scale = np.cos(turn), np.sin(turn), DENSITY / (zoom * OVERSAMPLING)
    half_width, half_height = WIDTH * OVERSAMPLING / 2, HEIGHT * OVERSAMPLING / 2
    data = []
    for a, b, centre in ((cos, sin, middle[0]), (-sin, cos, middle[1])):
        data += [a * scale, b * scale, centre * DENSITY - scale * (a * half_width + b * half_height)]
    size = (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING)
    view = Image.fromarray(world).transform(size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    frame = from_bytes(view.reduce(OVERSAMPLING))
    x, y = np.linspace(-1, 1, WIDTH)[None, :], np.linspace(-1, 1, HEIGHT)[:, None]
    sensor = np.random.default_rng((7, t)).normal(0, 0.009, frame.shape)
    return to_bytes(frame * (1.06 - 0.13 * (x * x + y * y))[..., None] + sensor)


def write_ground_truth(path: Path) -> None:
    """Writes the target's box of each frame."""
    rows = (f"{t}," + ",".join(f"{value:.3f}" for value in ground_truth(t)) for t in range(FRAMES))
    path.write_text("\n".join(["frame,x,y,w,h", *rows]) + "\n")


def write_video(path: Path) -> None:
    """Writes the video."""
    scene = Scene.paint()
    still = scene.lit(scene.ground)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "21", "preset": "veryslow"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for t in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(render(scene, still, t), format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    """Writes the clip and its ground truth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    assets = Path(__file__).parents[1] / "mfst_jax" / "assets"
    parser.add_argument("folder", type=Path, nargs="?", default=assets, help="where demo.mp4 and demo.csv go")
    folder = parser.parse_args().folder
    write_ground_truth(folder / "demo.csv")
    write_video(folder / "demo.mp4")


if __name__ == "__main__":
    main()
