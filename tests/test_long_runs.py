"""Small versions of `tools/long_run.py`, and what its checks find."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import box_bounds
import long_run
import numpy as np
import pytest

import mfst_jax
from mfst_jax.presets import ALEXNET


@pytest.mark.slow
def test_a_looping_video_leaves_nothing_behind_in_the_tracker(tmp_path: Path):
    config = replace(ALEXNET, alexnet_layers=("conv3",), centre_search=8.0)
    record = long_run.run(
        46, mfst_jax.load(), config, folder=tmp_path, loop=20, every=15, path=tmp_path / "record.json"
    )
    assert [failure for failure in record.failures() if not failure.startswith("memory")] == []
    assert (record.frames, record.differing_boxes, record.later_compilations) == (46, 0, [])
    assert 0 < record.compilations < 6
    assert record.least_overlap > 0.5
    assert record.least_score == 0  # in the black frames
    assert len(record.kept) == 2
    assert json.loads((tmp_path / "record.json").read_text())["frames"] == 46


@pytest.mark.slow
def test_memory_stays_flat_too(tmp_path: Path):
    program = [sys.executable, Path(long_run.__file__), "--frames", "2400", "--every", "400"]
    usual = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(program, cwd=tmp_path, env=usual, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2,400 of 2,400 frames" in done.stdout


def test_memory_compilations_and_boxes_that_are_wrong_are_told():
    sound = long_run.Record(
        *(10, "A", "Config()", 5, 10), highest=[100, 101], kept=[90, 90], differing_boxes=0, least_overlap=0.9
    )
    assert sound.failures() == []
    for wrong, word in [
        ({"highest": [100, 101, 103]}, "memory"),
        ({"highest": [100, 97]}, "memory"),
        ({"later_compilations": [7]}, "compilations"),
        ({"differing_boxes": 1}, "last loop"),
        ({"least_overlap": 0.4}, "last loop"),
        ({"problems": ["frame 3: ..."]}, "frame 3"),
    ]:
        (failure,) = replace(sound, **wrong).failures()
        assert word in failure


SOUND = [(10, 20, 30, 40), (12, 20, 15, 20), (-60, 20, 60, 80)]


@pytest.mark.parametrize(
    ("box", "word"),
    [
        ((10, 20, 30, np.nan), "finite"),
        ((10, np.inf, 30, 40), "finite"),
        ((10, 20, 30, 41), "one scale"),
        ((10, 20, 300, 400), "one scale"),
        ((10, 20, 3, 4), "one scale"),
        ((400, 20, 30, 40), "pixels beyond the frame"),
        ((10, -300, 30, 40), "pixels beyond the frame"),
    ],
)
def test_boxes_out_of_bounds_are_told(box: tuple[float, ...], word: str):
    assert box_bounds.violations(np.float32(SOUND), (100, 160), ALEXNET) == []
    (found,) = box_bounds.violations(np.float32([*SOUND, box]), (100, 160), ALEXNET, first=5)
    assert found.startswith("frame 8: ")
    assert word in found


def test_the_outermost_pixels_are_seen_a_pixel_far():
    tiny = (0.02, 0.02)  # whose search region is smaller than a pixel
    for y, is_sound in ((33.7, True), (34.4, True), (34.6, False)):
        boxes = np.float32([(30, 33.6, *tiny), (30, y, *tiny)])
        assert (box_bounds.violations(boxes, (34, 64), ALEXNET) == []) == is_sound
