"""Accuracy against speed: our presets and OpenCV's trackers over an OTB-like folder, as a table and a plot.

    python benchmarks/peers.py OTB --weights mfst.safetensors --out peers [--models DIR] [--presets paper siamfc]
        [--trackers CSRT KCF MIL Nano ViT] [--only NAME ...] [--frames N] [--plot docs/peers.png]

needs opencv-contrib-python, and for the plot the extra `plots`. Each tracker has a process of its own; for each
sequence all take their turns, in an order that rotates, and only what a tracker does with a frame that is already in
memory counts, in the order of colours that it takes. Raw results and times lie in `--out`, a folder a tracker in OTB's
layout; what is there already is not run again, so that an interrupted run goes on. Nano and ViT need weights that
OpenCV publishes, in `--models`: nanotrackv2_backbone_sim.onnx, nanotrackv2_head_sim.onnx,
object_tracking_vittrack_2023sep.onnx.

The speed is the median over sequences of frames a second, all of them measured on the same cores.
"""

import dataclasses
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from tyro.conf import Positional

import mfst_jax
from mfst_jax.bench.side_by_side import machine, table
from mfst_jax.cache import keep_compilations
from mfst_jax.errors import InputError
from mfst_jax.evaluation import Results, Sequence, Summary, load, score, write_result
from mfst_jax.media.images import read_image
from mfst_jax.presets import PRESETS, Preset
from mfst_jax.program.arguments import File

Peer = Literal["CSRT", "KCF", "MIL", "Nano", "ViT"]
Follow = Callable[[np.ndarray], np.ndarray]
"""Takes the next frame, RGB or for OpenCV's trackers BGR, and returns the target's box (x, y, w, h) in it."""
Start = Callable[[np.ndarray, np.ndarray], Follow]
"""Takes the first frame and its box, and returns the function for the others."""
NANO = "nanotrackv2_backbone_sim.onnx", "nanotrackv2_head_sim.onnx"
VIT = "object_tracking_vittrack_2023sep.onnx"


def make_ours(weights: Path | None, preset: Preset) -> Start:
    """This library's tracker, on prepared weights; frames are padded, and the clock includes that."""
    keep_compilations()
    params = mfst_jax.load(weights)
    prepared = mfst_jax.prepare(params, PRESETS[preset])

    def start(frame: np.ndarray, box: np.ndarray) -> Follow:
        tracker = mfst_jax.Tracker(prepared, PRESETS[preset])
        tracker.warmup(frame.shape[:2])
        tracker.init(frame, box)
        return tracker.update

    return start


def make_peer(name: Peer, models: Path | None) -> Start:
    """Tracker of OpenCV, on as many threads as there are cores. Where it loses the target, the last box stays."""
    import cv2  # pyrefly: ignore[missing-import]

    cv2.setNumThreads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

    def create() -> Any:
        if name == "Nano":
            parameters = cv2.TrackerNano_Params()
            parameters.backbone, parameters.neckhead = (str(_model(models, file)) for file in NANO)
            return cv2.TrackerNano_create(parameters)
        if name == "ViT":
            parameters = cv2.TrackerVit_Params()
            parameters.net = str(_model(models, VIT))
            return cv2.TrackerVit_create(parameters)
        return getattr(cv2, f"Tracker{name}_create")()

    create()

    def start(frame: np.ndarray, box: np.ndarray) -> Follow:
        tracker, last = create(), box
        tracker.init(frame, [round(float(number)) for number in box])

        def follow(frame: np.ndarray) -> np.ndarray:
            nonlocal last
            found, where = tracker.update(frame)
            last = np.array(where, np.float32) if found else last
            return last

        return follow

    return start


def read_bgr(path: Path) -> np.ndarray:
    """Frame in the order of colours that OpenCV takes."""
    return np.ascontiguousarray(read_image(path)[:, :, ::-1])


def main(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    out: Path,
    weights: File = None,
    presets: tuple[Preset, ...] = ("paper", "siamfc"),
    trackers: tuple[Peer, ...] = ("CSRT", "KCF", "MIL", "Nano", "ViT"),
    models: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    only: tuple[str, ...] = (),
    frames: int | None = None,
    plot: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None,
) -> None:
    """Tracks what is not tracked yet, then prints the table.

    Args:
        root: A folder of sequences.
        out: Where raw results are kept, a folder a tracker.
        weights: As for `mfst track`.
        presets: Ours.
        trackers: OpenCV's.
        models: Where the weights of Nano and ViT are.
        only: Names of sequences; by default all.
        frames: Track only so many of each sequence: a quick run, whose scores mean nothing.
        plot: Where to draw success AUC over frames a second.
    """
    dataset = load(root, "folder")
    sequences = [_shortened(sequence, frames) for sequence in dataset.sequences if not only or sequence.name in only]
    if not sequences:
        raise InputError(f"{root}: expected sequences, found none {' '.join(only)}".rstrip())
    dataset = dataclasses.replace(dataset, sequences=tuple(sequences))
    contestants: dict[str, tuple[Callable[..., Start], tuple[Any, ...]]] = {
        f"MFST {preset}": (make_ours, (weights, preset)) for preset in presets
    }
    contestants |= {name: (make_peer, (name, models)) for name in trackers}
    print(f"{dataset.title}: {sum(len(each.frames) for each in sequences)} frames; {machine()}", flush=True)
    _track(contestants, sequences, out)
    scores = [(score(Results(out / name), dataset), _speeds(out / name, sequences)) for name in contestants]
    rows = []
    for summary, speeds in sorted(scores, key=lambda pair: -_auc(pair[0])):
        assert summary.overall is not None
        low, middle, high = statistics.quantiles(speeds, n=4, method="inclusive") if len(speeds) > 1 else speeds * 3
        measures = f"{_auc(summary):.3f}", f"{summary.overall.precision_20px:.3f}"
        rows.append((summary.tracker, *measures, f"{middle:.1f} ({low:.1f} .. {high:.1f})"))
    print(table(("tracker", "success AUC", "precision at 20 px", "frames/s (quartiles)"), rows))
    if plot is not None:
        _plot(plot, [(summary.tracker, _auc(summary), statistics.median(speeds)) for summary, speeds in scores])


