"""Small synthetic sequences whose targets can be followed, and `mfst eval` on them by the cheapest configuration."""

from pathlib import Path

import numpy as np
from layouts import from_one, write_rows
from one_layer import CHEAP
from PIL import Image
from scenes import video

from mfst_jax import cli

CLIPS = {
    "Deer": {"frames": 3, "size": (120, 160), "velocity": (3, 2)},
    "Man": {"frames": 2, "size": (100, 140), "velocity": (-2, 1)},
    "Toy": {"frames": 4, "size": (120, 300), "velocity": (4, 0)},
}


def write_clips(root: Path, rounds: int = 0) -> Path:
    """Sequences in OTB's layout, two of one padded shape and one of another; or each some rounds there and back."""
    for seed, (name, options) in enumerate(CLIPS.items()):
        frames, truth = video(40 + seed, **options)
        if rounds:
            frames, truth = (np.concatenate([rows, rows[::-1]] * rounds) for rows in (frames, truth))
        (root / name / "img").mkdir(parents=True)
        for number, frame in enumerate(frames, start=1):
            Image.fromarray(frame).save(root / name / "img" / f"{number:04d}.bmp")
        write_rows(root / name / "groundtruth_rect.txt", from_one(truth))
    return root


def damage(path: Path) -> bytes:
    """Cuts a file short, and returns what it was."""
    content = path.read_bytes()
    path.write_bytes(content[:100])
    return content


def evaluate(root: Path, out: Path, *arguments: object, report: bool = False) -> int:
    flags = ["--protocol", "folder", "--out", out, *([] if report else ["--no-report"]), "--set", *CHEAP, *arguments]
    return cli.main(["eval", str(root), *map(str, flags)])


def read_results(folder: Path) -> dict[str, bytes]:
    """Every file of a run but the times, by its path below `folder`."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent.name != "times")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def boxes_in(path: Path) -> np.ndarray:
    """The boxes of a result file, in 0-indexed pixels."""
    return np.loadtxt(path, delimiter=",") - [1, 1, 0, 0]
