"""Raw results on disk: boxes, and seconds a frame, of any tracker, for each sequence.

In OTB's layout a tracker's folder holds `<sequence>.txt`, boxes (x, y, w, h) that count pixels from 1 unless said
otherwise, and maybe `times/<sequence>_time.txt`. In GOT-10k's it holds `<sequence>/<sequence>_001.txt`, counting from
0, one file for each repetition, and `<sequence>/<sequence>_time.txt`. Numbers stand between commas, tabs or spaces.
"""

import glob
import io
import zipfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64, Num

from mfst_jax.errors import InputError
from mfst_jax.sequences import otb
from mfst_jax.sequences.text import read_numbers
from mfst_jax.whole_files import write_atomically

Layout = Literal["otb", "got10k"]
ORIGINS: dict[Layout, int] = {"otb": 1, "got10k": 0}
"""Number of the first pixel in the files of each layout."""

SHORTEST = 1e-9
"""Seconds below which a frame's time counts as not measured."""


@dataclass(frozen=True, eq=False)
class Result:
    """Result of a tracker on one sequence.

    Attributes:
      path: File of its first run.
      runs: Boxes (x, y, w, h) of each run as they are written, since shifting them by a pixel would round some.
      origin: Number of the first pixel in the file.
      frames_per_second: Mean of 1 / seconds over the frames that took some, as the got10k toolkit has it; None where
        nobody measured.
      problems: What is wrong with the times, a line each.
    """

    path: Path
    runs: tuple[Float64[np.ndarray, "_ 4"], ...]
    origin: int
    frames_per_second: float | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Results:
    """Results of one tracker, in a folder.

    Attributes:
      folder: The tracker's folder.
      first_pixel: Number of the first pixel in files in OTB's layout, 0 or 1.
    """

    folder: Path
    first_pixel: int = ORIGINS["otb"]

    @property
    def name(self) -> str:
        """Name of the tracker: that of its folder."""
        return self.folder.resolve().name

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        """Files of boxes by the key of their sequence; the first run of several."""
        flat = {path: path.stem for path in sorted(self.folder.glob("*.txt")) if path.name[0] not in "._"}
        nested = {path: path.parent.name for path in sorted(self.folder.glob("*/*_001.txt"))}
        nested = {path: name for path, name in nested.items() if path.stem == f"{name}_001"}
        files: dict[str, list[Path]] = {}
        for path, name in (flat | nested).items():
            files.setdefault(otb.key(name), []).append(path)
        return files

    def hold(self, sequences: Iterable[str]) -> bool:
        """Whether there is a result on any of these sequences."""
        return any(otb.key(sequence) in self._files for sequence in sequences)

    def read(self, sequence: str, *, exact: bool = False) -> Result | None:
        """Result on a sequence; None if there is none.

        Args:
          sequence: its name.
          exact: whether the result has to have that very name; by default any accepted spelling of it will do.

        Raises:
          InputError: a file that cannot be read, or a line that is not four numbers; several files for the sequence,
            none of which has its exact name.
        """
        paths = self._files.get(otb.key(sequence), [])
        named = [path for path in paths if path.stem in (sequence, f"{sequence}_001")]
        paths = named if named or exact else paths
        if len(paths) > 1:
            found = " and ".join(str(path.relative_to(self.folder)) for path in paths)
            raise InputError(f"{self.folder}: expected one file for {sequence}, found {found}")
        return _read(paths[0], self.first_pixel) if paths else None


