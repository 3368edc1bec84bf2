"""Small versions of `tools/load.py`: trackers in threads do not mix, and a limit of memory is one."""

import os
import subprocess
import sys
from pathlib import Path

import load
import memory_limit
import numpy as np
import pytest


def test_trackers_in_threads_track_as_each_alone():
    jobs = [load.Job(number, targets, 3, "narrow") for number, targets in enumerate((1, 1, 2, 1))]
    problems, figures = load.run(jobs, "threads", 1, None)
    assert [problem for problem in problems if "average" not in problem] == [], problems
    assert "0 differ from runs on their own" in figures


def test_how_even_threads_were_is_told_while_all_run():
    boxes = np.zeros((5, 1, 4), np.float32)
    fast, slow = (load.Track(boxes, np.array(times, float)) for times in ([0, 1, 2, 3, 4], [0, 1, 3.5, 5, 7]))
    assert load.evenness([fast, fast]) == 1
    assert load.evenness([fast, slow]) == 0.5  # 3 steps and 1 after everyone's first and until the first end
    assert load.evenness([fast, load.Track(boxes, np.array([0, 3, 5, 7, 9.0]))]) is None
    assert load.waits([fast, slow]) == (1.25, 2.5)


LIMITED = """
import subprocess, sys
sys.path.insert(0, {tools!r})
import memory_limit

if {by!r} == "look":
    memory_limit._make_group = lambda _: None
hungry = "import time; taken = bytearray(300 * 2**20); time.sleep(1)"
with memory_limit.limited(150) as usage:
    status = subprocess.run([sys.executable, "-c", hungry]).returncode
print(usage.how.split()[1], status, usage.peak <= 150, usage.exceeded)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="control groups and /proc are Linux's")
@pytest.mark.parametrize(("by", "found"), [("kernel", "control -9 True False"), ("look", "look 0 False True")])
def test_a_limit_of_memory_is_one(by: str, found: str):
    """In a process of its own, which the limit is for too."""
    if by == "kernel":
        if (group := memory_limit._make_group(64)) is None:
            pytest.skip("no control group can be made here")
        group.rmdir()
    program = LIMITED.format(tools=str(Path(memory_limit.__file__).parent), by=by)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == found, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("videos", "--videos", "8", "--targets", "16", "--frames", "3", "--by", "threads", "--weights", "narrow"),
        ("trackers", "--count", "64", "--frames", "8", "--by", "threads"),
        ("trackers", "--count", "64", "--frames", "8", "--by", "processes", "--processes", "4"),
    ],
    ids=lambda each: f"{each[0]} {each[each.index('--by') + 1]}",
)
def test_load(arguments: tuple[str, ...]):
    usual = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, Path(load.__file__), *arguments], env=usual, capture_output=True, text=True, timeout=500
    )
    assert "0 differ from runs on their own" in done.stdout, done.stdout + done.stderr
