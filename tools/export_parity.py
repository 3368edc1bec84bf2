"""Largest difference between the boxes of an exported tracker and ours, over the first frames of sequences.

python tools/export_parity.py mfst.onnx OTB/Deer OTB/Crossing --frames 100
python tools/export_parity.py mfst.stablehlo OTB/Deer
"""

import itertools
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

import mfst_jax
from mfst_jax.config import from_dict
from mfst_jax.errors import InputError
from mfst_jax.export import files, running
from mfst_jax.media import open_source
from mfst_jax.program.arguments import exit_status


def exported_boxes(path: Path, frames: Iterator[np.ndarray], box: np.ndarray) -> Iterator[np.ndarray]:
    """Boxes of an exported tracker after the first frame."""
    tracker = running.open_exported(path)
    tracker.init(next(frames), box)
    for frame in frames:
        yield tracker.update(frame)


def main(
    model: tyro.conf.Positional[Path],
    sequences: Annotated[tyro.conf.Positional[list[Path]], tyro.conf.arg(metavar="SEQUENCE")],
    /,
    *,
    weights: str | None = None,
    frames: int = 120,
) -> int:
    """Prints a line a sequence.

    Args:
      model: what `mfst export` wrote.
      sequences: folders of annotated sequences.
      weights: those that it was exported from; by default the built-in ones.
      frames: how many frames of each.
    """
    config = from_dict(files.read_metadata(model)["config"])
    params = mfst_jax.prepare(mfst_jax.load(weights), config)
    for folder in sequences:
        source = open_source(str(folder))
        if source.ground_truth is None:
            raise InputError(f"{folder}: expected an annotated sequence, found no true boxes")
        pictures = list(itertools.islice(source.frames(), frames))
        ours = mfst_jax.track(params, np.stack(pictures), source.ground_truth[0], config=config).box[1:]
        theirs = np.stack(list(exported_boxes(model, iter(pictures), source.ground_truth[0])))
        apart = np.max(np.abs(theirs - np.asarray(ours)), axis=1)
        found = {
            "sequence": source.name,
            "frames": len(pictures),
            "largest": float(apart.max()),
            "frame": int(apart.argmax()) + 1,
        }
        print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(partial(tyro.cli, main), program="export_parity.py"))