def find_results(
    folder: str | Path, sequences: Collection[str], *, first_pixel: int = ORIGINS["otb"]
) -> tuple[list[Results], list[str]]:
    """Results of one tracker, if `folder` holds some on these sequences, or else of each tracker with a folder in it.

    Args:
      folder: the folder.
      sequences: names of the sequences.
      first_pixel: the number of the first pixel in files in OTB's layout, 0 or 1.

    Returns:
      The trackers in the order of their names, and a line for each folder without such results.

    Raises:
      InputError: no folder there, or no such results in it.
    """
    folder = Path(folder)
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")
    except OSError as error:
        raise InputError(f"{folder}: expected a folder of results, found {error.strerror}") from None
    if (one := Results(folder, first_pixel)).hold(sequences):
        return [one], []
    several = [Results(path, first_pixel) for path in inner]
    trackers = [results for results in several if results.hold(sequences)]
    if not trackers:
        expected = f"results such as {min(sequences)}.txt, or a folder of them for each tracker"
        deeper = next((path / "results" for path in (folder, *inner) if (path / "results").is_dir()), None)
        hint = "" if deeper is None else f"; those of `mfst eval --out` are in {deeper}"
        raise InputError(f"{folder}: expected {expected}, found none{hint}")
    empty = [results.folder for results in several if results not in trackers]
    return trackers, [f"{path}: expected results such as {min(sequences)}.txt, found none" for path in empty]


def result_files(folder: Path, sequence: str, layout: Layout) -> tuple[Path, Path]:
    """Paths of a tracker's boxes, in the first run of several, and of its times on a sequence."""
    if layout == "got10k":
        return folder / sequence / f"{sequence}_001.txt", folder / sequence / f"{sequence}_time.txt"
    return folder / f"{sequence}.txt", folder / "times" / f"{sequence}_time.txt"


def write_result(
    folder: Path,
    sequence: str,
    boxes: Num[np.ndarray, "frames 4"],
    seconds: Num[np.ndarray, " frames"] | None = None,
    *,
    layout: Layout = "otb",
) -> None:
    """Writes the result on one sequence. Where its file is there, it is complete, and so are its times.

    Args:
      folder: the tracker's; it is made if need be.
      sequence: the sequence's name.
      boxes: (x, y, w, h) in 0-indexed pixels, of which four decimals are kept.
      seconds: the time of each frame.
      layout: the layout of the folder, which also says whether pixels count from 0 or 1.

    Raises:
      InputError: it cannot be written there.
    """
    path, times = result_files(folder, sequence, layout)
    if seconds is not None:
        write_atomically(times, "".join(f"{second:.8f}\n" for second in seconds))
    shift = np.array([ORIGINS[layout], ORIGINS[layout], 0.0, 0.0])
    lines = [",".join(f"{number:.4f}" for number in box) for box in boxes + shift]
    write_atomically(path, "".join(f"{line}\n" for line in lines))


def write_submission(path: Path, folder: Path, sequences: Iterable[str]) -> None:
    """Packs a tracker's results in GOT-10k's layout into the ZIP file that its server takes.

    Raises:
      InputError: a result is not there, or it cannot be written.
    """
    content = io.BytesIO()
    try:
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for sequence in sequences:
                for file in result_files(folder, sequence, "got10k"):
                    archive.write(file, file.relative_to(folder).as_posix())
    except OSError as error:
        raise InputError(f"{path}: expected to pack {error.filename}, found {error.strerror}") from error
    write_atomically(path, content.getvalue())


def _read(path: Path, first_pixel: int) -> Result:
    name = path.parent.name
    layout: Layout = "got10k" if path.stem == f"{name}_001" else "otb"
    runs = sorted(path.parent.glob(f"{glob.escape(name)}_[0-9]*.txt")) if layout == "got10k" else [path]
    place = (path.parent.parent, name) if layout == "got10k" else (path.parent, path.stem)
    _, times = result_files(*place, layout)
    boxes, origin = tuple(read_numbers(run, (4,)) for run in runs), first_pixel if layout == "otb" else ORIGINS[layout]
    try:
        return Result(path, boxes, origin, _speed(times) if times.is_file() else None)
    except InputError as error:
        return Result(path, boxes, origin, None, (str(error),))


def _speed(path: Path) -> float | None:
    seconds = read_numbers(path, range(1, 100))
    seconds = seconds[seconds >= SHORTEST]
    return float(np.mean(1 / seconds)) if seconds.size else None
