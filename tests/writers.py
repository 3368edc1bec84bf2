"""Everything that writes files, in a small way: what the tests of faults let fail."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from random_weights import A

import mfst_jax
from mfst_jax import checkpoints, whole_files
from mfst_jax.export import files as export_files
from mfst_jax.media.writers import VideoWriter, save_image
from mfst_jax.page import PageTarget, PageWriter
from mfst_jax.params import Params
from mfst_jax.tracks.files import Record
from mfst_jax.tracks.tables import open_table
from mfst_jax.train.whole_folders import made_once
from weight_port import conversion, exporting
from weight_port.reading import Source

FRAMES = 4


@dataclass(frozen=True)
class Writer:
    """One way to write.

    Attributes:
      name: What is written: a path from the folder, or the beginning of several.
      write: Writes version 0 or 1 of it to a path.
      keeps_frames: Whether what there was room for counts, where there was not room for all.
    """

    name: str
    write: Callable[[Path, int], object]
    keeps_frames: bool = False


def params(version: int) -> Params:
    """Weights of AlexNet as it ships, of which one number says the version."""
    found = mfst_jax.load(bundled_se=False)
    kernel = np.array(found.variables["params"]["alexnet"]["conv1"]["bias"])
    kernel[0] = version
    variables = {**found.variables, "params": {"alexnet": dict(found.variables["params"]["alexnet"])}}
    variables["params"]["alexnet"]["conv1"] = {**variables["params"]["alexnet"]["conv1"], "bias": kernel}
    return Params(variables, found.contents)
