"""`JAX_ENABLE_X64` changes no box and no dtype, in programs and on the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scenes import video

PROGRAM = """
import dataclasses, json, sys
from pathlib import Path
import jax, numpy as np
import mfst_jax
from mfst_jax.cli import main

folder, size = Path(sys.argv[1]), (64, 80)
frames, box = np.load(folder / "frames.npy"), np.load(folder / "box.npy")
small = dataclasses.replace(mfst_jax.ALEXNET, alexnet_layers=("conv3",), scale_count=1)
centre = dataclasses.replace(small, scale_count=3, scale_search="features", centre_search=8.0, scale_step=1.05)
crops = dataclasses.replace(small, scale_count=3, scale_search="crops")
params = mfst_jax.load()
boxes = {}
for name, config in {"small": small, "centre": centre, "crops": crops}.items():
    result = mfst_jax.track(params, frames, box, config=config)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(result)} == {"float32", "int32", "bool"}
    boxes[name] = np.asarray(result.box).tolist()
prepared = mfst_jax.prepare(params, small, platform="gpu")  # that for CPUs is in mfst eval
assert {str(leaf.dtype) for leaf in jax.tree.leaves(prepared)} == {"float32"}
boxes["prepared"] = np.asarray(jax.jit(mfst_jax.track)(prepared, frames, box).box).tolist()
boxes["float"] = np.asarray(mfst_jax.track(params, frames.astype(np.float32), box.tolist(), config=small).box).tolist()
options = ["--set", "alexnet_layers=conv3", "scale_count=1"]
table = str(folder / "boxes.csv")
status = main(["track", str(folder / "video"), "--box", ",".join(map(str, box)), "--boxes", table, *options])
status |= main(["eval", str(folder / "set"), "--protocol", "folder", "--out", str(folder / "out"), *options])
(written,) = (folder / "out").rglob("video.txt")
boxes["eval"] = np.loadtxt(written, delimiter=",").tolist()
print(json.dumps({"status": status, "x64": jax.config.jax_enable_x64, **boxes}))
"""


def run(folder: Path, x64: bool) -> dict:
    environment = {**os.environ, "JAX_ENABLE_X64": str(int(x64)), "MFST_JAX_CACHE": str(folder / "cache")}
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def prepare(folder: Path) -> None:
    frames, truth = video(31, frames=3, size=(64, 80), target=(20, 18), start=(20, 16))
    for place in (folder / "video", folder / "set" / "video"):
        place.mkdir(parents=True)
        for number, frame in enumerate(frames, start=1):
            Image.fromarray(frame).save(place / f"{number:08}.png")
        np.savetxt(place / "groundtruth.txt", truth, delimiter=",")
    np.save(folder / "frames.npy", frames)
    np.save(folder / "box.npy", truth[0])


def test_boxes_and_dtypes_are_the_same_with_64_bits(tmp_path: Path):
    found = {}
    for x64 in (False, True):
        folder = tmp_path / str(x64)
        folder.mkdir()
        prepare(folder)
        found[x64] = run(folder, x64)
    narrow, wide = found[False], found[True]
    assert (narrow.pop("x64"), wide.pop("x64")) == (False, True)
    assert narrow.pop("status") == wide.pop("status") == 0
    for name, boxes in narrow.items():
        np.testing.assert_allclose(wide[name], boxes, rtol=0, atol=2e-3, err_msg=name)
