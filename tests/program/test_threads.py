"""Stages on threads of their own: order, bounds, errors, and that no thread is left behind."""

import threading
import time
from collections.abc import Generator, Iterator

import pytest

from mfst_jax.program.threads import CallQueue, prefetch


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


class Numbers:
    """0, 1, 2 ... and, if it is to fail, an error in the place of that number."""

    def __init__(self, count: int, fail_at: int | None = None):
        self.made = 0
        self.closed = False
        self._count, self._fail_at = count, fail_at

    def __call__(self) -> Generator[int, None, None]:
        try:
            for number in range(self._count):
                if number == self._fail_at:
                    raise ValueError(f"no {number}")
                self.made += 1
                yield number
        finally:
            self.closed = True


def wait_until(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_what_comes_ahead_comes_in_order(count: int):
    numbers = Numbers(count)
    with prefetch(numbers(), depth=2) as items:
        assert list(items) == list(range(count))
    assert numbers.closed


def test_what_comes_ahead_is_bounded():
    numbers = Numbers(50)
    with prefetch(numbers(), depth=3) as items:
        wait_until(lambda: numbers.made == 3)  # before any is asked for
        assert [next(items), next(items)] == [0, 1]
        wait_until(lambda: numbers.made >= 4)
        time.sleep(0.05)
        assert numbers.made <= 5
    assert numbers.closed


def test_an_error_ahead_comes_in_its_turn():
    numbers, seen = Numbers(9, fail_at=4), []
    with pytest.raises(ValueError, match="no 4"), prefetch(numbers(), depth=3) as items:  # noqa: PT012
        wait_until(lambda: numbers.made == 3)
        for item in items:
            seen.append(item)
    assert seen == [0, 1, 2, 3]
    assert numbers.closed


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_leaving_early_closes_what_came_ahead(error: type[BaseException]):
    numbers = Numbers(50)
    with pytest.raises(error), prefetch(numbers(), depth=2) as items:  # noqa: PT012
        next(items)
        raise error
    assert numbers.closed
    assert numbers.made <= 4


def test_on_leaving_no_more_is_made_than_the_item_in_the_making():
    made, begun = [], threading.Event()

    def slow() -> Generator[int, None, None]:
        for number in range(50):
            made.append(number)
            begun.set()
            time.sleep(0.2)
            yield number

    with prefetch(slow(), depth=10):
        assert begun.wait(30)
    assert len(made) < 5


def test_calls_run_behind_in_order_and_all_of_them():
    done = []

    def call(number: int) -> None:
        time.sleep(0.001)
        done.append((number, threading.current_thread()))

    with CallQueue(depth=2) as queue:
        for number in range(20):
            queue(call, number)
            assert number - len(done) <= 2
    assert [number for number, _ in done] == list(range(20))
    assert {thread for _, thread in done} != {threading.current_thread()}


def test_calls_overlap_with_the_caller():
    gate, ran = threading.Event(), []

    def call(number: int) -> None:
        assert gate.wait(30)
        ran.append(number)

    with CallQueue(depth=2) as queue:
        queue(call, 0)
        queue(call, 1)
        assert ran == []  # here, while the first is still running
        gate.set()
    assert ran == [0, 1]


def test_a_call_that_fails_is_the_last_one():
    done = []

    def call(number: int) -> None:
        if number == 3:
            raise OSError("no room")
        done.append(number)

    handed = 0
    with pytest.raises(OSError, match="no room"), CallQueue(depth=2) as queue:  # noqa: PT012
        for handed in range(20):
            queue(call, handed)
    assert done == [0, 1, 2]
    assert handed <= 5  # and the caller learns of it while it still works


def test_a_failure_at_the_very_end_shows():
    with pytest.raises(ZeroDivisionError), CallQueue(depth=4) as queue:
        queue(lambda: 1 // 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_waits_for_the_calls_and_goes_before_theirs(error: type[BaseException]):
    done = []

    def call(number: int) -> None:
        time.sleep(0.01)
        done.append(number)
        if number == 2:
            raise OSError("no room")

    with pytest.raises(error), CallQueue(depth=8) as queue:  # noqa: PT012
        for number in range(3):
            queue(call, number)
        raise error
    assert done == [0, 1, 2]
