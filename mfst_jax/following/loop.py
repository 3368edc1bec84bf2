"""Following of one source from end to end: boxes to a table, frames to a video or a page, progress to the terminal.

Three stages overlap: frames are read and handed to the device ahead of the tracker, and drawn and encoded behind it.
"""

import math
import time
from array import array
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from mfst_jax.config import Config
from mfst_jax.fast import AnyParams
from mfst_jax.following import quick_start
from mfst_jax.following.quick_start import ReusedParams
from mfst_jax.following.recording import Recorder
from mfst_jax.media.decoding import Frame
from mfst_jax.media.source import Source
from mfst_jax.multi import Start, config_for
from mfst_jax.padding import pad
from mfst_jax.params import resolve_config
from mfst_jax.program import allocator
from mfst_jax.program.progress import progress_bar
from mfst_jax.program.threads import CallQueue, prefetch
from mfst_jax.targets import Target, check_boxes, unnamed_target
from mfst_jax.tracks.lost_frames import is_lost

DEPTH = 2
"""Number of frames that may be read ahead of the tracker, and of frames that may wait to be drawn."""
TIDY_EVERY = 128
"""Number of frames after which idle memory goes back to the system. Frames and steps allocate and free memory on
several threads, which leaves holes; giving them back takes less time than a frame does."""


@dataclass(frozen=True)
class Followed:
    """Result of following: of one target from `follow`, of all from `follow_all`. Row 0 is given, with a score of 1.

    Attributes:
      boxes: Boxes (x, y, w, h) in 0-indexed pixels.
      scores: Scores in [0, 1].
      frames_per_second: Rate of reading, tracking, drawing and writing together, without the first frames, which wait
        for the compiler; 0 where there are no others.
      stopped: Whether it ended because every target was lost for long enough.
      first: Number of the frame of row 0 in the source.
    """

    boxes: Float32[np.ndarray, "frames *targets 4"]
    scores: Float32[np.ndarray, " frames *targets"]
    frames_per_second: float
    stopped: bool = False
    first: int = 0


def follow(
    source: Source,
    box: Float32[np.ndarray, "4"],
    params: AnyParams,
    config: Config | None = None,
    *,
    hear: Callable[[int, np.ndarray, float], None] | None = None,
    **options: Any,
) -> Followed:
    """Tracks the one object in `box` through the source, as `follow_all` does.

    Args:
      source: the frames.
      box: (x, y, w, h) in the first frame, 0-indexed pixels.
      params: the weights.
      config: how to track; by default what the weights imply.
      hear: called with the number of each frame, its box [4] and its score.
      options: as `follow_all` takes them.

    Returns:
      Boxes [frames, 4] and scores [frames].
    """

    def hear_one(number: int, boxes: np.ndarray, scores: np.ndarray, seconds: float | None) -> None:
        if hear is not None:
            hear(number, boxes[0], float(scores[0]))

    found = follow_all(source, [unnamed_target(box)], params, config, hear=hear_one, **options)
    return replace(found, boxes=found.boxes[:, 0], scores=found.scores[:, 0])


