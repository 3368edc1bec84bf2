"""Stages of a pipeline on threads of their own: work done ahead of its use, and work left behind, both bounded."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeVar

Item = TypeVar("Item")

_END: Any = object()


@contextmanager
def ahead(items: Generator[Item, None, None], depth: int) -> Iterator[Iterator[Item]]:
    """Gives `items` in order, up to `depth` of them made before they are asked for.

    What `items` raises comes where its item would have. On leaving, the item in the making is waited for, `items` is
    closed, and the thread has ended.
    """
    with closing(items), ThreadPoolExecutor(1, "ahead") as thread:
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


class Behind:
    """Runs calls in order on one thread, while at most `depth` of them are waiting or running.

    Leaving the block waits for all of them, by an exception too. A call that raises is the last one: its exception
    comes out of a later call or of the block's end, unless the block has one of its own.

    >>> with Behind(depth=2) as behind:
    ...     behind(video.write, frame)
    """

    def __init__(self, depth: int):
        self._depth = depth
        self._calls: deque[Future[None]] = deque()
        self._failed = False

    def __enter__(self) -> "Behind":
        self._thread = ThreadPoolExecutor(1, "behind")
        return self

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Returns once there is room for the call."""
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
