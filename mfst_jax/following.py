"""One source followed from end to end: boxes to a table, annotated frames to a video, progress to the terminal."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from mfst_jax.annotate import BoxWriter, VideoWriter, draw
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.params import Params
from mfst_jax.streaming import Tracker
from mfst_jax.video import Source

Picture = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Followed:
    """What came of it. Row 0 is the given box, with a score of 1."""

    boxes: Float32[np.ndarray, "frames 4"]
    scores: Float32[np.ndarray, "frames"]
    frames_per_second: float
    """Of everything but the first two frames, which wait for the compiler: reading, tracking, drawing, writing."""


def first_box(source: Source, box: str | None) -> Float32[np.ndarray, "4"]:
    """The box to start from: `box` as the text `x,y,w,h`, or else the source's first true box.

    Raises:
      InputError: text that is not four numbers, or no text for a source whose first frame has no true box.
    """
    if box is not None:
        try:
            numbers = np.array([float(number) for number in box.split(",")], np.float32)
        except ValueError:
            numbers = np.empty(0)
        if numbers.shape != (4,):
            raise InputError(f"--box: expected four numbers x,y,w,h, found {box!r}")
        return numbers
    if source.ground_truth is None or len(source.ground_truth) == 0:
        raise InputError(f"--box: expected x,y,w,h, as {source.name} has no ground truth to take it from, found none")
    if not np.isfinite(source.ground_truth[0]).all():
        raise InputError(
            f"--box: expected x,y,w,h, as the target is absent from {source.name}'s first frame, found none"
        )
    return source.ground_truth[0]


def follow(
    source: Source,
    box: Float32[np.ndarray, "4"],
    params: Params,
    config: Config | None = None,
    *,
    video: Path | None = None,
    table: Path | None = None,
    see: Callable[[int, Picture], None] | None = None,
    hear: Callable[[int, np.ndarray, float], None] | None = None,
    quiet: bool = False,
) -> Followed:
    """Tracks `box` through the source, one frame in memory at a time.

    Args:
      source: the frames.
      box: (x, y, w, h) in the first frame, 0-indexed pixels.
      params: the weights.
      config: how to track; by default what the weights imply.
      video: where to write the annotated video; the true boxes are drawn too, as far as the source has some.
      table: where to write the boxes as CSV.
      see: called with the number of each frame and its annotated picture.
      hear: called with the number of each frame, its box and its score.
      quiet: no progress bar.

    Raises:
      InputError: nothing can be written there, or a frame or the box is unusable. What was tracked before is on disk.
    """
    tracker = Tracker(params, config)
    boxes, scores = [np.asarray(box, np.float32)], [1.0]
    with ExitStack() as stack:
        # Whatever can be wrong with the outputs shows here, before any work.
        box_writer = BoxWriter(table) if table is not None else None
        video_writer = VideoWriter(video, source.fps) if video is not None else None
        rows = stack.enter_context(box_writer) if box_writer is not None else None
        pictures = stack.enter_context(video_writer) if video_writer is not None else None
        progress = stack.enter_context(progress_bar(quiet))
        task = progress.add_task(source.name, total=source.count)
        started = time.perf_counter()
        frames = stack.enter_context(closing(source.frames()))
        for number, frame in enumerate(frames):
            if number == 0:
                tracker.init(frame, box)
            else:
                boxes.append(tracker.update(frame))
                scores.append(tracker.score)
            if rows is not None:
                rows.write(number, boxes[-1], scores[-1])
            if hear is not None:
                hear(number, boxes[-1], scores[-1])
            if pictures is not None or see is not None:
                truth = _row(source.ground_truth, number)
                picture = draw(frame, boxes[-1], score=scores[-1], number=number, truth=truth)
                if pictures is not None:
                    pictures.write(picture)
                if see is not None:
                    see(number, picture)
            progress.advance(task)
            if number == 1:
                started = time.perf_counter()
        seconds = time.perf_counter() - started
    return Followed(np.stack(boxes), np.array(scores, np.float32), max(0, len(boxes) - 2) / seconds)


def progress_bar(quiet: bool) -> Progress:
    """A bar on standard error, where that is a terminal."""
    console = Console(file=sys.stderr)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _FramesPerSecond(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )


def _row(truth: np.ndarray | None, number: int) -> np.ndarray | None:
    return truth[number] if truth is not None and number < len(truth) else None


class _FramesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Any:
        return Text(f"{task.speed:.1f} frames/s" if task.speed else "compiling", style="progress.data.speed")
