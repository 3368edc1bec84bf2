"""Outcomes of jobs, as the folder of results tells them: `NAME.csv` and its record, or `failed/NAME.txt` with a reason.

A table is whole where its record, which is written after it, says that its track is complete. So what a killed, failed
or interrupted track has left is tracked again.
"""

from pathlib import Path

import numpy as np

from mfst_jax.errors import InputError, reason
from mfst_jax.many.jobs import Job
from mfst_jax.sequences import read_sequence
from mfst_jax.targets import Target, unnamed_target
from mfst_jax.tracks.files import path_from, read_record, record_path
from mfst_jax.tracks.tables import csv_header, csv_rows
from mfst_jax.whole_files import write_atomically

FAILED = "failed"
"""Name of the folder of reasons."""


class Outcomes:
    """What has become of each job in a folder of results.

    A failure that was there before the work began is tried again, and one since then is not, whichever process it
    was in. What was found whole is not looked at again.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._whole: set[str] = set()
        """Names of the jobs that were found whole."""
        self._before = {path.name: _stamp(path) for path in (folder / FAILED).glob("*.txt")}

    def table(self, job: Job) -> Path:
        """Path of the table of a job."""
        return self.folder / f"{job.name}.csv"

    def is_settled(self, job: Job) -> bool:
        """Whether there is nothing more to do for a job: it is whole, or has failed since the work began.

        Raises:
          InputError: its table is one of another source.
        """
        path = self._reason(job)
        stamp = _stamp(path)
        return (stamp is not None and stamp != self._before.get(path.name)) or self.is_whole(job)

    def is_whole(self, job: Job) -> bool:
        """Whether the table of a job is there to its last frame, from the boxes that the job begins with.

        Raises:
          InputError: the table is one of another source.
        """
        if job.name not in self._whole and self._is_found_whole(job):
            self._whole.add(job.name)
        return job.name in self._whole

    def _is_found_whole(self, job: Job) -> bool:
        """As `is_whole`, by its record and the first frame of its table."""
        table = self.table(job)
        try:
            record = read_record(table)
        except InputError:
            return False
        if record is None:
            return False
        if record.source != path_from(table, job.source):
            raise InputError(
                f"{table}: expected a table of {job.source}, or another --out, found one of {record.locate(table)}"
            )
        return record.complete and _begins_with(table, job)

    def has_table(self, job: Job) -> bool:
        """Whether there is a table of a job with its record, be it of a part of its frames."""
        return record_path(self.table(job)).is_file() and self.table(job).is_file()

    def begin(self, job: Job) -> None:
        """Drops what an earlier track of a job has left, so that nothing vouches for what is written from here on."""
        self._whole.discard(job.name)
        try:
            for path in (self._reason(job), record_path(self.table(job))):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: expected to write in it, found {reason(error)}") from error

    def fail(self, job: Job, why: str) -> None:
        """Keeps the reason why a job has failed."""
        write_atomically(self._reason(job), why + "\n")

    def problem(self, job: Job) -> str | None:
        """Reason why a job has failed; None where it has not."""
        try:
            return self._reason(job).read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            return reason(error)

    def _reason(self, job: Job) -> Path:
        return self.folder / FAILED / f"{job.name}.txt"


def _stamp(path: Path) -> tuple[int, int] | None:
    """What differs between two files that were written to a path one after the other; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _begins_with(table: Path, job: Job) -> bool:
    """Whether the first frame in a table has the boxes that the job begins with."""
    targets = job.targets or _own_target(job)
    names = [target.name for target in targets]
    boxes = np.array([target.box for target in targets], np.float32)
    expected = [csv_header(names), *csv_rows(job.first, names, boxes, np.ones(len(targets)))]
    try:
        with table.open(encoding="utf-8") as file:
            lines = [file.readline().rstrip("\n") for _ in expected]
    except (OSError, UnicodeError):
        return False
    timed = lines[0] == csv_header(names, timed=True)
    return [line.rpartition(",")[0] if timed else line for line in lines] == expected


def _own_target(job: Job) -> tuple[Target, ...]:
    """First true box of the sequence of a job; none where it cannot be read, or is not known from its place alone."""
    if job.place is None:
        return ()
    try:
        return (unnamed_target(read_sequence(job.place, images=False).ground_truth[0].astype(np.float32)),)
    except InputError:
        return ()
