"""Load: many targets in many videos at once, and many streaming trackers at once, in threads and in processes.

    python tools/load.py videos [--videos 8] [--targets 16] [--frames 50] [--by threads|processes] [--limit 4096]
    python tools/load.py trackers [--count 64] [--frames 30] [--by threads|processes] [--processes 8]

`videos` tracks so many videos of 320 x 240 at once, so many targets in each by `MultiTracker`, under a limit of memory
in MiB (`memory_limit.py`). `trackers` runs so many `Tracker`s at once, each with a video of its own; in processes they
are divided among a few. Both compare every box with that of a run on its own: they must be the same to the last bit.
What does not end in time counts as a deadlock, and where everyone is shows. How even progress was is told while all
run, from everyone's first step to the first one's end: the slowest must have half as many steps as the average. The
exit status is 1 where something does not hold.
"""

import faulthandler
import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tyro
from compile_events import compile_events
from memory_limit import Usage, limited
from tracker_setups import Setup, weights_for

import mfst_jax
from mfst_jax.presets import ALEXNET, REALTIME

SIZE = 240, 320
"""Height and width of the videos."""
ENOUGH = 2
"""Steps that there must be of each on average, while all run, to tell how even progress was."""
SECONDS = 3000
"""Seconds after which a run counts as hanging."""
EVEN = 0.5
"""Steps of the slowest, as a share of the average, that count as even."""

By = Literal["threads", "processes"]
Weights = Literal["narrow", "built-in"]


@dataclass
class Job:
    """Job of one tracker: one video, and the targets in it.

    Attributes:
      number: Number of the job, which decides its video.
      targets: Number of targets.
      frames: Number of frames.
      weights: Small random networks with REALTIME, or the built-in weights.
    """

    number: int
    targets: int
    frames: int
    weights: Weights


@dataclass
class Track:
    """What a job gave.

    Attributes:
      boxes: Boxes [frames, targets, 4].
      times: When each frame was done, in seconds of the monotonic clock.
    """

    boxes: np.ndarray
    times: np.ndarray


def setup_for(weights: Weights) -> Setup:
    """Weights and configuration of the trackers."""
    if weights == "built-in":
        return Setup("load", ALEXNET, weights="built-in")
    return Setup("load", REALTIME)


