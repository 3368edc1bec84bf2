"""Properties of `init`, `step` and `track`: small versions of `tools/fuzz_tracker.py`, and what its checks find."""

from dataclasses import replace
from pathlib import Path

import fuzz_tracker
import jax
import numpy as np
import pytest
import tracker_checks
import tracker_setups
from tracker_setups import Setup

import mfst_jax
from mfst_jax.presets import ALEXNET

CONFIG = replace(ALEXNET, alexnet_layers=("conv3",), scale_damping=1.0)
ONE = Setup("one region", CONFIG, floats=True)
SEVERAL = Setup("several videos under vmap", CONFIG, kind="batch")
ROUNDED = Setup("bfloat16", replace(CONFIG, precision="default"), rounds=True)


def test_random_frames_and_boxes_keep_all_bounds():
    tally = fuzz_tracker.try_setup(ONE, 25)
    assert tally.failure is None, tally.failure
    assert tally.cases >= 25
    assert tally.steps > 0


@pytest.mark.slow
@pytest.mark.parametrize("setup", [ROUNDED, SEVERAL], ids=["bfloat16", "vmap"])
def test_random_frames_and_boxes_keep_all_bounds_in_bfloat16_and_under_vmap(setup: Setup):
    tally = fuzz_tracker.try_setup(setup, 10)
    assert tally.failure is None, tally.failure
    assert tally.steps > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["preset realtime", "several targets, realtime", "frames of 61 x 1", "greatest growth"]
)
def test_random_frames_and_boxes_keep_all_bounds_in_other_setups(name: str):
    for setup in tracker_setups.setups(0):
        if setup.name.startswith(name):
            tally = fuzz_tracker.try_setup(setup, 40)
            assert tally.failure is None, tally.failure


def test_a_tracker_that_breaks_a_promise_is_found(monkeypatch: pytest.MonkeyPatch):
    plain = mfst_jax.step

    def wrong(params, state, frame):
        state, output = plain(params, state, frame)
        return state, replace_box(output, float(np.mean(frame)) > 100)

    def replace_box(output, goes: bool):
        return output.replace(box=output.box + 1e4) if goes else output

    monkeypatch.setattr(tracker_checks.mfst_jax, "step", wrong)
    tally = fuzz_tracker.try_setup(ONE, 30)
    assert tally.failure is not None
    assert "beyond the frame" in tally.failure or "moves nothing" in tally.failure
    assert "Case(" in tally.failure  # the smallest one that hypothesis found


def test_what_was_tried_is_not_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch):
    monkeypatch.setattr(fuzz_tracker, "setups", lambda _: [ONE])
    assert fuzz_tracker.main(tmp_path, cases=8) == 0
    first = capsys.readouterr().out
    assert first.startswith("one region: 8 cases")
    monkeypatch.setattr(fuzz_tracker, "try_setup", None)
    assert fuzz_tracker.main(tmp_path, cases=8) == 0
    assert capsys.readouterr().out == first.split("\n", 1)[1]


@pytest.mark.slow
def test_operands_are_rounded_to_bfloat16():
    frame = np.random.default_rng(0).integers(0, 256, (*ROUNDED.shape, 3), dtype=np.uint8)
    found = []
    for setup in (ROUNDED, replace(ROUNDED, config=CONFIG, rounds=False)):
        with tracker_setups.rounding(setup):
            params = tracker_setups.weights_for(setup)
            state = mfst_jax.init(params, frame, (10, 10, 20, 16), config=setup.config)
            found.append(np.asarray(jax.device_get(mfst_jax.step(params, state, frame)[1].response)))
    difference = np.abs(found[0] - found[1]).max() / np.abs(found[1]).max()
    assert 1e-4 < difference < 0.1
