"""One source followed from end to end: boxes to a table, frames to a video or a page, progress to the terminal.

Three stages overlap: frames are read and handed to the device ahead of the tracker, and drawn and encoded behind it.
"""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from mfst_jax import memory, tracker, validation
from mfst_jax.annotate import draw
from mfst_jax.config import Config, to_dict
from mfst_jax.decoding import Frame
from mfst_jax.errors import InputError
from mfst_jax.fast import AnyParams, as_prepared
from mfst_jax.lost import is_lost
from mfst_jax.outputs import BoxWriter, VideoWriter
from mfst_jax.padding import pad
from mfst_jax.page import PageTarget, PageWriter
from mfst_jax.params import resolve_config
from mfst_jax.pipeline import Behind, ahead
from mfst_jax.track_files import ONE_TARGET, Record
from mfst_jax.version import __version__
from mfst_jax.video import Source

DEPTH = 2
"""How many frames may be read ahead of the tracker, and how many may wait to be drawn."""
TIDY_EVERY = 128
"""Frames between two times that idle memory goes back to the system. What frames and steps need comes and goes on
several threads, which leaves holes; to give them back takes less time than a frame does."""


@dataclass(frozen=True)
class Followed:
    """What came of it. Row 0 is the given box, with a score of 1."""

    boxes: Float32[np.ndarray, "frames 4"]
    scores: Float32[np.ndarray, "frames"]
    frames_per_second: float
    """Of everything but the first two frames, which wait for the compiler: reading, tracking, drawing, writing."""
    stopped: bool = False
    """Whether it ended because the target was lost for long enough."""


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
    if source.ground_truth is None:
        why = source.lacks or f"{source.name} has no ground truth to take it from"
        raise InputError(f"--box: expected x,y,w,h, as {why}, found none")
    if not np.isfinite(source.ground_truth[0]).all():
        raise InputError(
            f"--box: expected x,y,w,h, as the target is absent from {source.name}'s first frame, found none"
        )
    return source.ground_truth[0]


