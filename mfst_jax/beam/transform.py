"""The transform `Track`: jobs in, tables in a folder as `mfst track-all` writes them, and what is in them out."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from mfst_jax.errors import InputError
from mfst_jax.many import jobs
from mfst_jax.many.jobs import Job
from mfst_jax.many.outcomes import Outcomes
from mfst_jax.many.tracking import Setup, track_job
from mfst_jax.presets import Preset
from mfst_jax.program.sharing import Share, at_work_in, one_at_a_time, tidy
from mfst_jax.tracks.files import Track as TargetTrack
from mfst_jax.tracks.files import read_table

_SHARED = Share(2)
"""Share of every worker: one of several, as many as the runner has."""


@dataclass(frozen=True, eq=False)
class Result:
    """What came of one job.

    Attributes:
      name: Name of the job.
      source: Path of its source.
      table: Path of its table of boxes.
      tracks: Tracks of its targets as the table has them, four decimals each; of a job that failed up to there.
      problem: Reason why it failed; None where it did not.
    """

    name: str
    source: str
    table: str
    tracks: tuple[TargetTrack, ...]
    problem: str | None = None


def find_jobs(sources: Sequence[str] = (), boxes: str | Path | None = None) -> list[Job]:
    """Jobs of sources as `mfst track-all` takes them, for `beam.Create`: by absolute paths, as workers run anywhere.

    Args:
      sources: each a video, a sequence, or a folder or glob of them; none for all that `boxes` names.
      boxes: the table of boxes to begin with; what it does not name begins with its own first true box.

    Raises:
      InputError: a source that is not there or has no box, names that two share, or a table that cannot be read.
    """
    absolute = [os.path.abspath(source) for source in sources]  # noqa: PTH100 - some are globs, or FOLDER#NAME
    return jobs.find_jobs(absolute, None if boxes is None else Path(boxes).absolute())[0]


class Track(beam.PTransform):
    """Transform that tracks each `Job` into a folder, and yields a `Result` for each, in no order.

    Tables, records and reasons of failures are those of `mfst track-all`, and so is what is passed over. A source that
    fails is a result with a problem, and stops nothing. What a runner tries again or twice comes to the same bytes.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        weights: str | None = None,
        preset: Preset | None = None,
        settings: Sequence[str] = (),
        stop_when_lost: int | None = None,
    ):
        """Keeps what each worker sets itself up with.

        Args:
          out: the folder for the tables, which all workers have to see.
          weights: a name, an Orbax directory or a .safetensors file, which all workers have to have; by default the
            built-in ones.
          preset: how to track; by default what the weights imply.
          settings: fields of the configuration to change, as `key=value`.
          stop_when_lost: end a track after so many lost frames in a row.
        """
        super().__init__()
        self._out = str(Path(out).absolute())
        self._setup = {"weights": weights, "preset": preset, "settings": [*settings], "stop_when_lost": stop_when_lost}

    def expand(self, input_or_inputs: Any) -> Any:
        """Results of a collection of jobs, which are spread over the workers first."""
        return input_or_inputs | beam.Reshuffle() | beam.ParDo(_TrackJob(self._out, self._setup))


class _TrackJob(beam.DoFn):
    """Tracking of one job after the other in a worker, which loads the weights once."""

    def __init__(self, out: str, setup: dict[str, Any]):
        self._out, self._options = out, setup

    def setup(self) -> None:
        """Loads the weights. Raises `InputError` where they are none, or the folder has tables made otherwise."""
        with ExitStack() as stack:
            self._settings = Setup.of(**self._options)
            stack.enter_context(at_work_in(Path(self._out), _SHARED))
            self._settings.begin(Path(self._out))
            self._outcomes = Outcomes(Path(self._out))
            self._open = stack.pop_all()

    def teardown(self) -> None:
        """Lets go of the folder."""
        self._open.close()
        tidy(Path(self._out))

    def process(self, element: Job) -> Iterator[Result]:
        """Tracks a job unless it is settled, and reads its table.

        Raises:
          InputError: nothing can be written in the folder, or the element is no job.
        """
        if not isinstance(element, Job):
            raise InputError(f"Track: expected a mfst_jax.beam.Job as an element, found {element!r:.80}")
        job, outcomes = element, self._outcomes
        with one_at_a_time(job.name, Path(self._out)):  # a runner may give a job to two workers, to be sure
            if not outcomes.is_settled(job):
                track_job(job, self._settings, outcomes)
            problem, table = outcomes.problem(job), outcomes.table(job)
            tracks = tuple(read_table(table)) if outcomes.has_table(job) else ()
        yield Result(job.name, job.source, str(table), tracks, problem)
