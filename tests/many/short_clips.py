"""Short clips of moving texture on disk, and `mfst track-all` on them by the cheapest configuration."""

from pathlib import Path

from layouts import from_one, write_rows
from one_layer import CHEAP
from PIL import Image
from scenes import video

from mfst_jax import cli
from mfst_jax.media import VideoWriter

NAMES = ("ant", "bee", "cat", "dog")
FRAMES = 4


def write_clips(root: Path, frames: int = FRAMES, names: tuple[str, ...] = NAMES) -> Path:
    """Sequences in OTB's layout."""
    for seed, name in enumerate(names):
        images, truth = video(60 + seed, frames=min(frames, 12), size=(72, 80), target=(24, 20), start=(24, 20))
        (root / name / "img").mkdir(parents=True)
        for number in range(frames):
            image = Image.fromarray(images[number % len(images)])
            image.save(root / name / "img" / f"{number + 1:04d}.bmp")
        write_rows(root / name / "groundtruth_rect.txt", from_one(truth))
    return root


def write_video(path: Path, frames: int = FRAMES) -> Path:
    """A video of the same kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, 25) as writer:
        for image in video(50, frames=frames, size=(72, 80), target=(24, 20), start=(24, 20))[0]:
            writer.write(image)
    return path


def track_all(*arguments: object) -> int:
    """Exit status of `mfst track-all`."""
    return cli.main(["track-all", *map(str, arguments), "--set", *CHEAP])


def content(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, by its path from there."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
