"""Picture docs/report.png of an evaluation report: `python tools/render_report_picture.py [--folder DIR]`.

The report is on parts of the built-in clip: MFST with the built-in weights against trackers that nobody would build,
made up so that there is something to compare with. Needs the extras `plots` and `video`, and Chromium.
"""

import tempfile
from pathlib import Path

import numpy as np
import tyro
from PIL import Image
from screenshots import screenshot

import mfst_jax
from mfst_jax.evaluation import Results, load, report, score, write_result
from mfst_jax.media.sources import demo_source
from mfst_jax.media.writers import save_image
from mfst_jax.whole_files import write_atomically

PARTS = {"meadow": (0, 40), "twin": (40, 90), "tree": (75, 120), "close-up": (110, 150)}
"""First frame of each sequence and the one after its last."""
OURS, STATIC, STEADY, JITTERED = "MFST", "static box (made up)", "steady drift (made up)", "jittered truth (made up)"
SIZE = (1200, 2214)
"""Width and height, in pixels: the page down to the frames of its second sequence."""


def main(folder: Path | None = None, picture: Path = Path(__file__).parents[1] / "docs/report.png") -> None:
    """Renders the picture.

    Args:
        folder: Where the sequences, the results and the report go, to be kept.
        picture: The PNG to write.
    """
    with tempfile.TemporaryDirectory() as scratch:
        save_image(screenshot(write_report(folder or Path(scratch)), SIZE), picture)
    print(f"wrote {picture}")


def write_report(folder: Path) -> Path:
    """Writes the clip's parts as sequences in OTB's layout, results of all trackers, and the report about them."""
    source = demo_source()
    frames, clip_truth = list(source.frames()), np.asarray(source.ground_truth, np.float64)
    params, rng = mfst_jax.load(), np.random.default_rng(0)
    for name, (start, stop) in PARTS.items():
        clip, truth = np.stack(frames[start:stop]), clip_truth[start:stop]
        images = folder / "sequences" / name / "img"
        images.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(clip, start=1):
            Image.fromarray(frame).save(images / f"{number:04d}.jpg", quality=92)
        rows = "".join(",".join(f"{value:.3f}" for value in row) + "\n" for row in truth + np.array([1, 1, 0, 0]))
        write_atomically(images.parent / "groundtruth_rect.txt", rows)
        steps = np.arange(len(truth))[:, None]
        walk = rng.normal(0, [3.0, 3.0, 0.6, 0.6], truth.shape).cumsum(axis=0)
        results = {
            OURS: np.asarray(mfst_jax.track(params, clip, truth[0].astype(np.float32)).boxes),
            STATIC: np.tile(truth[0], (len(truth), 1)),
            STEADY: truth[0] + steps * (truth[4] - truth[0]) / 4,
            JITTERED: truth + walk - walk[0],
        }
        for tracker, boxes in results.items():
            write_result(folder / "results" / tracker, name, boxes)
    dataset = load(folder / "sequences", "folder")
    ours, *others = (Results(folder / "results" / tracker) for tracker in (OURS, STATIC, STEADY, JITTERED))
    summary = score(ours, dataset, weights={"name": "built-in"}, versions={"mfst_jax": mfst_jax.__version__})
    path = folder / "report.html"
    report.write(path, dataset, ours, summary, {each.name: (each, score(each, dataset)) for each in others})
    return path


if __name__ == "__main__":
    tyro.cli(main)
