"""A platform that is asked for and not there: one line that names the variable, and exit status 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfst_jax.checkpoints import BUILT_IN

PROGRAMS = {
    "mfst_jax.cli": ["demo", "--out", "OUT"],
    "weight_port": ["verify", str(BUILT_IN), str(BUILT_IN)],
    "mfst_jax.train": ["se_alexnet", "--data", "OUT", "--out", "OUT"],
}


@pytest.mark.parametrize(
    ("platform", "program"),
    [
        *(("cuda", "mfst_jax.cli"), ("nonsense", "weight_port"), ("cuda", "mfst_jax.train")),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("nonsense", "mfst_jax.cli"), ("cuda", "weight_port"), ("nonsense", "mfst_jax.train"))
        ),
    ],
)
def test_every_program_says_so(platform: str, program: str, tmp_path: Path):
    environment = {**os.environ, "JAX_PLATFORMS": platform, "MFST_JAX_CACHE": str(tmp_path / "cache")}
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            program,
            *[str(tmp_path / "out") if each == "OUT" else each for each in PROGRAMS[program]],
        ],
        env=environment,
        capture_output=True,
        text=True,
    )
    if platform == "cuda" and process.returncode == 0:
        pytest.skip("there is a card")
    assert process.returncode == 2, process.stderr
    (line,) = process.stderr.splitlines()
    assert f"expected a device of those that JAX_PLATFORMS={platform} asks for, found none" in line
    assert "JAX_PLATFORMS=cpu" in line
    assert not (tmp_path / "out").exists()
