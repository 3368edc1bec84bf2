"""A platform that is asked for and not there: one line that names the variable, and exit status 2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfst_jax.checkpoints import BUILT_IN

COMMANDS = [
    ["mfst_jax.cli", "demo", "--out", "OUT"],
    ["weight_port", "verify", str(BUILT_IN), str(BUILT_IN)],
    ["mfst_jax.train", "se_alexnet", "--data", "OUT", "--out", "OUT"],
]
# All in one process, as `python -m` would run them: each process takes seconds to import JAX.
RUN = """
import json, runpy, sys
for command in json.loads(sys.argv[1]):
    sys.argv = command
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        print(end.code, flush=True)
"""


@pytest.mark.parametrize("platform", ["cuda", pytest.param("nonsense", marks=pytest.mark.slow)])
def test_every_program_says_so(platform: str, tmp_path: Path):
    environment = {**os.environ, "JAX_PLATFORMS": platform, "MFST_JAX_CACHE": str(tmp_path / "cache")}
    commands = [[str(tmp_path / "out") if each == "OUT" else each for each in command] for command in COMMANDS]
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, json.dumps(commands)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if platform == "cuda" and process.stdout.startswith("0"):
        pytest.skip("there is a card")
    assert process.stdout.split() == ["2"] * len(commands), process.stderr
    lines = process.stderr.splitlines()
    assert len(lines) == len(commands)
    for line in lines:
        assert f"expected a device of those that JAX_PLATFORMS={platform} asks for, found none" in line
        assert "JAX_PLATFORMS=cpu" in line
    assert not (tmp_path / "out").exists()
