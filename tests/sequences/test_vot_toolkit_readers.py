"""The VOT toolkit's readers beside ours on the same small copies, where it is installed: frames, boxes, absences."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_sets import IDENTITIES, davis, mask, motchallenge
from layouts import vot

from mfst_jax.sequences import Sequence, find_dataset, places_in, read_sequence

# Of each target: how many frames, and of each its box, or null where the toolkit has none. Masks have inclusive bounds.
READER = """
import importlib, json, sys
from vot.region.shapes import Mask, Rectangle
def box(region):
    if isinstance(region, Rectangle):
        return [float(each) for each in (region.x, region.y, region.width, region.height)]
    if not hasattr(region, "bounds") or isinstance(region, Mask) and not region.mask.any():
        return None
    left, top, right, bottom = map(int, region.bounds())
    more = int(isinstance(region, Mask))
    return [left, top, right - left + more, bottom - top + more]
sequence = importlib.import_module(f"vot.dataset.{sys.argv[1]}").read_sequence(sys.argv[2])
print(json.dumps({name: [box(each) for each in sequence.object(name)] for name in sequence.objects()}))
"""


def theirs(kind: str, path: Path) -> dict[str, np.ndarray]:
    """Boxes [frames, 4] of each target by the toolkit, NaN where it has none."""
    pytest.importorskip("colorama", reason="the VOT toolkit is not installed")
    command = [sys.executable, "-c", READER, kind, str(path)]
    plain = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: np.array([each or [np.nan] * 4 for each in rows], float) for name, rows in found.items()}


def check(ours: Sequence, boxes: np.ndarray, origin: int = 0) -> None:
    """The same frames, boxes and absences from the target's first frame on."""
    first = int(np.flatnonzero(np.isfinite(boxes[:, 0]))[0])
    boxes = boxes[first : first + len(ours.ground_truth)] - (origin, origin, 0, 0)
    assert len(ours.frames) == len(boxes)
    np.testing.assert_array_equal(ours.absent, np.isnan(boxes[:, 0]))
    np.testing.assert_array_equal(ours.ground_truth, boxes)


def test_vot_s_boxes_polygons_and_masks(tmp_path: Path):
    lines = ["0,0,4,0,4,4,0,4", "m10,20,4,3,2,4,6", "nan,nan,nan,nan", "m1,2,3,2,4,1,1", "5.5,6.25,7,8", "0"]
    folder = vot(tmp_path, "agility", lines)
    (boxes,) = theirs("common", folder).values()
    (place,) = places_in(folder)
    check(read_sequence(place), boxes)
    assert np.isfinite(boxes[:, 0]).tolist() == [True, True, False, True, True, False]


def test_the_objects_of_davis(tmp_path: Path):
    masks = [mask((1, 0, 2, 3), (4, 1, 2, 2)), mask((0, 0, 6, 1)), mask((2, 2, 1, 1), (3, 3, 3, 1))]
    davis(tmp_path, "bear", masks)
    found = theirs("davis", tmp_path / "Annotations/480p/bear")
    ours = {place.target: read_sequence(place) for place in find_dataset(tmp_path) or []}
    assert {f"object{target}" for target in ours} == found.keys() == {"object1", "object2"}
    for target, sequence in ours.items():
        check(sequence, found[f"object{target}"])


def test_the_identities_of_motchallenge(tmp_path: Path):
    folder = motchallenge(tmp_path, "MOT17-02", IDENTITIES, 4)
    info = folder / "seqinfo.ini"
    info.write_text(info.read_text() + "imWidth=6\nimHeight=4\nimExt=.jpg\n")
    found = theirs("motchallenge", folder)
    ours = {place.target: read_sequence(place) for place in find_dataset(folder) or []}
    assert {f"object{target}" for target in ours} == found.keys() == {"object2", "object7"}
    for target, sequence in ours.items():
        check(sequence, found[f"object{target}"], origin=1)
        assert np.isfinite(found[f"object{target}"][:, 0]).sum() == (~sequence.absent).sum()
