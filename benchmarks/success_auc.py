"""Accuracy: tracks every sequence below a folder and prints success AUC and precision, each and on average.

    python benchmarks/success_auc.py ROOT [--weights PATH] [--preset NAME] [--set key=value ...] [--only NAME ...]

ROOT holds one folder a sequence, in the layout of OTB (`img/`, `groundtruth_rect.txt`) or GOT-10k (`groundtruth.txt`).
With `--results DIR`, raw results of other trackers (DIR/<tracker>/<sequence>.txt, boxes counted from 1) are scored
beside, on the same sequences.
"""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import Positional, UseAppendAction

import mfst_jax
from mfst_jax import config, params
from mfst_jax.evaluation import overlaps, precision_20px, success_auc
from mfst_jax.following import follow
from mfst_jax.video import Source, open_source, read_ground_truth


def main(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    weights: Path | None = None,
    preset: config.Preset | None = None,
    set: UseAppendAction[tuple[tuple[str, ...], ...]] = (),
    only: tuple[str, ...] = (),
    results: Path | None = None,
) -> None:
    """Prints the table.

    Args:
        root: A folder of sequences.
        weights: As for `mfst track`.
        preset: As for `mfst track`.
        set: As for `mfst track`.
        only: Names of sequences; by default all.
        results: A folder of other trackers' raw results.
    """
    loaded = mfst_jax.load(weights)
    chosen = params.choose_config(loaded.contents, preset, [text for group in set for text in group])
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and (not only or folder.name in only))
    unknown = sorted({*only} - {folder.name for folder in folders})
    if unknown or not folders:
        raise SystemExit(f"{root}: expected sequences, found none {' '.join(unknown)}")
    rows = []
    print(f"{'sequence':<28} {'AUC':>6} {'P@20':>6} {'IoU':>6} {'frames':>7}")
    for folder in folders:
        source = open_source(folder)
        if source.ground_truth is None:
            print(f"{folder.name}: no ground truth, left out", file=sys.stderr)
            continue
        boxes = follow(source, source.ground_truth[0], loaded, chosen).boxes
        row = (success_auc(boxes, source.ground_truth), precision_20px(boxes, source.ground_truth))
        rows.append((source, row))
        mean_overlap = np.mean(overlaps(boxes, source.ground_truth))
        print(f"{folder.name:<28} {row[0]:6.3f} {row[1]:6.3f} {mean_overlap:6.3f} {len(boxes):7d}", flush=True)
    auc, precision = np.mean([row for _, row in rows], axis=0)
    print(f"{f'mean of {len(rows)}':<28} {auc:6.3f} {precision:6.3f}")
    for tracker in sorted(results.iterdir()) if results is not None else ():
        scores = [_score(tracker, source) for source, _ in rows]
        auc, precision = np.mean(scores, axis=0)
        print(f"{tracker.name:<28} {auc:6.3f} {precision:6.3f}")


def _score(tracker: Path, source: Source) -> tuple[float, float]:
    assert source.ground_truth is not None
    boxes = read_ground_truth(tracker / f"{source.name}.txt", origin=1)
    return success_auc(boxes, source.ground_truth), precision_20px(boxes, source.ground_truth)


if __name__ == "__main__":
    tyro.cli(main)
