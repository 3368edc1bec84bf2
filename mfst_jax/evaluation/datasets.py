"""Sequences to evaluate on: OTB, GOT-10k, VOT or any folder of sequences, complete or not.

What is wrong with one sequence is a line among the dataset's `problems`, naming file and line; the others are loaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from mfst_jax.errors import InputError
from mfst_jax.evaluation import otb
from mfst_jax.evaluation.annotations import Polygons
from mfst_jax.evaluation.sequences import Sequence, read_sequence
from mfst_jax.video import TRUTH_FILES, natural_key

Protocol = Literal["otb100", "otb50", "otb2013", "got10k", "vot", "folder"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
TITLES: dict[Protocol, str] = {
    "otb100": "OTB-100",
    "otb50": "OTB-50",
    "otb2013": "OTB-2013",
    "got10k": "GOT-10k",
    "vot": "VOT",
    "folder": "Sequences",
}


@dataclass(frozen=True, eq=False)
class Dataset:
    """What there is of a benchmark."""

    protocol: Protocol
    sequences: tuple[Sequence, ...]
    missing: tuple[str, ...]
    """The names of sequences that should be there and are not, or are unusable."""
    problems: tuple[str, ...]
    """What is wrong with the sequences that are unusable, and odd about the others: a line each."""
    total: int
    """How many sequences the whole benchmark has."""

    @property
    def title(self) -> str:
        """What it is and how much of it there is."""
        return title(self.protocol, len(self.sequences), self.total)


def title(protocol: Protocol, count: int, total: int) -> str:
    """A benchmark's name and how much of it `count` sequences are: `OTB-100`, `OTB-100 (13 of 100 sequences)`."""
    if count < total:
        return f"{TITLES[protocol]} ({count} of {total} sequences)"
    return TITLES[protocol] if protocol.startswith("otb") else f"{TITLES[protocol]} ({total})"


def load(
    root: str | Path, protocol: Protocol | None = None, *, images: bool = True, polygons: Polygons = "bounds"
) -> Dataset:
    """Loads what there is of a benchmark.

    Args:
      root: The folder that holds the sequences: OTB's, each in the folder of its own name or of its video (`Jogging-1`,
        `Jogging`); those that `list.txt` names, in GOT-10k, one of its splits (of all, `val` is taken) or VOT; or any.
        One sequence by itself will do, and without images so will a folder of files `<sequence>.txt` in OTB's format.
      protocol: Which sequences should be there. None for those that are, as `otb100` if most of their names are OTB's
        and else as `folder`.
      images: Whether the images are needed too.
      polygons: How polygons become boxes.

    Raises:
      InputError: no folder there, or no usable sequence in it.
    """
    root = Path(root)
    try:
        folders = _folders(root)
        files = {} if images or any(map(_truth, folders.values())) else _annotations(root)
    except OSError as error:
        raise InputError(f"{root}: expected a folder of sequences, found {error.strerror}") from None
    problems: list[str] = []
    chosen = protocol or _guess(files or folders, problems)
    if chosen.startswith("otb"):
        places = [place for place in _find_otb(chosen, files, folders) if protocol or place.truth or place.folder]
        total = len(otb.entries(chosen))
    else:
        places = _find_listed(root, files, folders, problems)
        total = len(places)
    sequences, missing = [], []
    for place in places:
        try:
            sequence = place.read(images=images, clipped=chosen == "got10k", polygons=polygons)
        except InputError as error:
            sequence = None
            problems.append(str(error))
        if sequence is None:
            missing.append(place.name)
        else:
            sequences.append(sequence)
            problems += [*place.notes, *sequence.problems]
    if not sequences:
        because = f"none: {problems[0]}" if problems else "none"
        raise InputError(f"{root}: expected sequences of {TITLES[chosen]}, found {because}")
    return Dataset(chosen, tuple(sequences), tuple(missing), tuple(problems), total)


