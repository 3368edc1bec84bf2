"""What the compiler makes for users, beside what it makes in a hurry for the tests: they differ by rounding alone."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from one_layer import SMALL
from scenes import video

import mfst_jax
from mfst_jax.compilation import LEVEL, compiler_options
from mfst_jax.presets import ALEXNET

FRAMES = 4

pytestmark = pytest.mark.toom_cook


CASES = {
    "one layer, plain weights": (SMALL, ("plain",)),
    "one layer": (SMALL, ("plain", "prepared")),
    "all": (ALEXNET, ("plain", "prepared")),
}
"""Configurations, and which kinds of weights are tracked with."""


def found(case: str) -> dict[str, np.ndarray]:
    """Boxes, scores and the last response of each kind of weights."""
    config, kinds = CASES[case]
    frames, truth = video(61, frames=FRAMES)
    arrays: dict[str, np.ndarray] = {}
    plain = mfst_jax.load()
    for name in kinds:
        params = plain if name == "plain" else mfst_jax.prepare(plain, config)
        result = mfst_jax.track(params, frames[:-1], truth[0], config=config)
        _, output = mfst_jax.step(params, result.state, frames[-1])
        values = {"boxes": result.box, "scores": result.score, "response": output.response}
        arrays |= {f"{name} {key}": np.asarray(jax.device_get(value)) for key, value in values.items()}
    return arrays


@pytest.mark.parametrize(
    "case",
    ["one layer, plain weights", *(pytest.param(each, marks=pytest.mark.slow) for each in ("one layer", "all"))],
)
def test_programs_for_users_compute_what_those_of_the_tests_do(case: str, tmp_path: Path):
    options = compiler_options()
    assert options is None or LEVEL not in options  # these tests have their own
    path = tmp_path / "found.npz"
    environment = {**os.environ, "XLA_FLAGS": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, __file__, str(path), case], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    with np.load(path) as usual:
        for what, expected in found(case).items():
            np.testing.assert_allclose(usual[what], expected, atol=1e-3 if "boxes" in what else 1e-4, err_msg=what)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the options are for CPUs")
def test_users_choose_how_hard_the_compiler_tries(monkeypatch: pytest.MonkeyPatch):
    read = compiler_options.__wrapped__  # not what it said before
    monkeypatch.setenv("XLA_FLAGS", "")
    assert read()[LEVEL] == 1
    assert LEVEL not in read(thorough=True)  # XLA's own, the highest
    monkeypatch.setenv("XLA_FLAGS", f"--{LEVEL}=2")
    assert LEVEL not in read()


if __name__ == "__main__":
    assert (compiler_options() or {LEVEL: 1})[LEVEL] == 1
    np.savez(sys.argv[1], **found(sys.argv[2]))
