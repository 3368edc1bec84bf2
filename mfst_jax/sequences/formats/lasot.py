"""LaSOT as a whole: its sequences in a folder for each category, or beside the lists of its two splits.

Its extension, whose 15 categories are others, is laid out likewise, and all of it is to be tested on.
"""

import re
from functools import cache
from itertools import islice
from pathlib import Path

from mfst_jax.errors import InputError
from mfst_jax.sequences.image_files import natural_key
from mfst_jax.sequences.layouts import folders_in, places_in
from mfst_jax.sequences.places import Place, Request
from mfst_jax.sequences.text import changes, read_start

LISTS = {"train": "training_set.txt", "test": "testing_set.txt"}
TABLE = Path(__file__).parents[1] / "lasot_test.tsv"
TRIED = 100
"""Number of folders in which sequences are looked for."""
MOST_SEQUENCES = 20
"""Number of sequences in a category."""


def is_lasot(root: Path) -> bool:
    """Whether a folder is LaSOT's: it holds `airplane/airplane-1/groundtruth.txt`, or a list beside `airplane-1/`."""
    folders = folders_in(root)
    for folder in islice(folders, TRIED):
        for number in range(1, MOST_SEQUENCES + 1):
            if (folder / f"{folder.name}-{number}" / "groundtruth.txt").is_file():
                return True
    return _has_list(root) and any(map(_is_sequence, folders))


def find_lasot(root: Path, request: Request) -> list[Place]:
    """Sequences of LaSOT that are there, those of one split where one is asked for."""
    folders: dict[str, Path] = {}
    for category in folders_in(root):
        folders |= {path.name: path for path in folders_in(category) if path.name.startswith(f"{category.name}-")}
    if _has_list(root):
        folders |= {path.name: path for path in folders_in(root) if _is_sequence(path)}
    names = [*folders] if request.split is None else [name for name in folders if _is_in(root, name, request.split)]
    if not names:
        raise InputError(f"{root}: expected sequences of LaSOT's {request.split} split, found none of them")
    ordered = sorted(names, key=lambda name: natural_key(Path(name)))
    return [place for name in ordered for place in places_in(folders[name])]


def _has_list(root: Path) -> bool:
    return any((root / name).is_file() for name in LISTS.values())


def _is_sequence(folder: Path) -> bool:
    return bool(re.fullmatch(r"\w+-\d+", folder.name)) and (folder / "groundtruth.txt").is_file()


def _is_in(root: Path, name: str, split: str) -> bool:
    """Whether a sequence is in a split, by the list in the folder or by the published one."""
    if (file := root / LISTS[split]).is_file():
        return name in _names(file, changes(file))
    of_extension = name.rpartition("-")[0] not in _categories()
    return (of_extension or name in test_names()) == (split == "test")


@cache
def _names(path: Path, version: int) -> frozenset[str]:
    return frozenset(read_start(path).split())


@cache
def test_names() -> frozenset[str]:
    """Names of the 280 sequences of the test split."""
    rows = (line.split("\t") for line in TABLE.read_text().splitlines()[1:])
    return frozenset(f"{category}-{number}" for category, numbers in rows for number in re.findall(r"\d+", numbers))


@cache
def _categories() -> frozenset[str]:
    """Names of the 70 categories, without those of the extension."""
    return frozenset(name.rpartition("-")[0] for name in test_names())
