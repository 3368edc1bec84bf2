"""Real file systems that are full or may only be read: what is written there stays whole, and one line says why."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from writers import LIGHT, WRITERS

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """What begins a command that may mount file systems, which go with it."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed, which gives a process mounts of its own")
    for words in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        probe = "mount -t tmpfs -o size=64k tmpfs /mnt && mount -o remount,ro /mnt"
        if subprocess.run([*words, "sh", "-c", probe], capture_output=True).returncode == 0:
            return words
    pytest.skip("this process may not mount file systems, nor in a namespace of its own")


def run(namespace: list[str], *arguments: object) -> list[str]:
    """What the program found."""
    paths = [str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [*namespace, sys.executable, str(HERE / "full_disk.py"), *map(str, arguments)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_files_on_full_and_on_read_only_disks(namespace: list[str], tmp_path: Path):
    assert run(namespace, tmp_path, "writers", *LIGHT) == []


@pytest.mark.slow
def test_checkpoints_and_ports_on_full_and_on_read_only_disks(namespace: list[str], tmp_path: Path):
    assert run(namespace, tmp_path, "writers", *(name for name in WRITERS if name not in LIGHT)) == []


@pytest.mark.slow
def test_commands_on_full_disks(namespace: list[str], tmp_path: Path):
    """Tracking, evaluation and training end with status 2 and one line, and go on once there is room."""
    assert run(namespace, tmp_path, "commands") == []
