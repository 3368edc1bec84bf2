"""Timing side by side: whose turn it is, what a turn tells, and what happens when a contestant fails."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mfst_jax.bench import side_by_side
from mfst_jax.bench.side_by_side import Contestant, alternate, ratios, spread, table
from mfst_jax.errors import InputError


def make_logger(path: Path, name: str, sleeping: float, spinning: float):
    """Writes its name, its process and a variable of its environment to a file whenever it is called."""
    variable = os.environ.get("MFST_TEST", "none")

    def call() -> None:
        with path.open("a") as file:
            file.write(f"{name} {os.getpid()} {variable}\n")
        time.sleep(sleeping)
        end = time.process_time() + spinning
        while time.process_time() < end:
            pass

    return call


def make_idler():
    return int


def make_failure(when: str):
    if when == "made":
        raise ValueError("cannot be made")

    def fail() -> None:
        if when == "killed":
            os._exit(3)
        raise ValueError("cannot be called")

    return fail


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Times of a contest of three rounds of two calls, and each call: who, in which process, with what around it.

    Of the three contestants `a` sleeps, and `b` is busy and has an environment of its own.
    """
    log = tmp_path_factory.mktemp("contest") / "log"
    contestants = {
        "a": Contestant(make_logger, log, "a", 0.05, 0.0),
        "b": Contestant(make_logger, log, "b", 0.0, 0.05, environment={"MFST_TEST": "here"}),
        "c": Contestant(make_logger, log, "c", 0.0, 0.0),
    }
    times = alternate(contestants, rounds=3, calls=2)
    return SimpleNamespace(times=times, calls=[line.split() for line in log.read_text().splitlines()])


def test_contestants_take_turns_in_an_order_that_rotates(contest: SimpleNamespace):
    assert "".join(name for name, *_ in contest.calls[::2]) == "abcbcacababc"
    assert contest.calls[::2] == contest.calls[1::2]
    processes = {process for _, process, _ in contest.calls}
    assert len(processes) == 3
    assert str(os.getpid()) not in processes
    assert all(len(found.wall) == len(found.cpu) == 3 for found in contest.times.values())


def test_what_a_turn_tells(contest: SimpleNamespace):
    sleeps, spins = contest.times["a"], contest.times["b"]
    assert min(sleeps.wall) >= 0.05
    assert max(sleeps.cpu) < 0.03
    assert min(spins.cpu) >= 0.045
    assert 5 < sleeps.peak < 2000


def test_an_environment_of_its_own(contest: SimpleNamespace):
    assert {(name, variable) for name, _, variable in contest.calls} == {("a", "none"), ("b", "here"), ("c", "none")}
    assert "MFST_TEST" not in os.environ


@pytest.mark.parametrize(
    ("when", "message"),
    [pytest.param("made", "cannot be made", marks=pytest.mark.slow), ("called", "cannot be called")],
)
def test_a_failure_is_told(when: str, message: str):
    with pytest.raises(RuntimeError, match=f"(?s)make_failure.*{message}"):
        alternate({"good": Contestant(make_idler), "bad": Contestant(make_failure, when)}, rounds=2)


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
