"""Seeds and readers of what the product's own programs write and read back: tables, records, results, run folders."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.data_sets import ROWS, images
from fuzzing.parser import Content, Parser, each_tried, written_by
from mfst_jax.config import to_dict
from mfst_jax.evaluation import datasets, runner, scoring
from mfst_jax.evaluation.results import find_results
from mfst_jax.many.jobs import find_jobs
from mfst_jax.page.command import view
from mfst_jax.presets import PAPER
from mfst_jax.tracks.files import read_record, read_table
from mfst_jax.train import run_folder
from mfst_jax.train.data import curation

TABLE = "frame,x,y,w,h,score,lost,target\n" + "".join(
    f"{frame},{1 + frame}.2500,1.5,3,2,0.{9 - frame},{frame == 2:d},{name}\n"
    for frame in range(3)
    for name in ("a", "b b")
)
RECORD = {
    "source": "frames",
    "size": [4, 6],
    "config": to_dict(PAPER),
    "weights": "A (torchvision) with SE-blocks",
    "version": "0.1.0",
    "targets": ["a", "b b"],
    "first": 0,
}


def table() -> Content:
    """Table of two targets and its record, with the frames."""
    return {"boxes.csv": TABLE, "boxes.csv.json": json.dumps(RECORD, indent=1), **images("frames")}


def mot() -> Content:
    """The same in MOTChallenge's text."""
    rows = "".join(f"{frame + 1},{target},2,2.5,3,2,0.9,-1,-1,-1\n" for frame in range(3) for target in (1, 2))
    return {"boxes.mot.txt": rows, "boxes.mot.txt.json": json.dumps(RECORD), **images("frames")}


def coco() -> Content:
    """The same in COCO's JSON."""
    boxes = [
        {"id": n + 1, "image_id": n + 1, "track_id": 1, "bbox": [1, 1.5, 3, 2], "score": 0.9, "lost": False}
        for n in range(3)
    ]
    content = {
        "videos": [{"id": 1, "name": "frames", "height": 4, "width": 6}],
        "categories": [{"id": 1, "name": "object"}],
        "tracks": [{"id": 1, "video_id": 1, "category_id": 1, "name": "a"}],
        "annotations": boxes,
        "images": [{"id": n + 1, "video_id": 1, "frame_id": n, "file_name": f"{n}.jpg"} for n in range(3)],
    }
    return {"boxes.json": json.dumps(content), "boxes.json.json": json.dumps(RECORD), **images("frames")}


def look(name: str, folder: Path) -> None:
    """Reads a table as `mfst view` does, and writes the page. What it holds must not end the page's data."""
    read_record(folder / name)
    if read_table(folder / name)[0].boxes.shape[0] > 20:
        return  # there are three frames
    page = folder / "page.html"
    page.unlink(missing_ok=True)
    try:
        view(folder / name, out=page)
    finally:
        if page.exists():
            text = page.read_text(encoding="utf-8")
            assert text.count("<script") == text.count("</script>") == 2 + text.count('class="frame"'), (
                "a script too many"
            )


def starts() -> Content:
    """Table of boxes to begin with, as `mfst track-all` takes it, and its sources."""
    rows = "frames,1,1,3,2,a,,\nframes,2,1.5,3,2,b,,\nother/frames,1,1,3,2,,1,second\n"
    table = "source,x,y,w,h,target,first,name\n" + rows
    return {"boxes.csv": table, **images("frames"), **images("other/frames")}


def begin(folder: Path) -> None:
    """Finds the jobs of that table, and opens them."""
    jobs, _ = find_jobs([], folder / "boxes.csv")
    for job in jobs[:4]:
        job.open()


def results() -> Content:
    """Results of two trackers, one in each layout, and the annotations that they are scored by."""
    return {
        "truth/Car4.txt": ROWS,
        "truth/David3.txt": ROWS,
        "results/one/Car4.txt": ROWS,
        "results/one/times/Car4_time.txt": "0.1\n0.2\n0.1\n",
        "results/one/David3.txt": ROWS.replace(",", "\t"),
        "results/two/Car4/Car4_001.txt": ROWS,
        "results/two/Car4/Car4_002.txt": ROWS,
        "results/two/Car4/Car4_time.txt": "0.1\n0.2\n0.1\n",
    }


def score(folder: Path) -> None:
    """Scores results as `mfst score` does."""
    dataset = datasets.load(folder / "truth", images=False)
    trackers, _ = find_results(folder / "results", [sequence.name for sequence in dataset.sequences])
    summaries = [scoring.score(tracker, dataset) for tracker in trackers]
    json.dumps([summary.to_json() for summary in summaries], allow_nan=False)
    if len(summaries) > 1:
        scoring.paired(summaries[0], summaries[1], "success_auc")


def run() -> Content:
    """Folder of a training's run, and the record of an evaluation."""
    lines = "".join(json.dumps({"step": step, "epoch": step, "losses": {"conv3": 0.5}}) + "\n" for step in (1, 2))
    identity = json.dumps(IDENTITY, indent=2)
    return {"run.json": identity, "metrics.jsonl": lines, f"MFST/{runner.RECORD}": identity}


IDENTITY = {"recipe": {"rate": 0.1, "seed": 0, "name": "a"}, "weights": {"sha256": "0" * 64}, "data": ["a", "b"]}


class _Run:
    """Stands for the run of an evaluation, which has a record."""

    def record(self) -> dict[str, Any]:
        return IDENTITY


def go_on(folder: Path) -> None:
    """Opens the folder of a run as training and evaluation do to go on."""

    def metrics() -> None:
        opened = run_folder.Run(folder, _NoCheckpoint())
        opened.resume(None)
        opened.metrics()

    each_tried(
        [
            partial(run_folder._identify, folder, folder / "run.json", IDENTITY, {}),
            partial(runner.begin, folder / "MFST", _Run()),  # pyrefly: ignore[bad-argument-type]
            metrics,
        ]
    )


class _NoCheckpoint:
    latest = None


def crops() -> Content:
    """Curated crops of one video, as training keeps them."""

    def write(path: Path) -> None:
        manifest = {"key": "k", "frames": [7], "sizes": [[1.5, 2]], "counts": {"frames": 1}, "corrupt": ""}
        path.write_text(json.dumps(manifest))
        with path.with_suffix(".npy").open("wb") as file:
            np.save(file, np.zeros((1, curation.CROP_SIZE, curation.CROP_SIZE, 3), np.uint8))

    return written_by("a.json", write)()


def open_crops(folder: Path) -> None:
    """Reads curated crops back."""
    video = curation.open_video(folder, "a")
    for row in range(min(len(video.frames), 3)):
        video.read(row)


PARSERS = (
    Parser("table: CSV", partial(look, "boxes.csv"), (table,), (".csv",), text=0.85),
    Parser("table: MOTChallenge's text", partial(look, "boxes.mot.txt"), (mot,), (".txt",), text=0.85),
    Parser("table: COCO's JSON", partial(look, "boxes.json"), (coco,), ("boxes.json",), text=0.85),
    Parser("table: its record", partial(look, "boxes.csv"), (table,), ("csv.json",), text=0.85),
    Parser("table: boxes to begin with", begin, (starts,), (".csv",), text=0.85),
    Parser("results to score", score, (results,), (".txt",), text=0.85),
    Parser("folder of a run", go_on, (run,), text=0.85),
    Parser("curated crops", open_crops, (crops,), text=0.4),
)
