"""The campaign of `tools/fuzz_weight_port.py`, in small."""

import subprocess
import sys
from pathlib import Path


def test_readers_refuse_damaged_files_in_time_and_room():
    tool = Path(__file__).parents[2] / "tools" / "fuzz_weight_port.py"
    run = subprocess.run([sys.executable, str(tool), "--inputs", "2000"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
