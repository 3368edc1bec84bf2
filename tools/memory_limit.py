"""A limit on the memory of this process and its children: by the kernel where that is permitted, else by looking."""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CONTROL = Path("/sys/fs/cgroup")
SECONDS_BETWEEN_LOOKS = 0.1


class Usage:
    """Memory that processes take, as `limited` sees it.

    Attributes:
      how: What holds the limit, in words.
      peak: Most memory so far, in MiB: what the kernel counted, or proportional shares that were seen.
      exceeded: Whether more was seen than the limit; the kernel ends processes before that.
    """

    def __init__(self, how: str):
        self.how = how
        self.peak = 0.0
        self.exceeded = False


@contextmanager
def limited(mebibytes: int) -> Iterator[Usage]:
    """Limits the memory of this process and all that it starts within the block.

    A control group of Linux does that where one can be made: the kernel then ends a process that wants more. Elsewhere
    a thread adds up the proportional shares (PSS) of this process and its descendants, and notes where they exceed the
    limit. RLIMIT_AS would not do: XLA reserves addresses that it never uses.
    """
    group = _make_group(mebibytes)
    usage = Usage("a control group" if group else "a look at PSS every 0.1 s")
    if group is None:
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(usage, mebibytes, done), daemon=True)
        watcher.start()
        try:
            yield usage
        finally:
            done.set()
            watcher.join()
        return
    before = _own_group(group)
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield usage
    finally:
        usage.peak = _peak(group)
        (before / "cgroup.procs").write_text(str(os.getpid()))
        with suppress(OSError):  # where a child is still ending
            group.rmdir()


def _make_group(mebibytes: int) -> Path | None:
    """New control group with a limit, of version 1 or 2; None where none can be made."""
    for parent, name in (
        (CONTROL / "memory", "memory.limit_in_bytes"),
        (CONTROL, "memory.max"),
    ):
        group = parent / f"mfst-load-{secrets.token_hex(4)}"
        if not (parent / "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / name).write_text(str(mebibytes * 2**20))
        except OSError:
            group.rmdir()
            continue
        return group
    return None


def _own_group(group: Path) -> Path:
    """Control group that this process is in, in the hierarchy of `group`."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") or (not controllers and group.parent == CONTROL):
            return group.parent / path.lstrip("/")
    return group.parent


def _peak(group: Path) -> float:
    for name in ("memory.max_usage_in_bytes", "memory.peak"):
        with suppress(OSError):
            return int((group / name).read_text()) / 2**20
    return 0.0


def _watch(usage: Usage, mebibytes: int, done: threading.Event) -> None:
    while not done.is_set():
        usage.peak = max(usage.peak, sum(map(proportional_share, family())))
        usage.exceeded = usage.exceeded or usage.peak > mebibytes
        time.sleep(SECONDS_BETWEEN_LOOKS)


def family() -> list[int]:
    """This process and its descendants."""
    found, new = [], [os.getpid()]
    while new:
        found += new
        below = []
        for process in new:
            for path in Path(f"/proc/{process}/task").glob("*/children"):
                with suppress(OSError):
                    below += map(int, path.read_text().split())
        new = below
    return found


def proportional_share(process: int) -> float:
    """Memory of a process in MiB, pages that it shares with others counted in part; 0 where it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 2**10
    return 0.0
