"""The campaign of kills, in a small way: it finds nothing, and it would find what is half-written, lost or left."""

import json
import subprocess
import sys
from pathlib import Path

import kill_campaign
import numpy as np
import pytest
import safetensors.numpy
from killing import commands, contents, processes

from mfst_jax import checkpoints

ROOT = Path(__file__).parents[1]
OLD, NEW = (
    {"boxes.csv": b"old"},
    {"boxes.csv": b"new", "page.html": True, "run/metrics.jsonl": [{"step": 1}, {"step": 2}]},
)


def test_the_shares_are_of_200_moments_and_of_every_command():
    assert sum(commands.SHARES.values()) == 200
    assert commands.SHARES.keys() == commands.COMMANDS.keys()


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"boxes.csv": b"old"}, None),
        (NEW, None),
        ({**OLD, "run/metrics.jsonl": [{"step": 1}]}, None),
        ({**OLD, "cache/downloads/a.pth.part": b"half"}, None),
        ({}, "boxes.csv is lost"),
        ({"boxes.csv": b"ne"}, "boxes.csv is neither the old one nor the new one"),
        ({**OLD, "page.html": False}, "page.html is neither the old one nor the new one"),
        ({**OLD, "other": b""}, "other is neither the old one nor the new one"),
        ({**OLD, "run/metrics.jsonl": [{"step": 2}]}, "run/metrics.jsonl has other lines"),
    ],
)
def test_what_a_kill_may_leave(found: dict, problem: str | None):
    assert contents.after_a_kill(found, OLD, NEW) == ([] if problem is None else [problem])


def test_what_is_hidden_is_not_content_but_is_noticed(tmp_path: Path):
    (tmp_path / ".boxes.csv.part").mkdir()
    (tmp_path / ".boxes.csv.part" / "new.csv").write_text("half")
    (tmp_path / "page.html").write_text("<html>")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "seconds": 2}\n{"st')
    assert contents.content_of(tmp_path) == {"page.html": False, "metrics.jsonl": [{"step": 1}]}
    assert contents.hidden_in(tmp_path) == [".boxes.csv.part"]


def test_the_best_weights_so_far_have_to_be_whole():
    array = np.arange(6, dtype=np.float32)
    text = json.dumps({"sha256": checkpoints.digest({"a": array})})
    whole = safetensors.numpy.save({"a": array}, {"mfst_jax": text})
    last = {"run/best.safetensors": b"of the last epoch"}
    assert contents.after_a_kill({"run/best.safetensors": whole}, {}, last) == []
    for damaged in (whole[:-4], whole[:40], whole[:-4] + b"abcd", b""):
        (problem,) = contents.after_a_kill({"run/best.safetensors": damaged}, {}, last)
        assert problem == "run/best.safetensors is neither the old one nor the new one"


def test_a_command_that_leaves_half_a_file_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One that writes under the file's own name, and one that does not go on."""
    program = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).open('x').write('half'); time.sleep(60)"
    started = []

    def careless(words: list[str], out: Path, log: Path) -> int:
        log.write_text("")
        command = [sys.executable, "-S", "-c", program, str(out / "boxes.csv")]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        return started[-1].pid

    def wait(child: int, seconds: float) -> int | None:
        while not (tmp_path / "track" / "out" / "boxes.csv").exists():
            pass
        return None if seconds < 60 else 1

    monkeypatch.setattr(processes, "start", careless)
    monkeypatch.setattr(processes, "wait", wait)
    whole = {"old": {}, "new": {"boxes.csv": b"all of it"}, "seconds": 1.0}
    found = kill_campaign.try_moment("track", tmp_path, tmp_path / "track", 0, 0, whole)
    assert found["killed"]
    assert found["problems"][0] == "boxes.csv is neither the old one nor the new one"
    assert found["problems"][1].startswith("the next start failed: exit status 1")
    for process in started:
        process.kill()
        process.wait()
    assert [*kill_campaign.table([found])][-1] == "| all | 1 | 1 | 0 | 0 | 1 |"


@pytest.mark.slow
def test_commands_that_are_killed_leave_nothing_half_written_and_go_on(tmp_path: Path):
    words = [str(ROOT / "tools" / "kill_campaign.py"), "--in", str(tmp_path), "--moments", "24"]
    words += ["--commands", "convert", "port", "weights", "track"]
    process = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.splitlines()[-1].endswith("| 0 |")
