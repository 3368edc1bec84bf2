"""Long runs: `Tracker` follows a target through a looping video; memory, compilations and every box are watched.

    python tools/long_run.py [--frames 200000] [--weights NAME] [--record FILE]

The clip, 320 x 240, is drawn and encoded here: a target that moves around, now slow and now fast, grows and shrinks,
passes behind a bar, and is gone in a few black frames. It is decoded anew in every loop. The tracker has the settings
of REALTIME, centre search included; of weights without a SiamFC network, as the built-in ones, it uses A alone. Freed
memory goes back to the system as in `mfst track` (`program/allocator.py`): when everything is compiled, and every 128
frames; `--keep-memory` leaves that to the C library, as a program does that knows nothing of it.

What is checked, and printed at the end with the exit status 1 where it does not hold:
- the highest resident memory of each 1,000 frames after the first 1,000 differs by at most 2 % from that of the first
  of them; what is left when freed memory was given back is printed too;
- nothing is compiled or traced after the second frame;
- every box is finite and within the bounds of `box_bounds`, every score in [0, 1];
- the last loop, tracked by a fresh tracker from the state at its start, has the same boxes to the last bit; and tracked
  from the true box of its first frame, boxes that overlap them.

The record, a JSON file, is written every minute and replaced as a whole: a run that is cut short has one too.
"""

import json
import math
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro
from box_bounds import violations
from compile_events import compile_events
from looping_clip import LOOP, SIZE, looping, write_clip

import mfst_jax
from mfst_jax.boxes import iou
from mfst_jax.config import Config
from mfst_jax.following.loop import TIDY_EVERY
from mfst_jax.media import open_source
from mfst_jax.media.source import Source
from mfst_jax.media.writers import AtomicFile
from mfst_jax.padding import pad
from mfst_jax.params import Params
from mfst_jax.presets import ALEXNET, REALTIME
from mfst_jax.program import allocator

TOLERANCE = 0.02
"""Share by which resident memory may differ from what it was in the first frames after the first 1,000."""
LOOK_EVERY = 8
"""Number of frames between two looks at the resident memory."""
SECONDS_BETWEEN_RECORDS = 60


@dataclass
class Record:
    """Record of a long run, as its JSON file has it.

    Attributes:
      wanted: Number of frames that were asked for.
      frames: Number of frames so far.
      weights: The weights, in words.
      config: The configuration, in words.
      seconds: Seconds so far.
      every: Number of frames that an entry of `highest` and `kept` is of.
      highest: Highest resident memory among so many frames each time, after the first so many, in MiB.
      kept: Resident memory at the end of each, once freed memory was given back, in MiB.
      compilations: Number of compilations up to the second frame.
      later_compilations: Frames after the second one during which something was compiled or traced.
      least_score: Least score so far.
      problems: What was wrong with boxes and scores, a line each.
      differing_boxes: Number of boxes of the last loop that a fresh tracker has otherwise; None before the end.
      least_overlap: Least IoU of the last loop with a tracker that starts at its true box; None before the end.
    """

    wanted: int
    weights: str
    config: str
    every: int
    frames: int = 0
    seconds: float = 0.0
    highest: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    compilations: int = 0
    later_compilations: list[int] = field(default_factory=list)
    least_score: float = math.inf
    problems: list[str] = field(default_factory=list)
    differing_boxes: int | None = None
    least_overlap: float | None = None

    def drift(self) -> float:
        """Largest difference of `highest` from its first entry, as a share of it."""
        return max((abs(each / self.highest[0] - 1) for each in self.highest), default=0.0)

    def failures(self) -> list[str]:
        """What does not hold, a line each."""
        found = list(self.problems)
        if self.drift() > TOLERANCE:
            found.append(f"memory: expected within {TOLERANCE:.0%} of the first, found {self.drift():.1%}")
        if self.later_compilations:
            found.append(f"compilations: expected none after the second frame, found some at {self.later_compilations}")
        if self.frames == self.wanted and self.differing_boxes != 0:
            found.append(f"last loop: expected the boxes of a fresh tracker, found {self.differing_boxes} others")
        if self.frames == self.wanted and not (self.least_overlap or 0) > 0.5:
            found.append(
                f"last loop: expected boxes that overlap a new tracker's, found an IoU of {self.least_overlap}"
            )
        return found

    def summary(self) -> str:
        """Figures of the run so far, in one line."""
        memory = "not taken yet"
        if self.highest:
            memory = f"{self.highest[0]:.1f} MiB +-{self.drift():.2%} at most"
            memory += f", {min(self.kept):.1f} to {max(self.kept):.1f} kept"
        last = ""
        if self.least_overlap is not None:
            last = f"; last loop: {self.differing_boxes} boxes differ from a fresh tracker's"
            last += f", least IoU with a new one's {self.least_overlap:.3f}"
        return (
            f"{self.frames:,} of {self.wanted:,} frames, {self.frames / max(self.seconds, 1e-9):.1f} frames/s; memory "
            f"after the first {self.every:,}: {memory}; compilations: {self.compilations}, later "
            f"{len(self.later_compilations)}; least score {self.least_score:.3f}{last}"
        )


def resident() -> float:
    """Resident memory of this process, in MiB."""
    return allocator.resident_bytes() / 2**20


def save(record: Record, path: Path | None) -> None:
    """Writes the record, in the place of an earlier one, where there is a path."""
    if path is not None:
        target = AtomicFile("record", path)
        target.temporary.write_text(json.dumps(asdict(record), indent=1) + "\n")
        target.publish()


