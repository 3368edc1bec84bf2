"""Study behind docs/choices.md: how many lost frames a score below 1/2 catches, and how often it is a false alarm.

    python tools/study_lost.py ROOT [ROOT ...] [--weights PATH] [--preset NAME] [--set key=value ...]

Tracks every sequence below each ROOT from its first true box. A frame is lost where the box overlaps the true one by an
IoU below 0.1, and followed where it does so by more than 0.5. Frames between are counted apart, and so are those
without the target. Intervals are of 95 %, by resampling sequences.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro
from tyro.conf import Positional

import mfst_jax
from mfst_jax.bench.side_by_side import table
from mfst_jax.evaluation import Sequence, load, overlaps
from mfst_jax.evaluation.statistics import bootstrap_interval, describe_mean
from mfst_jax.media.images import read_image
from mfst_jax.params import choose_config
from mfst_jax.presets import Preset
from mfst_jax.program.arguments import Settings, flatten_settings
from mfst_jax.tracks.lost_frames import LOST_BELOW, is_lost, stretches

LOST_IOU, FOLLOWED_IOU = 0.1, 0.5
LONG = 5
"""Number of frames from which on a lost stretch is looked at as a whole."""
THRESHOLDS = (0.3, 0.4, LOST_BELOW, 0.6, 0.7)
ENOUGH = (10, 25, 50)
"""Numbers of lost frames in a row after which a track may be stopped."""


@dataclass(frozen=True)
class Track:
    """Track of one sequence.

    Attributes:
      name: Name of the sequence.
      scores: Score of every frame but the first.
      ious: Overlap in every frame but the first; NaN where the target is absent.
    """

    name: str
    scores: np.ndarray
    ious: np.ndarray


def track(tracker: mfst_jax.Tracker, sequence: Sequence) -> Track:
    """Track of a sequence from its first true box."""
    truth = sequence.ground_truth.astype(np.float32)
    tracker.init(read_image(sequence.frames[0]), truth[0])
    scores, ious = [], np.full(len(truth) - 1, np.nan)
    for row, (path, true_box) in enumerate(zip(sequence.frames[1:], truth[1:], strict=True)):
        box = tracker.update(read_image(path))
        scores.append(tracker.score)
        if (overlap := overlaps(box[None], true_box[None])).size:
            ious[row] = overlap[0]
    return Track(sequence.name, np.array(scores), ious)


def share(tracks: list[Track], low: float, high: float, below: float) -> str:
    """Share of the frames with an overlap in [low, high) that score below `below`, with its interval."""
    chosen = [track.scores[(track.ious >= low) & (track.ious < high)] for track in tracks]
    scored = [scores for scores in chosen if scores.size]
    if not scored:
        return "none"
    counts = np.array([len(scores) for scores in scored], np.float64)
    shares = np.array([np.mean(scores < below) for scores in scored])
    return describe_mean(shares @ counts / counts.sum(), bootstrap_interval(shares, weights=counts))


def of_alarms(lost: np.ndarray, alarms: np.ndarray) -> str:
    """Share of alarms that are lost frames."""
    return f"{np.mean(lost[alarms]):.3f}" if alarms.any() else "none"


def long_stretches(tracks: list[Track]) -> str:
    """Share of the lost stretches of at least `LONG` frames that are caught, and after how many frames."""
    delays = []
    for track in tracks:
        for first, last in stretches(track.ious < LOST_IOU):
            if last - first + 1 >= LONG:
                said = np.flatnonzero(is_lost(track.scores[first : last + 1]))
                delays.append(said[0] if said.size else np.inf)
    caught = np.array([delay for delay in delays if np.isfinite(delay)])
    if not delays:
        return f"no lost stretch of {LONG} frames or more"
    late = (
        f"; median delay {np.median(caught):.0f} frames, 90 % within {np.quantile(caught, 0.9):.0f}"
        if caught.size
        else ""
    )
    return f"lost stretches of {LONG} frames or more: {len(caught)} of {len(delays)} caught{late}"


def stops(tracks: list[Track], enough: int) -> str:
    """Number of tracks that `--stop-when-lost` would end, and how many of them while the target is followed."""
    followed = []
    for track in tracks:
        for first, last in stretches(is_lost(track.scores)):
            if last - first + 1 >= enough:
                followed.append(track.ious[first + enough - 1] > FOLLOWED_IOU)
                break
    return f"--stop-when-lost {enough} ends {len(followed)} of them, {sum(followed)} while the target is followed"


def report(name: str, tracks: list[Track]) -> None:
    """Prints the figures of one folder."""
    scores, ious = (np.concatenate([getattr(track, field) for track in tracks]) for field in ("scores", "ious"))
    lost, followed, absent = ious < LOST_IOU, ious > FOLLOWED_IOU, np.isnan(ious)
    between = ~lost & ~followed & ~absent
    print(f"\n{name}: {len(tracks)} sequences, {len(ious)} frames after the first: {np.sum(lost)} lost, ", end="")
    print(f"{np.sum(between)} between, {np.sum(followed)} followed, {np.sum(absent)} without the target")
    rows = [
        (
            f"score < {below}",
            share(tracks, 0, LOST_IOU, below),
            share(tracks, np.nextafter(FOLLOWED_IOU, 1), np.inf, below),
            share(tracks, LOST_IOU, np.nextafter(FOLLOWED_IOU, 1), below),
            f"{np.mean(scores[absent] < below):.3f}" if absent.any() else "none",
            of_alarms(lost, (scores < below) & ~absent),
        )
        for below in THRESHOLDS
    ]
    print(table(("", "lost, caught", "followed, false alarm", "between", "absent", "of alarms, lost"), rows))
    print(long_stretches(tracks))
    for enough in ENOUGH:
        print(stops(tracks, enough))


def main(
    roots: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    weights: Path | None = None,
    preset: Preset | None = None,
    set: Settings = (),
) -> None:
    """Prints a table for each folder.

    Args:
        roots: Folders of sequences.
        weights: As for `mfst track`.
        preset: As for `mfst track`.
        set: As for `mfst track`.
    """
    loaded = mfst_jax.load(weights)
    chosen = choose_config(loaded.contents, preset, flatten_settings(set))
    tracker = mfst_jax.Tracker(loaded, chosen)
    print(f"{preset or 'implied preset'} with {loaded.contents.describe()} on {jax.devices()[0].platform}")
    for root in roots:
        dataset = load(root, "folder", images=True)
        report(root.name, [track(tracker, sequence) for sequence in dataset.sequences])


if __name__ == "__main__":
    tyro.cli(main)