def follow(
    source: Source,
    box: Float32[np.ndarray, "4"],
    params: AnyParams,
    config: Config | None = None,
    *,
    video: Path | None = None,
    table: Path | None = None,
    page: Path | None = None,
    source_path: str | None = None,
    stop_when_lost: int | None = None,
    see: Callable[[int, Frame], None] | None = None,
    hear: Callable[[int, np.ndarray, float], None] | None = None,
    quiet: bool = False,
) -> Followed:
    """Tracks `box` through the source, with a handful of frames in memory.

    Args:
      source: the frames.
      box: (x, y, w, h) in the first frame, 0-indexed pixels.
      params: the weights, which are prepared here if they are not yet.
      config: how to track; by default what the weights imply.
      video: where to write the annotated video; the true boxes are drawn too, as far as the source has some.
      table: where to write the boxes as CSV.
      page: where to write the page to scrub through the track.
      source_path: what `source` was opened by, as the record beside the table shall name it; None for no record.
      stop_when_lost: after so many lost frames in a row, these among them, nothing more is tracked.
      see: called with the number of each frame and its annotated picture, on a thread of its own.
      hear: called with the number of each frame, its box and its score.
      quiet: no progress bar.

    Raises:
      InputError: nothing can be written there, or a frame or the box is unusable. What was tracked before is on disk.
    """
    config = resolve_config(params.contents, config)
    boxes, scores, size = [np.asarray(box, np.float32)], [1.0], jnp.asarray(source.size, jnp.int32)
    started, state, lost_in_a_row = time.perf_counter(), None, 0
    validation.check_box(boxes[0], size)
    with ExitStack() as stack:
        # Whatever can be wrong with the outputs shows here, before any work.
        box_writer = BoxWriter(table) if table is not None else None
        video_writer = VideoWriter(video, source.fps) if video is not None else None
        page_writer = _page_writer(page, source, params, config) if page is not None else None
        if table is not None and source_path is not None:
            record = Record.of(table, source_path, source, params.contents, config)

            def write_record(error: type[BaseException] | None, *_: object) -> None:
                if state is not None:  # there is a table
                    with suppress(*([] if error is None else [InputError])):  # the first error is the one to tell
                        record.write(table)

            stack.push(write_record)
        rows = stack.enter_context(box_writer) if box_writer is not None else None
        pictures = stack.enter_context(video_writer) if video_writer is not None else None
        pages = stack.enter_context(page_writer) if page_writer is not None else None
        weights = as_prepared(params, config)
        progress = stack.enter_context(progress_bar(quiet))
        task = progress.add_task(source.name, total=source.count)

        def show(number: int, frame: Frame, box: np.ndarray, score: float, response: np.ndarray | None) -> None:
            if pages is not None:
                pages.write(frame, box[None], np.array([score]), responses=None if response is None else [response])
            if pictures is None and see is None:
                return
            truth = _row(source.ground_truth, number)
            picture = draw(frame, box, score=score, number=number, truth=truth, lost=bool(is_lost([score])[0]))
            if pictures is not None:
                pictures.write(picture)
            if see is not None:
                see(number, picture)

        first_frames = stack.enter_context(ExitStack())
        first_frames.enter_context(memory.compiling())
        behind = stack.enter_context(Behind(DEPTH))
        for number, (frame, padded) in enumerate(stack.enter_context(ahead(_on_device(source), DEPTH))):
            response = None
            if state is None:
                state = tracker.init(weights, padded, boxes[0], config=config, frame_size=size)
            else:
                state, output = tracker.step(weights, state, padded)
                kept = output.response if pages is not None else None
                found, score, response = jax.device_get((output.box, output.score, kept))
                boxes.append(found)
                scores.append(float(score))
            if rows is not None:
                rows.write(number, boxes[-1], scores[-1])
            if hear is not None:
                hear(number, boxes[-1], scores[-1])
            if pictures is not None or pages is not None or see is not None:
                behind(show, number, frame, boxes[-1], scores[-1], response)
            progress.advance(task)
            lost_in_a_row = lost_in_a_row + 1 if is_lost(scores[-1:])[0] else 0
            if lost_in_a_row == stop_when_lost:
                break
            if number == 1:  # all is compiled
                first_frames.close()
                started = time.perf_counter()
            if number % TIDY_EVERY == 1:
                memory.give_back()
    seconds = time.perf_counter() - started
    rate = max(0, len(boxes) - 2) / seconds
    return Followed(np.stack(boxes), np.array(scores, np.float32), rate, stopped=lost_in_a_row == stop_when_lost)


def _page_writer(path: Path, source: Source, params: AnyParams, config: Config) -> PageWriter:
    return PageWriter(
        path,
        name=source.name,
        size=source.size,
        fps=source.fps,
        targets=[PageTarget(ONE_TARGET, source.ground_truth)],
        count=source.count,
        config=to_dict(config),
        facts={"mfst_jax": __version__, "weights": params.contents.describe()},
        maps=True,
    )


def progress_bar(quiet: bool) -> Progress:
    """A bar on standard error, where that is a terminal."""
    console = Console(file=sys.stderr)
    return Progress(
        TextColumn("{task.description}", markup=False),  # a source's name is text, whatever its brackets say
        BarColumn(),
        MofNCompleteColumn(),
        _FramesPerSecond(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),  # or a file would miss what is printed to it
        transient=True,
    )


def _on_device(source: Source) -> Generator[tuple[Frame, jax.Array], None, None]:
    """Every frame, and a padded copy of it on the device."""
    with closing(source.frames()) as frames:
        for frame in frames:
            yield frame, jax.device_put(pad(frame))


def _row(truth: np.ndarray | None, number: int) -> np.ndarray | None:
    return truth[number] if truth is not None and number < len(truth) else None


class _FramesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Any:
        return Text(f"{task.speed:.1f} frames/s" if task.speed else "compiling", style="progress.data.speed")