@dataclass(frozen=True)
class _Place:
    """Where a sequence is, as far as it is anywhere."""

    name: str
    folder: Path | None = None
    truth: Path | None = None
    entry: otb.Entry | None = None
    notes: tuple[str, ...] = ()

    def read(self, **options) -> Sequence | None:
        """The sequence; None if nothing of it is there. Raises `InputError` if it is unusable."""
        if self.truth is not None:
            return read_sequence(self.name, self.truth, self.folder, entry=self.entry, **options)
        if self.folder is not None:
            raise InputError(f"{self.folder}: expected a file with the true boxes of {self.name}, found none")
        return None


def _annotations(root: Path) -> dict[str, Path]:
    """Files of true boxes by the names of their sequences."""
    paths = sorted(path for path in root.glob("*.txt") if path.name[0] not in "._" and path.name != "list.txt")
    return {path.stem: path for path in paths}


def _folders(root: Path) -> dict[str, Path]:
    """The folders in `root` in natural order; `root` where it is itself a sequence."""
    if _truth(root):
        return {root.resolve().name: root}
    folders = [path for path in root.iterdir() if path.is_dir() and path.name[0] not in "._"]
    return {path.name: path for path in sorted(folders, key=natural_key)}


def _truth(folder: Path) -> Path | None:
    return next((folder / name for name in TRUTH_FILES if (folder / name).is_file()), None)


def _guess(paths: dict[str, Path], problems: list[str]) -> Protocol:
    known = {otb.key(name) for entry in otb.entries() for name in (entry.name, entry.annotation.split("/")[0])}
    others = [path for name, path in paths.items() if otb.key(name) not in known]
    if 2 * len(others) >= len(paths):
        return "folder"
    problems += [
        f"{path}: expected a sequence of OTB as most others, found another, which does not count" for path in others
    ]
    return "otb100"


def _find_otb(protocol: str, files: dict[str, Path], folders: dict[str, Path]) -> Iterator[_Place]:
    """A place for each entry of the list."""
    keyed: dict[str, list[Path]] = {}
    for name, path in (files or folders).items():
        keyed.setdefault(otb.key(name), []).append(path)
    for entry in otb.entries(protocol):
        video, file = entry.annotation.split("/")
        own, shared = keyed.get(otb.key(entry.name), []), keyed.get(otb.key(video), [])
        own = sorted(own, key=lambda path: entry.name not in (path.name, path.stem))
        if files:
            truths = own
        else:
            # In its own folder an entry's file may have any of the usual names, in one of two targets only its own.
            candidates = [folder / name for folder in own for name in (file, *TRUTH_FILES)]
            candidates += [folder / file for folder in shared]
            by_folder: dict[Path, Path] = {}
            for path in filter(Path.is_file, candidates):
                by_folder.setdefault(path.parent, path)
            truths = list(by_folder.values())
        folder = None if files else next((path.parent for path in truths), next(iter(own + shared), None))
        notes = tuple(f"{path}: {entry.name} is in {truths[0]} too, which is used" for path in truths[1:])
        yield _Place(entry.name, folder, next(iter(truths), None), entry, notes)


def _find_listed(root: Path, files: dict[str, Path], folders: dict[str, Path], problems: list[str]) -> list[_Place]:
    """A place for each name in `list.txt`, or else for each file or folder."""
    if files:
        return [_Place(name, None, path) for name, path in files.items()]
    if "val" in folders and not (root / "list.txt").is_file() and not _truth(folders["val"]):
        root, folders = folders["val"], _folders(folders["val"])
    listed = root / "list.txt"
    names = _read_list(listed, problems) if listed.is_file() else list(folders)
    return [_Place(name, folders.get(name), _truth(folders[name]) if name in folders else None) for name in names]


def _read_list(path: Path, problems: list[str]) -> list[str]:
    lines: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        name = line.strip()
        if name in lines:
            problems.append(f"{path}, line {number}: expected every name once, found {name} as in line {lines[name]}")
        elif name:
            lines[name] = number
    return list(lines)
