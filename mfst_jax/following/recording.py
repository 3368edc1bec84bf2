"""Recording of a track: the table, the record beside it, the annotated video and the page."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num

from mfst_jax.config import Config, to_dict
from mfst_jax.errors import InputError
from mfst_jax.media.decoding import Frame
from mfst_jax.media.drawing import draw, draw_targets
from mfst_jax.media.source import Source
from mfst_jax.media.writers import VideoWriter
from mfst_jax.page import MOST_MAPS, PageTarget, PageWriter
from mfst_jax.params import Contents
from mfst_jax.targets import THE_TARGET, Target, is_unnamed
from mfst_jax.tracks.files import Record
from mfst_jax.tracks.lost_frames import is_lost
from mfst_jax.tracks.tables import CsvTable, open_table
from mfst_jax.version import __version__


def check_files(
    source: Source, *, video: Path | None = None, table: Path | None = None, page: Path | None = None
) -> None:
    """Raises the `InputError` that a `Recorder` of these files would raise, before the targets are known."""
    if video is not None:
        VideoWriter(video, source.fps)
    if table is not None:
        open_table(table, [THE_TARGET], video=source.name, size=source.size)
    if page is not None:
        PageWriter(page, name=source.name, size=source.size, fps=source.fps, targets=[PageTarget(THE_TARGET)])


class Recorder:
    """Writer of a track to all files that are wanted. Leaving the `with` block finishes them, by an exception too.

    Attributes:
      draws: Whether frames are wanted, so that `show` has to be called.
      maps: Whether `show` wants response maps.
    """

    def __init__(
        self,
        source: Source,
        targets: Sequence[Target],
        contents: Contents,
        config: Config,
        *,
        video: Path | None = None,
        table: Path | None = None,
        page: Path | None = None,
        source_path: str | None = None,
        see: Callable[[int, Frame], None] | None = None,
    ):
        """Checks all that can be wrong with the files before there is any work to lose.

        Args:
          source: the frames.
          targets: what is followed in them.
          contents: of the weights.
          config: how they are tracked.
          video: where to write the annotated video; true boxes are drawn too, if there is one target.
          table: where to write the boxes, in the format of `tables.open_table`.
          page: where to write the page.
          source_path: the path that `source` was opened by, for the record beside the table; None for no record.
          see: called by `show` with the number of each frame and its annotated picture.

        Raises:
          InputError: one of the files cannot be written.
        """
        self._names = [target.name for target in targets]
        self._unnamed = is_unnamed(targets)
        self._truth = source.ground_truth if len(targets) == 1 else None
        self._see = see
        self._table: CsvTable | None = None
        if table is not None:
            self._table = open_table(
                table, self._names, video=source.name, size=source.size, files=source.files, timed=source.timed
            )
        self._video = VideoWriter(video, source.fps) if video is not None else None
        self.maps = page is not None and len(targets) <= MOST_MAPS
        self._page = self._page_writer(page, source, contents, config) if page is not None else None
        self._record: tuple[Record, Path] | None = None
        if table is not None and source_path is not None:
            self._record = Record.of(table, source_path, source, contents, config, self._names), table
        self.draws = page is not None or video is not None or see is not None
        self._told = False

    def __enter__(self) -> "Recorder":
        with ExitStack() as stack:
            stack.push(self._write_record)
            for writer in (self._table, self._video, self._page):
                if writer is not None:
                    stack.enter_context(writer)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> bool | None:
        return self._open.__exit__(*error)  # type: ignore[arg-type]

    def tell(
        self,
        number: int,
        boxes: Num[np.ndarray, "targets 4"],
        scores: Num[np.ndarray, " targets"],
        seconds: float | None = None,
    ) -> None:
        """Writes the boxes and scores of frame `number` and its time to the table."""
        self._told = True
        if self._table is not None:
            self._table.write(number, boxes, scores, seconds)

    def show(
        self,
        number: int,
        frame: Frame,
        boxes: Num[np.ndarray, "targets 4"],
        scores: Num[np.ndarray, " targets"],
        responses: Float[np.ndarray, "targets samples samples"] | None,
    ) -> None:
        """Draws frame `number` and writes it to video and page; `responses` are None in the first frame."""
        if self._page is not None:
            self._page.write(frame, boxes, scores, responses=None if responses is None else [*responses])
        if self._video is None and self._see is None:
            return
        truth = self._truth[number] if self._truth is not None and number < len(self._truth) else None
        lost = is_lost(scores)
        if self._unnamed:
            picture = draw(frame, boxes[0], score=scores[0], number=number, truth=truth, lost=bool(lost[0]))
        else:
            picture = draw_targets(frame, boxes, self._names, scores=scores, lost=lost, number=number, truth=truth)
        if self._video is not None:
            self._video.write(picture)
        if self._see is not None:
            self._see(number, picture)

    def _page_writer(self, path: Path, source: Source, contents: Contents, config: Config) -> PageWriter:
        truth = None if self._truth is None else self._truth[source.first :]
        return PageWriter(
            path,
            name=source.name,
            size=source.size,
            fps=source.fps,
            targets=[PageTarget(name, truth) for name in self._names],
            first=source.first,
            count=source.remaining,
            config=to_dict(config),
            facts={"mfst_jax": __version__, "weights": contents.describe()},
            maps=self.maps,
        )

    def _write_record(self, error: type[BaseException] | None, *_: object) -> None:
        if self._record is not None and self._told:  # the table has rows, and so there is one
            record, table = self._record
            with suppress(*([] if error is None else [InputError])):  # an error of the block is the one to report
                replace(record, complete=error is None).write(table)
