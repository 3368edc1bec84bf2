"""OTB's 100 entries (Wu et al. 2015), from `otb100.tsv`: where each annotation lies, its frames, lists and attributes.

An entry is one target: two folders, Jogging and Skating2, hold two. Frames are the numbers in the images' names, since
four annotations begin late: David's, which has images before that, and three of the BlurCars. The lists are those of
OTB-100, OTB-50 and OTB-2013 (51 targets).
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("otb100.tsv")

ATTRIBUTES = {
    "IV": "illumination variation",
    "SV": "scale variation",
    "OCC": "occlusion",
    "DEF": "deformation",
    "MB": "motion blur",
    "FM": "fast motion",
    "IPR": "in-plane rotation",
    "OPR": "out-of-plane rotation",
    "OV": "out of view",
    "BC": "background clutter",
    "LR": "low resolution",
}


@dataclass(frozen=True)
class Entry:
    """One target of the benchmark.

    Attributes:
      name: Name of the sequence.
      annotation: Path of its ground truth, from the benchmark's folder.
      first: Number of its first frame.
      last: Number of its last frame.
      lists: Protocols that have it, among `otb100`, `otb50` and `otb2013`.
      attributes: OTB's attributes of it, such as `OCC`.
    """

    name: str
    annotation: str
    first: int
    last: int
    lists: tuple[str, ...]
    attributes: tuple[str, ...]

    @property
    def frames(self) -> range:
        """Numbers of its frames."""
        return range(self.first, self.last + 1)


@cache
def entries(protocol: str = "otb100") -> tuple[Entry, ...]:
    """Entries of one list, in the order of their names."""
    rows = [line.split("\t") for line in TABLE.read_text().splitlines()[1:]]
    table = [
        Entry(name, annotation, int(first), int(last), tuple(lists.split()), tuple(attributes.split()))
        for name, annotation, first, last, lists, attributes in rows
    ]
    return tuple(entry for entry in table if protocol in entry.lists)


def find(name: str, rows: int) -> Entry | None:
    """Entry of this name, in any spelling, if it has as many frames: others may have sequences of the same name."""
    return next((each for each in entries() if key(each.name) == key(name) and len(each.frames) == rows), None)


def key(name: str) -> str:
    """Key that all spellings of a sequence's name share: `carDark`, `Jogging.1`, and `Human4` for its target 2."""
    plain = re.sub(r"[._ ]", "-", name.casefold())
    return "human4-2" if plain == "human4" else plain
