"""Study behind docs/choices.md: what a second look at frames with a low score is worth, and what it costs.

    python tools/study_second_look.py ROOT [ROOT ...] [--looks .1] [--weights PATH] [--preset NAME]
        [--set key=value ...] [--keep FOLDER]

Tracks every sequence below each ROOT from its first true box twice, frame by frame in turns: without a second look
(`Config.second_look` 0) and with one below the score `--looks`. For each ROOT it prints success AUC and precision of
both and their differences with intervals of 95 %, paired over sequences; how many tracks end lost, with an IoU below
.1 in each of the last five annotated frames; in what share of the frames there was a second look; and the median ratio
of the times of a step, of frames without a second look and of frames with one. `--keep` keeps what was found in each
sequence, so that a study that was stopped goes on; times are then those of when it was found.
"""

import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro
from jaxtyping import Bool, Float
from paired_measures import measures, paired_rows
from tyro.conf import Positional

import mfst_jax
from mfst_jax import evaluation
from mfst_jax.bench.side_by_side import table
from mfst_jax.config import Config, Preset
from mfst_jax.evaluation import Sequence, overlaps
from mfst_jax.fast import PreparedParams
from mfst_jax.media.images import read_image
from mfst_jax.params import choose_config
from mfst_jax.program.arguments import Settings, flatten_settings
from mfst_jax.whole_files import replacing

LOST_IOU, LOST_FRAMES = 0.1, 5
"""A track ends lost where its last frames, so many of them, have an IoU below this."""


@dataclass(frozen=True)
class Both:
    """One sequence, tracked in both ways.

    Attributes:
      boxes: Boxes without a second look, and with one.
      seconds: Seconds of each step, likewise; the first two of each are left out.
      looked: Frames, after the first, in which there was a second look.
    """

    boxes: Float[np.ndarray, "2 frames 4"]
    seconds: Float[np.ndarray, "2 steps"]
    looked: Bool[np.ndarray, " steps"]


def track(params: PreparedParams, configs: tuple[Config, Config], sequence: Sequence) -> Both:
    """Tracks one sequence in both ways, frame by frame in turns."""
    first, box = read_image(sequence.frames[0]), sequence.ground_truth[0].astype(np.float32)
    states = [mfst_jax.init(params, first, box, config=config) for config in configs]
    boxes, seconds, looked = [[box, box]], [], []
    for path in sequence.frames[1:]:
        frame, outputs, times = read_image(path), [], []
        without, before = states
        for way, state in enumerate(states):
            start = time.perf_counter()
            states[way], output = jax.block_until_ready(mfst_jax.step(params, state, frame))
            times.append(time.perf_counter() - start)
            outputs.append(output)
        # What the second way found at first: what the first way found, as long as both are at the same place.
        parted = not (np.array_equal(without.centre, before.centre) and np.array_equal(without.scale, before.scale))
        at_first = mfst_jax.step(params, before, frame, config=configs[0])[1] if parted else outputs[0]
        looked.append(float(at_first.score) < configs[1].second_look)
        boxes.append([np.asarray(output.box) for output in outputs])
        seconds.append(times)
    return Both(np.array(boxes, np.float64).transpose(1, 0, 2), np.array(seconds).T, np.array(looked))


def tracked(params: PreparedParams, configs: tuple[Config, Config], sequence: Sequence, keep: Path | None) -> Both:
    """One sequence tracked in both ways, from `keep` where it is kept there already."""
    if keep is None:
        return track(params, configs, sequence)
    path = keep / f"{sequence.name}.npz"
    if not path.is_file():
        found = track(params, configs, sequence)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new, new.open("wb") as file:
            np.savez(file, boxes=found.boxes, seconds=found.seconds, looked=found.looked)
    with np.load(path) as held:
        return Both(held["boxes"], held["seconds"], held["looked"])


def ends_lost(boxes: Float[np.ndarray, "frames 4"], truth: Float[np.ndarray, "frames 4"]) -> bool:
    """Whether the last frames that have a true box are all lost."""
    return bool((overlaps(boxes, truth)[-LOST_FRAMES:] < LOST_IOU).all())


def report(name: str, found: list[tuple[Sequence, Both]]) -> None:
    """Prints the tables of one folder."""
    without, with_look = (
        [measures(both.boxes[way], sequence.ground_truth) for sequence, both in found] for way in (0, 1)
    )
    rows = paired_rows(without, with_look)
    lost = [sum(ends_lost(both.boxes[way], sequence.ground_truth) for sequence, both in found) for way in (0, 1)]
    rows.append(("tracks that end lost", str(lost[0]), str(lost[1]), f"{lost[1] - lost[0]:+d}"))
    looked = np.concatenate([both.looked[1:] for _, both in found])
    ratios = np.concatenate([(both.seconds[1] / both.seconds[0])[1:] for _, both in found])
    print(f"\n{name}: {len(found)} sequences")
    print(table(("", "without", "with a second look", "difference"), rows))
    print(
        f"second looks in {looked.mean():.3f} of {len(looked)} frames; median ratio of a step's time, with to without:"
    )
    for what, chosen in (("in frames with one", looked), ("in all others", ~looked)):
        if chosen.any():
            print(f"  {np.median(ratios[chosen]):.2f} {what}")


def main(
    roots: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    looks: float = 0.1,
    weights: Path | None = None,
    preset: Preset | None = None,
    set: Settings = (),
    keep: Path | None = None,
) -> None:
    """Prints tables for each folder, and for all sequences together.

    Args:
        roots: Folders of sequences.
        looks: Score below which there is a second look.
        weights: As for `mfst track`.
        preset: As for `mfst track`.
        set: As for `mfst track`.
        keep: Where to keep what was found.
    """
    plain = mfst_jax.load(weights)
    config = choose_config(plain.contents, preset, flatten_settings(set))
    configs = replace(config, second_look=0.0), replace(config, second_look=looks)
    params = mfst_jax.prepare(plain, configs[1])
    name = hashlib.sha256(json.dumps([repr(configs), plain.contents.describe()]).encode()).hexdigest()[:16]
    every = []
    for root in roots:
        folder = None if keep is None else keep / name / root.name
        found = [(sequence, tracked(params, configs, sequence, folder)) for sequence in evaluation.load(root).sequences]
        report(root.name, found)
        every += found
    if len(roots) > 1:
        report("all", every)


if __name__ == "__main__":
    tyro.cli(main)
