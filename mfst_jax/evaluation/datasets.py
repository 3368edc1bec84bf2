"""Datasets to evaluate on: any benchmark or folder of sequences whose layout is known, complete or not.

What is wrong with one sequence is a line among the dataset's `problems`, naming file and line; the others are loaded.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Several
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from mfst_jax.errors import InputError
from mfst_jax.sequences import Request, Sequence, find_dataset, otb, read_sequence
from mfst_jax.sequences.annotations import Polygons
from mfst_jax.sequences.dataset_layouts import describe_root
from mfst_jax.sequences.layouts import (
    KNOWN,
    TRUTH_FILES,
    describe_other,
    kind_of,
    name_of,
    places_in,
    sequence_folders,
)
from mfst_jax.sequences.places import Place, named_apart
from mfst_jax.sequences.text import read_start

Protocol = Literal[
    "otb100",
    "otb50",
    "otb2013",
    "got10k",
    "lasot",
    "trackingnet",
    "uav123",
    "uav20l",
    "nfs30",
    "nfs240",
    "tcolor128",
    "dtb70",
    "vot",
    "folder",
]
"""Protocols: which sequences should be there, and whose rules count."""
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
TITLES: dict[Protocol, str] = {
    "otb100": "OTB-100",
    "otb50": "OTB-50",
    "otb2013": "OTB-2013",
    "got10k": "GOT-10k",
    "lasot": "LaSOT",
    "trackingnet": "TrackingNet",
    "uav123": "UAV123",
    "uav20l": "UAV20L",
    "nfs30": "NFS at 30 frames/s",
    "nfs240": "NFS at 240 frames/s",
    "tcolor128": "TColor-128",
    "dtb70": "DTB70",
    "vot": "VOT",
    "folder": "Sequences",
}


DTB70 = Path(otb.__file__).with_name("dtb70.txt")
"""File of the names of DTB70's sequences, whose layout is OTB's."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Sequences of a benchmark, as far as they are there.

    Attributes:
      protocol: Protocol of the benchmark.
      sequences: Usable sequences.
      missing: Names of sequences that should be there and are not, or are unusable.
      problems: What is wrong with the sequences that are unusable, and odd about the others: a line each.
      total: Number of sequences of the whole benchmark.
    """

    protocol: Protocol
    sequences: tuple[Sequence, ...]
    missing: tuple[str, ...]
    problems: tuple[str, ...]
    total: int

    @property
    def title(self) -> str:
        """Name of the benchmark, and how much of it there is."""
        return title(self.protocol, len(self.sequences), self.total)


def title(protocol: Protocol, count: int, total: int) -> str:
    """Name of a benchmark and how much of it `count` sequences are: `OTB-100`, `OTB-100 (13 of 100 sequences)`."""
    if count < total:
        return f"{TITLES[protocol]} ({count} of {total} sequences)"
    return TITLES[protocol] if protocol.startswith("otb") else f"{TITLES[protocol]} ({total})"


def load(
    root: str | Path, protocol: Protocol | None = None, *, images: bool = True, polygons: Polygons = "bounds"
) -> Dataset:
    """Dataset of the sequences of a benchmark that are there.

    Args:
      root: The folder of a data set as a whole (`sequences.dataset_layouts`), of which the part to evaluate on is taken
        where it has several; or the folder that holds the sequences: OTB's, each in the folder of its own name or of
        its video (`Jogging-1`, `Jogging`); those that `list.txt` names, in GOT-10k, one of its splits (of all, `val` is
        taken) or VOT; or any. One sequence by itself will do, and without images so will a folder of files
        `<sequence>.txt` in OTB's format.
      protocol: Which sequences should be there. None for those that are: by the layout, as `otb100`, `got10k` or
        `dtb70` if most of their names are from there, and else as `folder`.
      images: Whether the images are needed too.
      polygons: How polygons become boxes.

    Raises:
      InputError: no folder there, or no usable sequence in it.
    """
    root = Path(root)
    if (found := find_dataset(root, Request("test", protocol, images))) is not None:
        return _load_dataset(root, found, protocol, images=images, polygons=polygons)
    folders = {name_of(folder): folder for folder in sequence_folders(root, "val")}
    files = {} if images or any(map(places_in, folders.values())) else _annotations(root)
    problems: list[str] = []
    chosen, strangers = (protocol, []) if protocol else _guess(files or folders)
    words = f"expected a sequence of {TITLES[chosen]} as most others, found another, which does not count"
    problems += [f"{(files or folders)[name]}: {words}" for name in strangers]
    files, folders = ({n: path for n, path in each.items() if n not in strangers} for each in (files, folders))
    if chosen.startswith("otb"):
        places = list(_find_otb(chosen, files, folders, problems))
        total = len(otb.entries(chosen))
        if protocol is None:
            places = [found for found in places if found[0].truth or found[0].folder]
    else:
        listed = _find_listed(root, files, folders, strangers, problems)
        places = [(place, None) for place in named_apart(listed)]
        total = len(places)
        if protocol is None and chosen == "folder":
            chosen = _kind([place for place, _ in places])
    return _read_all(root, chosen, places, total, problems, images=images, polygons=polygons)


def _load_dataset(
    root: Path, found: list[Place], protocol: Protocol | None, *, images: bool, polygons: Polygons
) -> Dataset:
    """Dataset of the targets of a data set as a whole."""
    chosen, places = protocol or _kind(found), [(place, None) for place in found]
    return _read_all(root, chosen, places, len(places), [], images=images, polygons=polygons)


def _kind(places: list[Place]) -> Protocol:
    """Protocol of most places, by their layout or by what is in their folders; `folder` if there is none."""
    kinds = Counter(place.protocol or place.layout or kind_of(place) for place in places)
    return next((protocol for protocol in PROTOCOLS if 2 * kinds[protocol] > len(places)), "folder")


def _read_all(
    root: Path,
    chosen: Protocol,
    places: Several[tuple[Place, otb.Entry | None]],
    total: int,
    problems: list[str],
    *,
    images: bool,
    polygons: Polygons,
) -> Dataset:
    """Dataset of the sequences at these places, as far as they are usable. Raises `InputError` if none is."""
    sequences, missing = [], []
    for place, entry in places:
        try:
            sequence = _read(place, entry, images=images, clipped=chosen == "got10k", polygons=polygons)
        except InputError as error:
            sequence = None
            problems.append(str(error))
        if sequence is None:
            missing.append(place.name)
        else:
            sequences.append(sequence)
            problems += sequence.problems
    if not sequences:
        expected = "sequences" if chosen == "folder" else f"sequences of {TITLES[chosen]}"
        if any(place.truth for place, _ in places):
            raise InputError(f"{root}: expected {expected}, found none: {problems[0]}")
        known = KNOWN if images else f"{KNOWN}, or files SEQUENCE.txt"
        raise InputError(f"{root}: expected {expected}, folders with {known}, found {describe_root(root)}")
    return Dataset(chosen, tuple(sequences), tuple(missing), tuple(problems), total)


def _read(place: Place, entry: otb.Entry | None, *, images: bool, clipped: bool, polygons: Polygons) -> Sequence | None:
    """Sequence at a place; None if nothing of it is there. Raises `InputError` if it is unusable."""
    if place.truth is None:
        if place.folder is None:
            return None
        raise InputError(
            f"{place.folder}: expected a file with the true boxes of {place.name}, {' or '.join(TRUTH_FILES)}, "
            f"found {describe_other(place.folder)}"
        )
    sequence = read_sequence(place, entry=entry, images=images, clipped=clipped, polygons=polygons)
    if sequence.frames and sequence.absent[0]:
        raise InputError(f"{place.truth}, line 1: expected a box to start from, found the target absent")
    return sequence


def _annotations(root: Path) -> dict[str, Path]:
    """Files of true boxes by the names of their sequences."""
    paths = sorted(path for path in root.glob("*.txt") if path.name[0] not in "._" and path.name != "list.txt")
    return {path.stem: path for path in paths}


def _guess(names: Iterable[str]) -> tuple[Protocol, Several[str]]:
    """Protocol whose rules count, by the names of most sequences, and the names of those that are not of it."""
    names = list(names)
    known = {otb.key(name) for entry in otb.entries() for name in (entry.name, entry.annotation.split("/")[0])}
    by_name: dict[Protocol, set[str]] = {
        "otb100": {name for name in names if otb.key(name) in known},
        "got10k": {name for name in names if re.fullmatch(r"GOT-10k_(Train|Val|Test)_\d{6}", name)},
        "dtb70": {*names} & {*DTB70.read_text().split()},
    }
    for protocol, own in by_name.items():
        if 2 * len(own) > len(names):
            return protocol, [name for name in names if name not in own]
    return "folder", []


def _find_otb(
    protocol: str, files: dict[str, Path], folders: dict[str, Path], problems: list[str]
) -> Iterator[tuple[Place, otb.Entry]]:
    """Place of each entry of the list, as far as it is anywhere."""
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
        problems += [f"{path}: {entry.name} is in {truths[0]} too, which is used" for path in truths[1:]]
        yield Place(entry.name, folder, next(iter(truths), None)), entry


def _find_listed(
    root: Path, files: dict[str, Path], folders: dict[str, Path], strangers: Several[str], problems: list[str]
) -> list[Place]:
    """Place of each target in the folders that `list.txt` names, or else in any, or for each file; not of strangers."""
    if files:
        return [Place(name, None, path) for name, path in files.items()]
    split = next((folder.parent for folder in folders.values() if folder != root), root)
    listed = split / "list.txt"
    names = _read_list(listed, problems) if listed.is_file() else list(folders)
    places = []
    for name in (name for name in names if name not in strangers):
        folder = folders.get(name)
        places += (places_in(folder) if folder is not None else []) or [Place(name, folder, None)]
    return places


def _read_list(path: Path, problems: list[str]) -> list[str]:
    lines: dict[str, int] = {}
    for number, line in enumerate(read_start(path).splitlines(), start=1):
        name = line.strip()
        if name in lines:
            problems.append(f"{path}, line {number}: expected every name once, found {name} as in line {lines[name]}")
        elif name:
            lines[name] = number
    return list(lines)
