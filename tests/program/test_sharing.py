"""Sharing of work: who begins where, that each piece is done by one process, and what becomes of those that end."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from mfst_jax import locks
from mfst_jax.errors import InputError
from mfst_jax.program import sharing
from mfst_jax.program.sharing import Share, at_work_in, one_at_a_time, share_of, share_out


class Work:
    """Pieces that are done by writing a file, each noted with who did it."""

    def __init__(self, folder: Path, count: int):
        self.folder, self.pieces = folder, [f"piece{number}" for number in range(count)]
        self.did: list[tuple[int, str]] = []

    def is_done(self, piece: str) -> bool:
        return (self.folder / piece).exists()

    def do(self, process: int, piece: str) -> None:
        self.did.append((process, piece))
        (self.folder / piece).write_text("done")

    def share(self, processes: int, process: int, **options):
        share = Share(processes, process)
        return share_out(self.pieces, share, self.folder, name=str, is_done=self.is_done, **options)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PAUSE", 0.01)


def together(work: Work, processes: int) -> None:
    """All processes at once, as threads: locks are of open files, so that these keep each other out too."""

    def run(process: int) -> None:
        for piece in work.share(processes, process):
            work.do(process, piece)

    threads = [threading.Thread(target=run, args=(process,)) for process in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("count", [0, 1, 7, 40])
def test_every_piece_is_done_by_one_process_and_no_claim_is_left(tmp_path: Path, count: int):
    together(work := Work(tmp_path, count), 4)
    assert Counter(piece for _, piece in work.did) == Counter(work.pieces)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(work.pieces)


def test_one_that_is_alone_takes_what_is_not_done_in_order_and_claims_nothing(tmp_path: Path):
    work = Work(tmp_path, 4)
    (tmp_path / "piece1").touch()
    for piece in work.share(1, 0):
        assert not [*tmp_path.glob(f".*{sharing.CLAIM}")]
        work.do(0, piece)
    assert [piece for _, piece in work.did] == ["piece0", "piece2", "piece3"]


def test_each_begins_with_a_stretch_of_its_own_and_goes_on_from_the_ends_of_others():
    pieces = list(range(7))
    assert Share(1, 0).order(pieces) == pieces
    assert Share(3, 0).order(pieces) == [0, 1, 3, 2, 6, 5, 4]
    assert Share(3, 1).order(pieces) == [2, 3, 6, 5, 4, 1, 0]
    assert Share(3, 2).order(pieces) == [4, 5, 6, 1, 0, 3, 2]
    assert Share(9, 4).order([0, 1]) == [0, 1]


def test_what_one_holds_is_waited_for_and_taken_over_where_it_lets_go(tmp_path: Path):
    """The other process ends without having done its piece."""
    work, told = Work(tmp_path, 3), []
    other = work.share(2, 0)
    held = next(other)
    end = threading.Timer(0.1, other.close)
    for piece in work.share(2, 1, waiting=lambda count: (told.append(count), end.start())):
        work.do(1, piece)
    end.join()
    assert told == [1]
    assert [piece for _, piece in work.did][-1] == held
    assert sorted(piece for _, piece in work.did) == work.pieces


def test_what_a_piece_came_to_is_not_asked_of_the_one_that_was_given_it(tmp_path: Path):
    """A piece that cannot be done is not given to the same process for ever."""
    work = Work(tmp_path, 3)
    given = [piece for piece in work.share(2, 0) if piece == "piece1" or work.do(0, piece) is None]
    assert given == ["piece0", "piece2", "piece1"]


def test_what_killed_processes_have_claimed_is_nobodys_and_goes(tmp_path: Path):
    work = Work(tmp_path, 2)
    for name in ("piece0", "piece1", "of another list"):
        (tmp_path / f".{name}{sharing.CLAIM}").touch()
    (tmp_path / "piece1").touch()
    for piece in work.share(2, 0):
        work.do(0, piece)
    assert [piece for _, piece in work.did] == ["piece0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["piece0", "piece1"]


def test_without_locks_everything_is_done_and_what_is_there_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(locks, "fcntl", None)
    work = Work(tmp_path, 6)
    one, other = work.share(2, 0), work.share(2, 1)
    for _ in range(3):  # side by side, each in its own stretch
        for process, shared in enumerate((one, other)):
            work.do(process, next(shared))
    assert sorted(piece for _, piece in work.did) == work.pieces
    assert next(one, None) is None
    assert next(other, None) is None


def test_a_folder_is_for_those_that_share_it_or_for_one_alone(tmp_path: Path):
    one, other, alone = (at_work_in(tmp_path, share) for share in (Share(2, 0), Share(2, 1), Share()))
    with one, other, pytest.raises(InputError, match="expected no other process at work in it"), alone:
        pytest.fail("one that does not share was let in")
    shared = at_work_in(tmp_path, Share(2, 0))
    with at_work_in(tmp_path, Share()), pytest.raises(InputError, match="that does not share it"), shared:
        pytest.fail("one that shares was let in")


def test_a_claim_that_cannot_be_written_is_said(tmp_path: Path):
    (tmp_path / f".piece0{sharing.CLAIM}").mkdir()
    with pytest.raises(InputError, match="expected to write a claim, found Is a directory"):
        next(Work(tmp_path, 1).share(2, 0))
    with pytest.raises(InputError, match="expected to write a claim"), one_at_a_time("piece0", tmp_path):
        pytest.fail("it was claimed")


def test_a_piece_that_is_asked_for_twice_is_waited_for(tmp_path: Path):
    order = []

    def second() -> None:
        with one_at_a_time("piece", tmp_path):
            order.append("second")

    with one_at_a_time("piece", tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("processes", "process", "message"),
    [
        (0, 0, "--processes: expected 1 or more, found 0"),
        (2, 2, "--process: expected 0 to 1, found 2"),
        (2, -1, "--process: expected 0 to 1, found -1"),
        (1, 1, "--process: expected 0 to 0, found 1"),
    ],
)
def test_numbers_that_are_none_are_refused(processes: int, process: int, message: str):
    with pytest.raises(InputError) as error:
        share_of(processes, process)
    assert str(error.value) == message
