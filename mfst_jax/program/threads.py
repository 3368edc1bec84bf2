"""Threads for the stages of a pipeline: work done ahead of its use, and work done later, both bounded."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeVar

Item = TypeVar("Item")

_END: Any = object()


@contextmanager
def prefetch(items: Generator[Item, None, None], depth: int) -> Iterator[Iterator[Item]]:
    """Iterates over `items` in order, with up to `depth` of them made on a thread before they are asked for.

    An exception of `items` is raised where its item would have come. On leaving, the item in the making is waited for,
    `items` is closed, and the thread has ended.
    """
    with closing(items), ThreadPoolExecutor(1, "prefetch") as thread:
        coming: deque[Future[Item]] = deque(thread.submit(next, items, _END) for _ in range(depth))

        def take() -> Iterator[Item]:
            while (item := coming.popleft().result()) is not _END:
                coming.append(thread.submit(next, items, _END))
                yield item

        try:
            yield take()
        finally:
            for future in coming:
                future.cancel()


class CallQueue:
    """Queue of calls that run in order on one thread; at most `depth` of them are waiting or running.

    Leaving the block waits for all of them, by an exception too. After a call that raises no further one runs: its
    exception comes out of a later call or at the end of the block, unless the block raises one of its own.

    Args:
      depth: how many calls may wait or run.

    >>> with CallQueue(depth=2) as queue:
    ...     queue(video.write, frame)
    """

    def __init__(self, depth: int):
        self._depth = depth
        self._calls: deque[Future[None]] = deque()
        self._failed = False

    def __enter__(self) -> "CallQueue":
        self._thread = ThreadPoolExecutor(1, "calls")
        return self

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Queues a call, and returns once there is room for it."""
        while len(self._calls) >= self._depth:
            self._calls.popleft().result()
        self._calls.append(self._thread.submit(self._run, function, *arguments))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        with suppress(*([] if kind is None else [Exception])):
            for call in self._calls:
                call.result()

    def _run(self, function: Callable[..., Any], *arguments: Any) -> None:
        if self._failed:
            return
        try:
            function(*arguments)
        except BaseException:
            self._failed = True
            raise