def video(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Frames of a job's video, [frames, H, W, 3], and the boxes of its targets in the first one, [targets, 4]."""
    rng = np.random.default_rng([7, job.number])
    height, width = SIZE
    cells = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    background = np.kron(cells, np.ones((8, 8, 1), np.uint8))
    speed = rng.integers(-3, 4, 2)
    frames = np.stack([np.roll(background, tuple(speed * number), (0, 1)) for number in range(job.frames)])
    corners = rng.uniform(0, 0.8, (job.targets, 2)) * (width, height)
    sides = rng.uniform(16, 48, (job.targets, 2))
    return frames, np.hstack([corners, sides]).astype(np.float32)


def follow(job: Job, ready: Callable[[], Any] = lambda: None) -> Track:
    """Track of a job; `ready` is called when its video is there, and waits for the others."""
    setup = setup_for(job.weights)
    params = weights_for(setup)
    frames, boxes = video(job)
    ready()
    rows, times = [boxes], [time.monotonic()]
    if job.targets > 1:
        several = mfst_jax.MultiTracker(params, setup.config)
        several.init(frames[0], boxes)
        update: Callable[[np.ndarray], np.ndarray] = several.update
    else:
        tracker = mfst_jax.Tracker(params, setup.config)
        tracker.init(frames[0], boxes[0])
        update = lambda frame: tracker.update(frame)[None]  # noqa: E731
    for frame in frames[1:]:
        rows.append(update(frame))
        times.append(time.monotonic())
    return Track(np.stack(rows), np.array(times))


def in_threads(jobs: list[Job]) -> list[Track]:
    """Tracks of jobs that run in a thread each; all begin at once."""
    barrier, found, problems = threading.Barrier(len(jobs)), {}, []
    weights_for(setup_for(jobs[0].weights))

    def work(job: Job) -> None:
        try:
            found[job.number] = follow(job, barrier.wait)
        except BaseException as error:
            barrier.abort()
            problems.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return [found[job.number] for job in jobs]


def in_processes(jobs: list[Job], processes: int) -> list[Track]:
    """Tracks of jobs that are divided among processes, in threads within each."""
    parts = [jobs[number::processes] for number in range(processes)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        found = [track for part in pool.map(in_threads, parts) for track in part]
    by_number = {job.number: track for job, track in zip([job for part in parts for job in part], found, strict=True)}
    return [by_number[job.number] for job in jobs]


def evenness(tracks: list[Track]) -> float | None:
    """Steps of the slowest as a share of the average, while all run: from the last first step to the first end.

    None where these are too few to tell.
    """
    begin, end = max(track.times[1] for track in tracks), min(track.times[-1] for track in tracks)
    steps = [int(np.sum((track.times > begin) & (track.times <= end))) for track in tracks]
    average = sum(steps) / len(steps)
    return min(steps) / average if average >= ENOUGH else None


def waits(tracks: list[Track]) -> tuple[float, float]:
    """Median and longest time between two frames of one tracker, in seconds, once all of them run."""
    begun = max(track.times[1] for track in tracks)
    gaps = np.concatenate([np.diff(track.times[track.times >= begun]) for track in tracks])
    return (float(np.median(gaps)), float(np.max(gaps))) if len(gaps) else (0.0, 0.0)


def run(jobs: list[Job], by: By, processes: int, limit: int | None) -> tuple[list[str], str]:
    """What does not hold, a line each, and the figures of jobs that run at once, in one line."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    usage = Usage("")
    started = time.monotonic()
    with limited(limit) if limit else nullcontext(usage) as usage, compile_events() as seen:
        tracks = in_threads(jobs) if by == "threads" else in_processes(jobs, processes)
    seconds = time.monotonic() - started
    compiled = sum(event.endswith("backend_compile_duration") for event in seen)
    differing = [
        job.number
        for job, track in zip(jobs, tracks, strict=True)
        if not np.array_equal(follow(job).boxes, track.boxes)
    ]
    faulthandler.cancel_dump_traceback_later()
    problems = []
    if differing:
        problems.append(f"expected the boxes of runs on their own, found others in jobs {differing}")
    if any(not np.isfinite(track.boxes).all() for track in tracks):
        problems.append("expected finite boxes, found others")
    even = evenness(tracks)
    if even is not None and even < EVEN:
        problems.append(f"expected at least {EVEN:.0%} of the average number of steps of each, found {even:.0%}")
    if usage.exceeded:
        problems.append(f"expected at most {limit} MiB, found {usage.peak:.0f}")
    memory = f", {usage.peak:,.0f} of {limit:,} MiB at most (by {usage.how})" if limit else ""
    where = f"in {processes} processes" if by == "processes" else f"in threads, {compiled} compilations"
    usual, longest = waits(tracks)
    slowest = (
        "too few steps to tell how even" if even is None else f"while all ran the slowest had {even:.0%} of the average"
    )
    steps = sum(job.targets * (job.frames - 1) for job in jobs)
    figures = (
        f"{len(jobs)} trackers of {jobs[0].targets} targets, {where}: {steps:,} steps in {seconds:.0f} s{memory}; "
        f"{len(differing)} differ from runs on their own; {slowest}; "
        f"a frame took {usual:.2f} s in the median, {longest:.2f} s at most"
    )
    return problems, figures


def _report(problems: list[str], figures: str) -> int:
    print(figures)
    for problem in problems:
        print(problem)
    return bool(problems)


def videos(
    videos: int = 8,
    targets: int = 16,
    frames: int = 50,
    by: By = "processes",
    limit: int = 4096,
    weights: Weights = "built-in",
) -> int:
    """Tracks several targets in several videos at once, under a limit of memory.

    Args:
      videos: number of videos.
      targets: number of targets in each.
      frames: number of frames of each.
      by: whether each video has a thread or a process.
      limit: memory in MiB of all together.
      weights: small random networks, or the built-in weights.
    """
    jobs = [Job(number, targets, frames, weights) for number in range(videos)]
    return _report(*run(jobs, by, videos, limit))


def trackers(
    count: int = 64, frames: int = 30, by: By = "threads", processes: int = 8, weights: Weights = "narrow"
) -> int:
    """Runs several streaming trackers at once.

    Args:
      count: number of trackers.
      frames: number of frames of each.
      by: whether all are threads of this process, or divided among several.
      processes: number of these.
      weights: small random networks, or the built-in weights.
    """
    jobs = [Job(number, 1, frames, weights) for number in range(count)]
    return _report(*run(jobs, by, processes, None))


if __name__ == "__main__":
    raise SystemExit(tyro.extras.subcommand_cli_from_dict({"videos": videos, "trackers": trackers}))
