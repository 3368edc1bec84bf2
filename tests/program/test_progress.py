"""Progress bars: what they show, where, and what they leave alone."""

import io
import os
import select
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress, Task

from mfst_jax.program import progress
from mfst_jax.program.progress import progress_bar, progress_of


def shown(bar: Progress) -> str:
    Console(file=(text := io.StringIO()), width=120).print(bar.make_tasks_table(bar.tasks))
    return text.getvalue()


@pytest.mark.parametrize("name", ["[a]clip[/b]", "[1]", "跟踪"])
def test_a_name_is_shown_as_it_is(name: str):
    bar = progress_bar()
    bar.add_task(name, total=3)
    assert name in shown(bar)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of its own")
def test_rows_reach_a_file_while_a_terminal_shows_the_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    master, terminal = os.openpty()
    with (tmp_path / "rows").open("w") as file, os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar() as bar:
            task = bar.add_task("clip", total=1)
            print("row")
            bar.advance(task)
        found = b""
        while select.select([master], [], [], 2)[0]:  # what was written comes in pieces
            found += os.read(master, 10000)
    os.close(master)
    assert (tmp_path / "rows").read_text() == "row\n"
    assert b"1/1" in found
    assert b"row" not in found


def test_frames_come_with_their_rate_and_compiling_is_said(monkeypatch: pytest.MonkeyPatch):
    bar = progress_bar()
    task = bar.add_task("clip", total=3, compiling=True)
    assert "compiling" in shown(bar)
    assert "0/3" in shown(bar)
    bar.update(task, compiling=False)
    assert "compiling" in shown(bar)  # nothing is done yet
    monkeypatch.setattr(Task, "speed", 12.34)
    assert "12.3 frames/s" in shown(bar)
    bar.update(task, compiling=True)
    assert "frames/s" not in shown(bar)


def test_bytes_and_steps_are_shown_as_such(monkeypatch: pytest.MonkeyPatch):
    bars = []

    def noted(*given: object, **named: object) -> Progress:
        bars.append(progress_bar(*given, **named))
        return bars[-1]

    monkeypatch.setattr(progress, "progress_bar", noted)
    with progress_of("file", "bytes") as show:
        show(1_000_000, None)
        assert "1.0/? MB" in shown(bars[-1])
        show(2_000_000, 4_000_000)
        assert "2.0/4.0 MB" in shown(bars[-1])
    with progress_of("pairs") as show:
        show(3, 10)
        assert "3/10" in shown(bars[-1])
        assert "0:00:00" in shown(bars[-1])


def test_without_a_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]):
    with progress_of("pairs") as show:
        show(1, 1)
    assert capsys.readouterr() == ("", "")
