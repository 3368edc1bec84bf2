"""Timing side by side: whose turn it is, what a turn tells, and what happens when a contestant fails."""

import functools
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mfst_jax.bench import side_by_side
from mfst_jax.bench.side_by_side import Contestant, alternate, ratios, spread, table
from mfst_jax.errors import InputError


def make_logger(name: str, path: Path):
    """Writes its name and process to a file whenever it is called."""

    def call() -> None:
        with path.open("a") as file:
            file.write(f"{name} {os.getpid()}\n")

    return call


def make_sleeper(seconds: float):
    return functools.partial(time.sleep, seconds)


def make_spinner(seconds: float):
    def spin() -> None:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    return spin


def make_reader(variable: str, path: Path):
    path.write_text(os.environ.get(variable, "none"))
    return int


def make_failure(when: str):
    if when == "made":
        raise ValueError("cannot be made")

    def fail() -> None:
        if when == "killed":
            os._exit(3)
        raise ValueError("cannot be called")

    return fail


def test_contestants_take_turns_in_an_order_that_rotates(tmp_path: Path):
    log = tmp_path / "log"
    times = alternate({name: Contestant(make_logger, name, log) for name in "abc"}, rounds=3, calls=2)
    calls = [line.split() for line in log.read_text().splitlines()]
    assert "".join(name for name, _ in calls[::2]) == "abcbcacababc"
    assert calls[::2] == calls[1::2]
    assert len({process for _, process in calls}) == 3
    assert str(os.getpid()) not in {process for _, process in calls}
    assert all(len(found.wall) == len(found.cpu) == 3 for found in times.values())


def test_what_a_turn_tells():
    times = alternate({"sleeps": Contestant(make_sleeper, 0.05), "spins": Contestant(make_spinner, 0.05)}, rounds=2)
    sleeps, spins = times["sleeps"], times["spins"]
    assert min(sleeps.wall) >= 0.05
    assert max(sleeps.cpu) < 0.03
    assert min(spins.cpu) >= 0.045
    assert 5 < sleeps.peak < 2000


def test_an_environment_of_its_own(tmp_path: Path):
    path = tmp_path / "seen"
    with Contestant(make_reader, "MFST_TEST", path, environment={"MFST_TEST": "here"}):
        assert path.read_text() == "here"
    assert "MFST_TEST" not in os.environ


@pytest.mark.parametrize(
    ("when", "message"),
    [pytest.param("made", "cannot be made", marks=pytest.mark.slow), ("called", "cannot be called")],
)
def test_a_failure_is_told(when: str, message: str):
    with pytest.raises(RuntimeError, match=f"(?s)make_failure.*{message}"):
        alternate({"good": Contestant(make_sleeper, 0.0), "bad": Contestant(make_failure, when)}, rounds=2)


def test_a_process_that_ends_is_told():
    with pytest.raises(RuntimeError, match="make_failure: its process ended with 3"):
        alternate({"bad": Contestant(make_failure, "killed")}, rounds=2)


@pytest.mark.parametrize(("rounds", "calls"), [(1, 1), (2, 0)])
def test_too_few_rounds(rounds: int, calls: int):
    with pytest.raises(InputError, match="at least 2 rounds"):
        alternate({}, rounds=rounds, calls=calls)


def test_sums_and_tables():
    assert ratios([1.0, 4.0], [2.0, 2.0]) == [0.5, 2.0]
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0], 1) == "3.0 (2.0 .. 4.0)"
    assert table(("name", "ms"), [("a", "1.5"), ("longer", "20.5")]) == "name      ms\na        1.5\nlonger  20.5"


def say_in_turn(texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The counts of the machine's time, /proc/stat, read as these texts, one at each look."""
    coming = iter(texts)
    monkeypatch.setattr(side_by_side, "Path", lambda _: SimpleNamespace(read_text=lambda: next(coming)))
    monkeypatch.setattr(side_by_side.time, "sleep", lambda _: None)


# user, nice, system, idle, waiting, interrupts, soft ones, stolen, and of user's time that of guests
BEFORE = "cpu  100 5 50 800 40 1 10 3 90 0\ncpu0 100 5 50 800 40 1 10 3 90 0\n"
AFTER = "cpu  130 5 60 840 50 1 10 13 120 0\ncpu0 130 5 60 840 50 1 10 13 120 0\n"


def test_idle_is_what_no_program_used_of_all_cores_time(monkeypatch: pytest.MonkeyPatch):
    say_in_turn([BEFORE, AFTER], monkeypatch)
    assert side_by_side.idle_share() == (40 + 10) / (30 + 10 + 40 + 10 + 10)


@pytest.mark.parametrize("texts", [[BEFORE, BEFORE], ["", ""], ["cpu of another system\n"] * 2])
def test_what_is_not_known_of_the_machine_is_not_said(texts: list[str], monkeypatch: pytest.MonkeyPatch):
    say_in_turn(texts, monkeypatch)
    assert side_by_side.idle_share() is None
    say_in_turn(texts, monkeypatch)
    monkeypatch.setattr(side_by_side.os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert side_by_side.machine() == "3 cores"


def test_the_machine_in_words(monkeypatch: pytest.MonkeyPatch):
    say_in_turn([BEFORE, AFTER], monkeypatch)
    monkeypatch.delattr(side_by_side.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(side_by_side.os, "cpu_count", lambda: 7)
    assert side_by_side.machine() == "7 cores, 50% idle before"
