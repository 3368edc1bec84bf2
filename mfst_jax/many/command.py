"""The command `mfst track-all`: many sources, each into a table of its own, by one process or several on many hosts."""

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from mfst_jax.many.jobs import Job, find_jobs
from mfst_jax.many.outcomes import Outcomes
from mfst_jax.many.tracking import Setup, Tracked, track_job
from mfst_jax.program import allocator
from mfst_jax.program.arguments import File, PresetName, Settings, Weights, flatten_settings
from mfst_jax.program.progress import progress_bar
from mfst_jax.program.sharing import Share, at_work_in, share_of, share_out


def track_all(
    sources: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="SOURCES")] = (),
    /,
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    boxes: File = None,
    weights: Weights = None,
    preset: PresetName = None,
    set: Settings = (),
    stop_when_lost: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    processes: int = 1,
    process: int = 0,
) -> int:
    """Follow objects through many videos: each gives DIR/NAME.csv, as mfst track --boxes writes it.

    A run that was interrupted goes on where it was: tables that are whole are passed over. A source that fails does not
    stop the others; DIR/failed/NAME.txt says why, and the exit status is 1. Another configuration or other weights are
    refused in the same DIR. To share the work, start the same command on each host, with --processes and --process.

    Args:
        sources: Each a video, a sequence of a data set, or a folder or (quoted) glob of them; or a folder or glob of
            images. By default all that the table in --boxes names.
        out: The folder for the tables and run.json; all processes have to see the same one.
        boxes: What to follow: CSV with the columns source,x,y,w,h, and maybe target, first (the number of the frame
            that the box is in) and name (what to call the table); sources by their paths from its folder. A sequence
            that is not in it begins with its own first true box.
        weights: A name (see mfst weights), an Orbax directory or a .safetensors file; by default the built-in weights.
        preset: How to track; by default what the weights imply.
        set: Fields of the configuration to change, as key=value; lists by commas, such as alexnet_weights=.1,.6,.3.
        stop_when_lost: End a track after so many lost frames in a row: those in which every object has a score below
            1/2.
        processes: How many processes share the work, on this host or on others (docs/many_machines.md).
        process: Which one this is, from 0.
    """
    share = share_of(processes, process)
    jobs, notes = find_jobs(sources, boxes)
    with allocator.compiling():
        setup = Setup.of(weights, preset, flatten_settings(set), stop_when_lost)
    for note in notes:
        print(note, file=sys.stderr)
    with at_work_in(out, share):
        setup.begin(out)
        outcomes = Outcomes(out)
        done = sum(map(outcomes.is_whole, jobs))
        start = time.perf_counter()
        tracked = _track(jobs, setup, outcomes, share, done)
        seconds = time.perf_counter() - start
        problems = [(job.name, problem) for job in jobs if (problem := outcomes.problem(job)) is not None]
    for name, problem in problems:
        print(f"{name}: {problem}", file=sys.stderr)
    print(_summary(tracked, seconds, done=done, total=len(jobs), failed=len(problems)), file=sys.stderr)
    print(f"wrote {out}", file=sys.stderr)
    return 1 if problems else 0


def _track(jobs: Sequence[Job], setup: Setup, outcomes: Outcomes, share: Share, done: int) -> list[Tracked]:
    """Tracks the jobs of this process. What came of them is returned once all are settled, by whichever process."""
    tracked = []
    with progress_bar(not jobs, unit="steps") as progress:
        say = partial(progress.console.print, highlight=False, markup=False, soft_wrap=True)
        if done:
            say(f"{done} of {len(jobs)} sources are tracked already")
        task = progress.add_task("sources", total=len(jobs) - done)
        shared = share_out(
            jobs,
            share,
            outcomes.folder,
            name=lambda job: job.name,
            is_done=outcomes.is_settled,
            waiting=lambda held: say(f"waiting for other processes, which have {held} sources in work"),
        )
        with closing(shared) as mine:
            for job in mine:
                start = time.perf_counter()
                found = track_job(job, setup, outcomes)
                speed = found.frames / (time.perf_counter() - start)
                say(
                    f"failed: {job.name}"
                    if found.problem
                    else f"{job.name}: {found.frames} frames, {speed:.1f} frames/s"
                )
                progress.advance(task)
                tracked.append(found)
    return tracked


def _summary(tracked: Sequence[Tracked], seconds: float, *, done: int, total: int, failed: int) -> str:
    """Last line: how many sources, how fast with all that goes with it, and what others did."""
    frames = sum(each.frames for each in tracked)
    line = f"tracked {len(tracked)} of {total} sources, {frames} frames in {seconds:.1f} s"
    line += f", {frames / seconds:.1f} frames/s with opening, compiling and writing" if frames else ""
    others = total - done - len(tracked)
    line += f"; {done} were there already" if done else ""
    line += f"; {others} by other processes" if others > 0 else ""
    return line + (f"; {failed} failed" if failed else "")
