"""What the compiler makes for users, beside what it makes in a hurry for the tests: they differ by rounding alone."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from scenes import video

import mfst_jax
from mfst_jax.compilation import LEVEL, compiler_options
from mfst_jax.config import ALEXNET, Config

FRAMES = 4

pytestmark = pytest.mark.toom_cook


CONFIGS = {"one layer": replace(ALEXNET, alexnet_layers=("conv3",), scale_count=1), "all": ALEXNET}


def found(config: Config) -> dict[str, np.ndarray]:
    """Boxes, scores and the last response of plain and prepared weights."""
    frames, truth = video(61, frames=FRAMES)
    arrays: dict[str, np.ndarray] = {}
    plain = mfst_jax.load()
    for name, params in {"plain": plain, "prepared": mfst_jax.prepare(plain, config)}.items():
        result = mfst_jax.track(params, frames[:-1], truth[0], config=config)
        _, output = mfst_jax.step(params, result.state, frames[-1])
        values = {"boxes": result.box, "scores": result.score, "response": output.response}
        arrays |= {f"{name} {key}": np.asarray(jax.device_get(value)) for key, value in values.items()}
    return arrays


@pytest.mark.parametrize("name", ["one layer", pytest.param("all", marks=pytest.mark.slow)])
def test_programs_for_users_compute_what_those_of_the_tests_do(name: str, tmp_path: Path):
    options = compiler_options()
    assert options is None or LEVEL not in options  # these tests have their own
    path = tmp_path / "found.npz"
    environment = {**os.environ, "XLA_FLAGS": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, __file__, str(path), name], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    with np.load(path) as usual:
        for what, expected in found(CONFIGS[name]).items():
            np.testing.assert_allclose(usual[what], expected, atol=1e-3 if "boxes" in what else 1e-4, err_msg=what)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the options are for CPUs")
def test_users_choose_how_hard_the_compiler_tries(monkeypatch: pytest.MonkeyPatch):
    read = compiler_options.__wrapped__  # not what it said before
    monkeypatch.setenv("XLA_FLAGS", "")
    assert read()[LEVEL] == 1
    monkeypatch.setenv("XLA_FLAGS", f"--{LEVEL}=2")
    assert LEVEL not in read()


if __name__ == "__main__":
    assert (compiler_options() or {LEVEL: 1})[LEVEL] == 1
    np.savez(sys.argv[1], **found(CONFIGS[sys.argv[2]]))