def _track(contestants: dict[str, tuple[Callable[..., Start], tuple[Any, ...]]], sequences: list[Sequence], out: Path):
    """Writes the results that are not there yet, in turns."""
    with ExitStack() as stack:
        processes = {}
        for number, sequence in enumerate(sequences):
            first = number % len(contestants)
            for name in [*contestants][first:] + [*contestants][:first]:
                if (out / name / f"{sequence.name}.txt").exists():
                    continue
                if name not in processes:
                    make, arguments = contestants[name]
                    processes[name] = stack.enter_context(get_context("spawn").Pool(1, _prepare, (make, arguments)))
                read = read_image if contestants[name][0] is make_ours else read_bgr
                boxes, seconds = processes[name].apply(_follow, (sequence.frames, sequence.ground_truth[0], read))
                write_result(out / name, sequence.name, boxes, seconds)
                print(f"{name}, {sequence.name}: {len(boxes) / seconds.sum():.1f} frames/s", file=sys.stderr)


_start: Start


def _prepare(make: Callable[..., Start], arguments: tuple[Any, ...]) -> None:
    global _start
    _start = make(*arguments)


def _follow(
    paths: tuple[Path, ...], box: np.ndarray, read: Callable[[Path], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes, and the seconds that each took; the first frame's are those of its initialisation."""
    pictures: Iterator[np.ndarray] = map(read, paths)
    frame, box = next(pictures), box.astype(np.float32)
    _start(frame, box)  # what compiles, compiles here
    begin = time.perf_counter()
    follow = _start(frame, box)
    boxes, seconds = [box], [time.perf_counter() - begin]
    for frame in pictures:
        begin = time.perf_counter()
        boxes.append(follow(frame))
        seconds.append(time.perf_counter() - begin)
    return np.stack(boxes), np.array(seconds)


def _speeds(folder: Path, sequences: list[Sequence]) -> list[float]:
    """Frames a second over each sequence, without its first frame."""
    times = [np.loadtxt(folder / "times" / f"{sequence.name}_time.txt", ndmin=1)[1:] for sequence in sequences]
    return [len(seconds) / float(seconds.sum()) for seconds in times]


def _shortened(sequence: Sequence, frames: int | None) -> Sequence:
    columns = {name: getattr(sequence, name)[:frames] for name in ("frames", "ground_truth", "absent")}
    return dataclasses.replace(sequence, **columns)


def _auc(summary: Summary) -> float:
    return summary.overall.success_auc if summary.overall is not None else float("nan")


def _model(models: Path | None, name: str) -> Path:
    if models is None or not (models / name).is_file():
        raise InputError(f"--models {models}: expected {name} in it, found none")
    return models / name


def _plot(path: Path, points: list[tuple[str, float, float]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_xlabel("frames a second")
    axes.set_ylabel("success AUC")
    axes.grid(visible=True, which="both", color="#dddddd", linewidth=0.6)
    axes.margins(0.15)
    for name, auc, speed in points:
        ours = name.startswith("MFST")
        axes.scatter([speed], [auc], s=60 if ours else 36, color="#d55e00" if ours else "#56707f", zorder=3)
    figure.draw_without_rendering()  # the places of all texts are known from here on
    taken: list[Any] = []
    for name, auc, speed in points:
        label: Any = None
        for right, up in ((True, 4), (True, -11), (False, 4), (False, -11)):
            if label is not None:  # it was in the way of another
                label.remove()
            label = axes.annotate(
                name,
                (speed, auc),
                xytext=(6 if right else -6, up),
                textcoords="offset points",
                ha="left" if right else "right",
                weight="bold" if name.startswith("MFST") else "normal",
                fontsize=9,
            )
            if not any(label.get_window_extent().overlaps(other.get_window_extent()) for other in taken):
                break
        taken.append(label)
    figure.savefig(path, dpi=150)
    print(f"wrote {path}")


if __name__ == "__main__":
    tyro.cli(main)
