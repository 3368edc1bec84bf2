"""Progress bars of the commands, on standard error where that is a terminal."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

Unit = Literal["frames", "steps", "bytes"]
"""Units that a bar counts: frames or bytes, and shows how many a second; or steps, and shows the time so far."""


class _Progress(Progress):
    def stop(self) -> None:
        if not self.disable:  # rich before 14.3 ends a bar that was never shown by an empty line
            super().stop()


def progress_bar(quiet: bool = False, unit: Unit = "frames") -> Progress:
    """Progress bar on standard error, where that is a terminal; it is gone at the end.

    Args:
      quiet: whether to show nothing.
      unit: what is counted.
    """
    console = Console(file=sys.stderr)
    return _Progress(
        TextColumn("{task.description}", markup=False),  # a source's name is text, whatever its brackets say
        BarColumn(),
        *_counts(unit),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),  # or a file would miss what is printed to it
        transient=True,
    )


@contextmanager
def progress_of(title: str, unit: Unit = "steps") -> Generator[Callable[[int, int | None], None]]:
    """Progress bar of one thing, shown by calling what this yields with how much is done, and of how much.

    That may begin anew, as with one file after the other. The second number is None as long as nobody knows it.
    """
    with progress_bar(unit=unit) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _counts(unit: Unit) -> tuple[ProgressColumn, ProgressColumn]:
    """Columns that say how much is done, and how fast or for how long."""
    if unit == "frames":
        return MofNCompleteColumn(), _FramesPerSecond()
    if unit == "bytes":
        return DownloadColumn(), TransferSpeedColumn()
    return MofNCompleteColumn(), TimeElapsedColumn()


class _FramesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Any:
        waits = not task.speed or task.fields.get("compiling")
        return Text("compiling" if waits else f"{task.speed:.1f} frames/s", style="progress.data.speed")
