"""Study behind docs/choices.md: what options of the tracker are worth, and what they cost.

    python tools/study_options.py ROOT [ROOT ...] --preset alexnet --options second_look=.1 filter_share=.8
        [--backwards] [--weights PATH] [--set key=value ...] [--keep FOLDER]

Tracks every sequence below each ROOT from its first true box twice, frame by frame in turns: without the options, as
weights, preset and `--set` say, and with them on top. With `--backwards` each sequence is tracked backwards too, from
the last frame that has a true box. For each ROOT it prints success AUC and precision of both and their differences with
intervals of 95 %, paired over sequences, each the mean of its tracks, of which those of one video are resampled
together; how many tracks end lost, with an IoU below .1 in each of the last five annotated frames; and the median ratio
of the times of a step, for frames that score at least 1/2 with the options and for the others. All frames are padded to
the size of the largest, so that each configuration is compiled once; that changes no box. `--keep` keeps what was found
in each sequence, so that a study that was stopped goes on; times are then those of when it was found.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from jaxtyping import Float
from paired_measures import Measures, measures, paired_rows
from tyro.conf import Positional

import mfst_jax
from mfst_jax import checkpoints, evaluation
from mfst_jax.bench.side_by_side import table
from mfst_jax.checkpoints import weight_names
from mfst_jax.config import Config, Model, override
from mfst_jax.errors import InputError
from mfst_jax.evaluation import overlaps
from mfst_jax.fast import PreparedParams
from mfst_jax.media.images import read_image
from mfst_jax.padding import pad
from mfst_jax.params import Params, choose_config
from mfst_jax.presets import Preset
from mfst_jax.program.arguments import Settings, flatten_settings
from mfst_jax.tracks import LOST_BELOW, is_lost
from mfst_jax.whole_files import replacing

LOST_IOU, LOST_FRAMES = 0.1, 5
"""A track ends lost where its last frames, so many of them, have an IoU below this."""


@dataclass(frozen=True)
class Direction:
    """Sequence in one direction, forwards or backwards.

    Attributes:
      sequence: Name of the sequence.
      name: The same, and `-backwards`.
      frames: Files of the frames, in that direction.
      truth: True boxes of these frames.
    """

    sequence: str
    name: str
    frames: list[Path]
    truth: Float[np.ndarray, "frames 4"]


@dataclass(frozen=True)
class Both:
    """One sequence, tracked without the options and with them.

    Attributes:
      boxes: Boxes without the options, and with them.
      scores: Scores with the options, of each step.
      seconds: Seconds of each step, without and with.
    """

    boxes: Float[np.ndarray, "2 frames 4"]
    scores: Float[np.ndarray, " steps"]
    seconds: Float[np.ndarray, "2 steps"]


def directions(root: Path, *, backwards: bool) -> Iterator[Direction]:
    """Sequences below a folder, and each of them backwards too where that is wanted."""
    for sequence in evaluation.load(root).sequences:
        frames, truth = list(sequence.frames), np.asarray(sequence.ground_truth, np.float64)
        yield Direction(sequence.name, sequence.name, frames, truth)
        if backwards:
            known = np.isfinite(truth).all(axis=1) & (truth[:, 2:] > 0).all(axis=1)
            end = np.flatnonzero(known)[-1] + 1
            yield Direction(sequence.name, f"{sequence.name}-backwards", frames[:end][::-1], truth[:end][::-1])


def by_name(roots: Sequence[Path]) -> dict[str, Path]:
    """Folders by their names, under which their tracks are kept. Raises `InputError` where two share one."""
    names = [root.resolve().name for root in roots]
    if len({*names}) < len(names):
        raise InputError(f"ROOT: expected folders of different names, found {', '.join(names)}")
    return dict(zip(names, roots, strict=True))


def largest_frame(tracks: Iterable[Direction]) -> tuple[int, int]:
    """Largest height and largest width of the first frames of some tracks."""
    height, width = np.max([read_image(it.frames[0]).shape[:2] for it in tracks], axis=0)
    return int(height), int(width)


def track(params: PreparedParams, configs: tuple[Config, Config], it: Direction, size: tuple[int, int]) -> Both:
    """Tracks one sequence by both configurations, frame by frame in turns, each padded to `size` (height, width)."""
    first, box = read_image(it.frames[0]), it.truth[0].astype(np.float32)
    real, start = np.array(first.shape[:2], np.int32), jax.device_put(pad(first, size))
    states = [mfst_jax.init(params, start, box, config=config, frame_size=real) for config in configs]
    boxes, scores, seconds = [[box, box]], [], []
    for path in it.frames[1:]:
        frame, times = jax.device_put(pad(read_image(path), size)), [0.0, 0.0]
        outputs: Any = [None, None]
        # Each is the first in every other frame: what comes first finds less in the caches.
        for number in (0, 1) if len(seconds) % 2 else (1, 0):
            began = time.perf_counter()
            states[number], outputs[number] = jax.block_until_ready(mfst_jax.step(params, states[number], frame))
            times[number] = time.perf_counter() - began
        boxes.append([np.asarray(output.box) for output in outputs])
        scores.append(float(outputs[1].score))
        seconds.append(times)
    return Both(np.array(boxes, np.float64).transpose(1, 0, 2), np.array(scores), np.array(seconds).T)


def digest_of(params: Params, models: Sequence[Model]) -> str:
    """Digest of the weights of these backbones and of their SE-blocks."""
    branches = [branch for model in models for branch in (model, f"{model}_se")]
    return checkpoints.digest(weight_names.flatten_branches(params.variables, branches))


def key_of(params: Params, configs: tuple[Config, Config]) -> str:
    """Name of the folder of what was found by these weights in these configurations."""
    models = sorted({model for config in configs for model in config.models})
    parts = json.dumps([repr(configs), params.contents.describe(), digest_of(params, models)])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def tracked(
    params: PreparedParams, configs: tuple[Config, Config], it: Direction, size: tuple[int, int], keep: Path | None
) -> Both:
    """One sequence tracked by both configurations, from `keep` where it is kept there already."""
    if keep is None:
        return track(params, configs, it, size)
    path = keep / f"{it.name}.npz"
    if not path.is_file():
        found = track(params, configs, it, size)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new, new.open("wb") as file:
            np.savez(file, boxes=found.boxes, scores=found.scores, seconds=found.seconds)
    with np.load(path) as held:
        return Both(held["boxes"], held["scores"], held["seconds"])


def ends_lost(boxes: Float[np.ndarray, "frames 4"], truth: Float[np.ndarray, "frames 4"]) -> bool:
    """Whether the last frames that have a true box are all lost."""
    return bool((overlaps(boxes, truth)[-LOST_FRAMES:] < LOST_IOU).all())


def by_sequence(found: list[tuple[Direction, Both]], which: int) -> dict[str, Measures]:
    """Measures of each sequence, without the options (`which` is 0) or with: the mean of both directions."""
    tracks: dict[str, list[Measures]] = {}
    for it, both in found:
        tracks.setdefault(it.sequence, []).append(measures(both.boxes[which], it.truth))
    return {name: tuple(np.mean(each, axis=0)) for name, each in tracks.items()}


def of_root(name: str, found: list[tuple[Direction, Both]]) -> list[tuple[Direction, Both]]:
    """What was found in a folder, its name before those of its sequences: other folders may have the same ones."""
    return [(dataclasses.replace(it, sequence=f"{name}/{it.sequence}"), both) for it, both in found]


def report(name: str, found: list[tuple[Direction, Both]]) -> None:
    """Prints the tables of one folder."""
    rows = paired_rows(*(by_sequence(found, which) for which in (0, 1)))
    lost = [sum(ends_lost(both.boxes[which], it.truth) for it, both in found) for which in (0, 1)]
    rows.append(("tracks that end lost", str(lost[0]), str(lost[1]), f"{lost[1] - lost[0]:+d}"))
    # The first steps of a sequence compile.
    lost_now = np.concatenate([is_lost(both.scores[2:]) for _, both in found])
    ratios = np.concatenate([(both.seconds[1] / both.seconds[0])[2:] for _, both in found])
    print(f"\n{name}: {len(found)} tracks")
    print(table(("", "without", "with", "difference"), rows))
    print("median ratio of a step's time, with to without:")
    for what, chosen in ((f"that score {LOST_BELOW} or more", ~lost_now), ("that score less", lost_now)):
        if chosen.any():
            print(f"  {np.median(ratios[chosen]):.2f} in {chosen.sum()} frames {what}")


def main(
    roots: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    options: Settings,
    backwards: bool = False,
    weights: Path | None = None,
    preset: Preset | None = None,
    set: Settings = (),
    keep: Path | None = None,
) -> None:
    """Prints tables for each folder, and for all sequences together.

    Args:
        roots: Folders of sequences, of different names.
        options: Settings of the second configuration, as for `--set`.
        backwards: Track each sequence backwards too.
        weights: As for `mfst track`.
        preset: As for `mfst track`.
        set: Settings of both configurations, as for `mfst track`.
        keep: Where to keep what was found.
    """
    plain = mfst_jax.load(weights)
    config = choose_config(plain.contents, preset, flatten_settings(set))
    configs = config, override(config, flatten_settings(options))
    if configs[0] == configs[1]:
        found = " ".join(flatten_settings(options))
        raise InputError(f"--options: expected what the configuration without them has not, found {found}")
    folders = by_name(roots)
    params = mfst_jax.prepare(plain, configs[1])
    key = key_of(plain, configs)
    every = []
    size = largest_frame(it for root in roots for it in directions(root, backwards=False))
    for name, root in folders.items():
        folder = None if keep is None else keep / key / name
        found = [(it, tracked(params, configs, it, size, folder)) for it in directions(root, backwards=backwards)]
        report(name, found)
        every += of_root(name, found)
    if len(roots) > 1:
        report("all", every)


if __name__ == "__main__":
    tyro.cli(main)