def follow_all(
    source: Source,
    targets: Sequence[Target],
    params: AnyParams | ReusedParams,
    config: Config | None = None,
    *,
    video: Path | None = None,
    table: Path | None = None,
    page: Path | None = None,
    source_path: str | None = None,
    stop_when_lost: int | None = None,
    see: Callable[[int, Frame], None] | None = None,
    hear: Callable[[int, np.ndarray, np.ndarray, float | None], None] | None = None,
    quiet: bool = False,
) -> Followed:
    """Tracks the targets through the source in one pass, with a handful of frames in memory.

    Args:
      source: the frames.
      targets: what to follow, at least one; a batch of them is tracked without centre search (`multi.config_for`).
      params: the weights, which are prepared here if they are not yet; `ReusedParams` where many sources follow.
      config: how to track; by default what the weights imply.
      video: where to write the annotated video; of one target the true boxes are drawn too, as far as there are some.
      table: where to write the boxes: CSV, or what the name says (`tables.open_table`).
      page: where to write the page to scrub through the track.
      source_path: what `source` was opened by, as the record beside the table shall name it; None for no record.
      stop_when_lost: after so many frames in a row in which every target is lost, these among them, nothing more is
        tracked.
      see: called with the number of each frame and its annotated picture, on a thread of its own.
      hear: called with the number of each frame, its boxes [targets, 4], its scores [targets] and its time in seconds.
      quiet: no progress bar.

    Returns:
      Boxes [frames, targets, 4] and scores [frames, targets].

    Raises:
      InputError: nothing can be written there, or a frame or a box is unusable. What was tracked before is on disk.
    """
    config = config_for(len(targets), resolve_config(params.contents, config))
    check_boxes(targets, source.size)
    found, score = np.array([target.box for target in targets], np.float32), np.ones(len(targets), np.float32)
    first, boxes, scores, size = found, _Rows(found), _Rows(score), jnp.asarray(source.size, jnp.int32)
    started, tracks, settled_after = time.perf_counter(), None, None
    lost_in_a_row = np.zeros(len(targets), int)
    with ExitStack() as stack:
        # Whatever can be wrong with the outputs shows here, before any work.
        recorder = Recorder(
            *(source, targets, params.contents, config),
            **{"video": video, "table": table, "page": page, "source_path": source_path, "see": see},
        )
        stack.enter_context(recorder)
        progress = stack.enter_context(progress_bar(quiet))
        task = progress.add_task(source.name, total=source.remaining)
        first_frames = stack.enter_context(ExitStack())
        first_frames.enter_context(allocator.compiling())
        drawing = stack.enter_context(CallQueue(DEPTH))
        for number, (frame, time_in, padded) in enumerate(
            stack.enter_context(prefetch(_on_device(source), DEPTH)), source.first
        ):
            responses = None
            if tracks is None:
                steps = None if source.remaining is None else source.remaining - 1
                tracks = quick_start.begin(params, Start(padded, first, size, config), steps=steps)
            else:
                progress.update(task, compiling=tracks.is_compiling)
                found, score, responses = tracks.fetch(tracks.step(padded), responses=recorder.maps)
                boxes.append(found)
                scores.append(score)
            recorder.tell(number, found, score, time_in)
            if hear is not None:
                hear(number, found, score, time_in)
            if recorder.draws:
                drawing(recorder.show, number, frame, found, score, responses)
            progress.advance(task)
            lost_in_a_row = np.where(is_lost(score), lost_in_a_row + 1, 0)
            if lost_in_a_row.min() == stop_when_lost:
                break
            settles = settled_after is None and tracks.is_settled
            if settles:
                settled_after = len(boxes)
                first_frames.close()
                started = time.perf_counter()
            if settles or number % TIDY_EVERY == 1:
                allocator.give_back()
    seconds = time.perf_counter() - started
    rate = (len(boxes) - settled_after) / seconds if settled_after else 0.0
    stopped = bool(lost_in_a_row.min() == stop_when_lost)
    return Followed(boxes.stacked(), scores.stacked(), rate, stopped=stopped, first=source.first)


class _Rows:
    """Rows of float32 numbers, one a frame, in as many bytes as the numbers have: a webcam may run for days."""

    def __init__(self, first: np.ndarray):
        self._shape = first.shape
        self._numbers = array("f")
        self.append(first)

    def __len__(self) -> int:
        return len(self._numbers) // math.prod(self._shape)

    def append(self, row: np.ndarray) -> None:
        self._numbers.frombytes(np.ascontiguousarray(row, np.float32).tobytes())

    def stacked(self) -> np.ndarray:
        """All rows, [rows, *shape]."""
        return np.array(self._numbers, np.float32).reshape(-1, *self._shape)


def _on_device(source: Source) -> Generator[tuple[Frame, float | None, jax.Array], None, None]:
    """Frames, each with its time and a padded copy on the device."""
    with closing(source.timed_frames()) as frames:
        for frame, seconds in frames:
            yield frame, seconds, jax.device_put(pad(frame))