def run(
    frames: int,
    params: Params,
    config: Config,
    *,
    folder: Path,
    loop: int = LOOP,
    every: int = 1000,
    keep_memory: bool = False,
    path: Path | None = None,
    quiet: bool = True,
) -> Record:
    """Record of a run of so many frames.

    Args:
      frames: their number, more than a loop.
      params: the weights.
      config: how to track.
      folder: where the clip is written.
      loop: number of frames of the clip.
      every: number of frames after which memory is taken.
      keep_memory: whether freed memory is left to the C library.
      path: where the record is written while it runs; None for nowhere.
      quiet: whether nothing is printed while it runs.
    """
    box = write_clip(folder / "clip.mp4", loop)
    source = open_source(folder / "clip.mp4")
    record = Record(frames, params.contents.describe(), repr(config), every)
    tracker = mfst_jax.Tracker(params, config)
    last_loop = (frames - 1) // loop * loop
    start: mfst_jax.State | None = None
    boxes = np.empty((loop, 4), np.float32)
    so_far = np.array([box, box], np.float32)  # the first box and the widest one, which bound all later ones
    started = written = time.monotonic()
    peak = 0.0
    with compile_events() as seen, ExitStack() as first_frames:
        if not keep_memory:
            first_frames.enter_context(allocator.compiling())
        for number, frame in enumerate(looping(source, frames)):
            if number == last_loop:
                start = tracker.state
            before = len(seen)
            if number == 0:
                tracker.init(frame, box)
                boxes[0] = box
            else:
                boxes[number % loop] = tracker.update(frame)
            if number <= 1:
                record.compilations = sum(event.endswith("backend_compile_duration") for event in seen)
            elif len(seen) > before:
                record.later_compilations.append(number)
            record.frames = number + 1
            if number == 1:
                first_frames.close()
            if number % TIDY_EVERY == 1 and not keep_memory:
                allocator.give_back()
            if number % LOOK_EVERY == 0:
                peak = max(peak, resident())
            record.least_score = min(record.least_score, tracker.score)
            if not 0 <= tracker.score <= 1:
                record.problems.append(f"frame {number}: expected a score in [0, 1], found {tracker.score}")
            if number % loop == loop - 1 or record.frames == frames:
                rows = np.concatenate([so_far, boxes[: number % loop + 1]])
                record.problems += violations(rows, SIZE, config, first=number // loop * loop - len(so_far))
                so_far[1] = rows[np.argmax(rows[:, 2])]
            if record.frames % every == 0:
                if record.frames > every:
                    record.highest.append(max(peak, resident()))
                    if not keep_memory:
                        allocator.give_back()
                    record.kept.append(resident())
                peak = 0.0
            now = time.monotonic()
            record.seconds = now - started
            if now - written > SECONDS_BETWEEN_RECORDS:
                written = now
                save(record, path)
                if not quiet:
                    print(record.summary(), flush=True)
    if start is not None:
        found = boxes[: frames - last_loop]
        record.differing_boxes = int((again(start, params, source, len(found)) != found).any(axis=1).sum())
        record.least_overlap = float(
            np.min(iou(*map(jnp.asarray, (anew(box, params, config, source, len(found)), found))))
        )
    save(record, path)
    return record


def again(state: mfst_jax.State, params: Params, source: Source, count: int) -> np.ndarray:
    """Boxes [count, 4] of the clip's first frames by a fresh tracker that goes on from a state."""
    weights = mfst_jax.prepare(params, state.config)
    frames = (pad(frame) for frame in looping(source, count))
    rows = []
    for frame in frames:
        state, output = mfst_jax.step(weights, state, frame)
        rows.append(np.asarray(output.box))
    return np.stack(rows)


def anew(box: tuple[int, ...], params: Params, config: Config, source: Source, count: int) -> np.ndarray:
    """Boxes [count, 4] of the clip's first frames by a tracker that starts with the first one's true box."""
    tracker = mfst_jax.Tracker(params, config)
    rows = [np.array(box, np.float32)]
    for number, frame in enumerate(looping(source, count)):
        if number == 0:
            tracker.init(frame, box)
        else:
            rows.append(tracker.update(frame))
    return np.stack(rows)


def config_for(params: Params) -> Config:
    """REALTIME, or for weights without a SiamFC network what it is for A alone: centre search included."""
    if params.contents.siamfc and params.contents.siamfc_variant == "siamfc":
        return REALTIME
    return replace(ALEXNET, centre_search=REALTIME.centre_search)


def main(
    frames: int = 200_000,
    weights: str | None = None,
    record: Path = Path("long_run.json"),
    every: int = 1000,
    keep_memory: bool = False,
) -> int:
    """Runs, prints the figures, and returns the exit status.

    Args:
      frames: number of frames.
      weights: name or path of the weights; by default the built-in ones.
      record: the file of the record.
      every: number of frames after which memory is taken.
      keep_memory: whether freed memory is left to the C library.
    """
    params = mfst_jax.load() if weights is None else mfst_jax.load(weights)
    with tempfile.TemporaryDirectory() as folder:
        done = run(
            frames,
            params,
            config_for(params),
            folder=Path(folder),
            every=every,
            keep_memory=keep_memory,
            path=record,
            quiet=False,
        )
    print(done.summary())
    for failure in done.failures():
        print(failure)
    return bool(done.failures())


if __name__ == "__main__":
    raise SystemExit(tyro.cli(main))
