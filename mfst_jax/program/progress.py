"""Progress bar of the commands that track, on standard error where that is a terminal."""

import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


def progress_bar(quiet: bool) -> Progress:
    """Progress bar on standard error, where that is a terminal."""
    console = Console(file=sys.stderr)
    return Progress(
        TextColumn("{task.description}", markup=False),  # a source's name is text, whatever its brackets say
        BarColumn(),
        MofNCompleteColumn(),
        _FramesPerSecond(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),  # or a file would miss what is printed to it
        transient=True,
    )


class _FramesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Any:
        waits = not task.speed or task.fields.get("compiling")
        return Text("compiling" if waits else f"{task.speed:.1f} frames/s", style="progress.data.speed")
