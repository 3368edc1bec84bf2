"""Progress bar for downloads, on standard error where that is a terminal."""

from collections.abc import Generator
from contextlib import contextmanager

import rich.console
import rich.progress

from weight_port.downloads import Progress


@contextmanager
def download_bar(title: str) -> Generator[Progress]:
    """Progress bar that shows downloads, which may be of one file after the other, and is gone at the end."""
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.DownloadColumn(),
        rich.progress.TransferSpeedColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    console = rich.console.Console(stderr=True)
    with rich.progress.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield show
