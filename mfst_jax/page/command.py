"""The command `mfst view`: a page from what `mfst track` wrote earlier."""

import sys
import webbrowser
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import Positional

from mfst_jax.errors import InputError
from mfst_jax.media.source import Source
from mfst_jax.page.writer import PageTarget, PageWriter
from mfst_jax.program.arguments import File
from mfst_jax.program.progress import progress_bar
from mfst_jax.tracks.files import Record, Track, read_record, read_table
from mfst_jax.tracks.recorded_source import open_recorded


def view(
    result: Annotated[Positional[Path], tyro.conf.arg(metavar="RESULT")],
    /,
    *,
    source: Annotated[str | None, tyro.conf.arg(metavar="SOURCE")] = None,
    out: File = None,
    open: bool = False,
) -> int:
    """Write a page to scrub through what was tracked: one HTML file that needs nothing else.

    Args:
        result: The table of boxes that mfst track wrote with --boxes.
        source: Where its frames are; by default where the record beside the table says.
        out: The page; by default beside the table, under the table's name with .html.
        open: Show it in the browser.
    """
    targets, record = read_table(result), read_record(result)
    out = result.with_suffix(".html") if out is None else out
    frames = open_recorded(result, record, source)
    write_page(out, frames, targets, record)
    print(f"wrote {out}", file=sys.stderr)
    if open and not webbrowser.open(out.resolve().as_uri()):
        print(f"no browser was found to open {out.resolve().as_uri()}", file=sys.stderr)
    return 0


def write_page(out: Path, source: Source, targets: list[Track], record: Record | None) -> None:
    """Writes a page of boxes that are known.

    Args:
      out: the file.
      source: the frames; its ground truth is shown too, if there is one target.
      targets: their boxes, one for each frame.
      record: how they were tracked.

    Raises:
      InputError: it cannot be written; frames that cannot be read, or fewer of them than boxes. The page then has the
        frames before.
    """
    first, truth = targets[0].first, source.ground_truth if len(targets) == 1 else None
    facts = {} if record is None else {"mfst_jax": record.version, "weights": record.weights}
    count, shown = len(targets[0].boxes), 0
    with (
        closing(source.starting_at(first).frames()) as frames,
        PageWriter(
            out,
            name=source.name,
            size=source.size,
            fps=source.fps,
            targets=[PageTarget(target.name, None if truth is None else truth[first:]) for target in targets],
            first=first,
            count=count,
            config=None if record is None else record.config,
            facts=facts,
        ) as page,
        progress_bar(quiet=False) as progress,
    ):
        task = progress.add_task(source.name, total=count)
        for number, frame in zip(range(count), frames, strict=False):
            boxes, scores, lost = (
                np.stack([getattr(target, field)[number] for target in targets])
                for field in ("boxes", "scores", "lost")
            )
            page.write(frame, boxes, scores, lost=lost.tolist())
            progress.advance(task)
            shown = number + 1
        if shown < count:
            raise InputError(f"source {source.name}: expected {count} frames, as many as boxes, found {shown}")
