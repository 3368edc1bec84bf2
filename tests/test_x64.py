"""`JAX_ENABLE_X64` changes no box and no dtype, in programs and on the command line."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from one_layer import OPTIONS, SMALL
from PIL import Image
from scenes import video

import mfst_jax
from mfst_jax.cli import main

CONFIGS = {
    "centre": replace(SMALL, scale_count=3, scale_search="features", centre_search=8.0, scale_step=1.05),
    "crops": replace(SMALL, scale_count=3, scale_search="crops"),
}

pytestmark = pytest.mark.toom_cook


def found(folder: Path) -> dict[str, Any]:
    """Boxes by plain and by prepared weights, by `mfst track` and by `mfst eval`, of the clip in a folder."""
    frames, box = np.load(folder / "frames.npy"), np.load(folder / "box.npy")
    params = mfst_jax.load()
    boxes: dict[str, Any] = {"x64": jax.config.read("jax_enable_x64")}
    for name, config in CONFIGS.items():
        result = mfst_jax.track(params, frames, box, config=config)
        assert {str(leaf.dtype) for leaf in jax.tree.leaves(result)} == {"float32", "int32", "bool"}
        boxes[name] = np.asarray(result.box).tolist()
    prepared = mfst_jax.prepare(params, SMALL, platform="gpu")  # that for CPUs is in mfst eval
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(prepared)} == {"float32"}
    boxes["prepared"] = np.asarray(jax.jit(mfst_jax.track)(prepared, frames, box).box).tolist()
    result = mfst_jax.track(params, frames.astype(np.float32), box.tolist(), config=SMALL)
    boxes["float"] = np.asarray(result.box).tolist()
    table = str(folder / "boxes.csv")
    assert main(["track", str(folder / "video"), "--box", ",".join(map(str, box)), "--boxes", table, *OPTIONS]) == 0
    boxes["track"] = np.loadtxt(table, delimiter=",", skiprows=1, usecols=(1, 2, 3, 4)).tolist()
    out = folder / "out"
    assert main(["eval", str(folder / "set"), "--protocol", "folder", "--out", str(out), *OPTIONS]) == 0
    (written,) = out.rglob("video.txt")
    boxes["eval"] = np.loadtxt(written, delimiter=",").tolist()
    return boxes


def prepare(folder: Path) -> Path:
    frames, truth = video(31, frames=3, size=(64, 80), target=(20, 18), start=(20, 16))
    for place in (folder / "video", folder / "set" / "video"):
        place.mkdir(parents=True)
        for number, frame in enumerate(frames, start=1):
            Image.fromarray(frame).save(place / f"{number:08}.png")
        np.savetxt(place / "groundtruth.txt", truth, delimiter=",")
    np.save(folder / "frames.npy", frames)
    np.save(folder / "box.npy", truth[0])
    return folder


@pytest.mark.slow  # in two processes; tests/test_transformations.py has a track with 64 bits
def test_boxes_and_dtypes_are_the_same_with_64_bits(tmp_path: Path):
    folder = prepare(tmp_path / "wide")
    environment = {
        **os.environ,
        **{"JAX_ENABLE_X64": "1", "MFST_JAX_CACHE": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)},
    }
    process = subprocess.run([sys.executable, __file__, str(folder)], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    wide = json.loads(process.stdout.splitlines()[-1])
    narrow = found(prepare(tmp_path / "narrow"))
    assert (narrow.pop("x64"), wide.pop("x64")) == (False, True)
    assert len(narrow) == 6
    for name, boxes in narrow.items():
        np.testing.assert_allclose(wide[name], boxes, rtol=0, atol=2e-3, err_msg=name)


if __name__ == "__main__":
    print(json.dumps(found(Path(sys.argv[1]))))
