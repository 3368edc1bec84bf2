"""pysot's JSON of a benchmark, such as `OTB100.json`: the images and true boxes of each sequence by its name.

It lies in the folder from which the names of the images begin. Pixels count from 1 in OTB, UAV123, LaSOT, DTB70 and
TColor-128, as in the files of the benchmarks themselves, and from 0 elsewhere.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mfst_jax.errors import InputError, reason_in_content
from mfst_jax.sequences.annotations import polygon_boxes
from mfst_jax.sequences.formats.safe_files import json_files, name_inside, only_file, read_json
from mfst_jax.sequences.image_files import check_there, describe
from mfst_jax.sequences.layouts import places_in
from mfst_jax.sequences.places import Place, Request, target_name
from mfst_jax.sequences.sequence import Sequence, sequence_of_boxes
from mfst_jax.sequences.text import changes

KIND = "pysot's JSON of a benchmark"
FROM_ONE = ("OTB", "CVPR13", "UAV", "LASOT", "DTB70", "TCOLOR", "TC128")
"""Beginnings of the names of benchmarks whose files count pixels from 1."""
PROTOCOLS = {
    **{"OTB100": "otb100", "OTB50": "otb50", "CVPR13": "otb2013", "GOT-10K": "got10k", "LASOT": "lasot"},
    **{"TRACKINGNET": "trackingnet", "UAV123": "uav123", "UAV20L": "uav20l", "NFS30": "nfs30", "NFS240": "nfs240"},
    **{"DTB70": "dtb70", "TCOLOR128": "tcolor128", "TC128": "tcolor128"},
    **{f"VOT{year}": "vot" for year in range(2013, 2023)},
}
"""Protocol of a benchmark by the name of its file in capitals."""


def is_pysot(root: Path) -> bool:
    """Whether a folder holds such a file, and its sequences have no true boxes of their own, which would come first."""
    files = _files(root)
    if not files:
        return False
    try:
        folders = {root / name_inside(each["video_dir"]) for each in read_json(files[0], KIND).values()}
    except (InputError, AttributeError, KeyError, TypeError, ValueError):
        return True  # which is said when it is searched
    return not any(folder.is_dir() and places_in(folder) for folder in folders)


def _files(root: Path) -> list[Path]:
    """Files that are an object with names of images and true boxes."""
    return json_files((root,), b"{", lambda content: b'"gt_rect"' in content and b'"img_names"' in content)


def find_pysot(root: Path, request: Request) -> list[Place]:
    """A sequence for each entry, of the benchmark that is asked for where there are several files."""
    files = _files(root)
    if len(files) > 1 and request.protocol is not None:
        files = [path for path in files if PROTOCOLS.get(path.stem.upper()) == request.protocol] or files
    path = only_file(root, files, KIND)
    entries = _entries(path, changes(path))
    protocol = PROTOCOLS.get(path.stem.upper(), "")
    places = [
        Place(target_name(name, "", alone=True), root, path, "pysot", target=name, protocol=protocol)
        for name in entries
    ]
    first = next((images[0] for images, *_ in entries.values()), None)
    if request.images and first is not None and not any((root / each[0][0]).is_file() for each in entries.values()):
        raise InputError(f"{root}: expected images such as {first} ({KIND}), found {describe(root)}")
    return places


def read_pysot(place: Place, images: bool) -> Sequence:
    """Sequence of one entry. A polygon of four corners becomes its bounds; `absent` are labels, as LaSOT has them."""
    path, root = place.truth, place.folder
    assert path is not None
    assert root is not None
    names, rows, labels, attributes = _entries(path, changes(path))[place.target]
    origin = int(path.stem.upper().startswith(FROM_ONE))
    boxes = (polygon_boxes(rows, "bounds") if rows.shape[1] == 8 else rows) - (origin, origin, 0, 0)
    if len(boxes) > len(names):
        found = f"{len(boxes)} for {len(names)} images"
        raise InputError(f"{path}: expected boxes of {place.name}, one an image at most, found {found}")
    absent = np.asarray(np.isnan(boxes).any(axis=1) | (boxes[:, 2:] <= 0).any(axis=1))
    labelled = None if labels is None else labels[: len(boxes)] | absent
    frames = tuple(root / name for name in names) if images else ()
    check_there(frames, path)
    return sequence_of_boxes(
        *(place.name, path, frames, boxes, absent),
        count=len(names),
        attributes=attributes,
        labelled_absent=labelled,
    )


Entry = tuple[list[str], np.ndarray, np.ndarray | None, tuple[str, ...]]
"""Names of images, true boxes as they are written, where labels say that the target is absent, and attributes."""


@lru_cache(maxsize=2)
def _entries(path: Path, version: int) -> dict[str, Entry]:
    """Entries of a file by the names of their sequences. Raises `InputError` for one that is none."""
    content, where = read_json(path, KIND), "it"
    try:
        entries = {}
        for name, each in content.items():
            where = f"{name!r:.60}"
            names = [name_inside(image) for image in each["img_names"]]
            entries[name] = (names, _rows(each["gt_rect"]), _labels(each, len(names)), _attributes(each))
            if not names:
                raise ValueError("no image")
        return entries
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{path}: expected {KIND}, found {reason_in_content(error)} in {where}") from None


def _rows(boxes: Any) -> np.ndarray:
    rows = np.array([[float(number) for number in box] for box in boxes], np.float64)
    if rows.ndim != 2 or rows.shape[1] not in (4, 8) or np.isinf(rows).any():
        raise ValueError("no finite boxes of 4 or 8 numbers")
    return rows


def _labels(entry: dict[str, Any], count: int) -> np.ndarray | None:
    """Where labels say that the target is absent.

    In pysot's own files `absent` is 1 where the target is there, in some that others made where it is not. A track
    begins with its target, so the first label tells.
    """
    if "absent" not in entry:
        return None
    labels = np.array([int(label) for label in entry["absent"]])
    if len(labels) != count or not np.isin(labels, (0, 1)).all():
        raise ValueError(f"no {count} labels of 0 or 1 in absent")
    return labels != labels[:1]


def _attributes(entry: dict[str, Any]) -> tuple[str, ...]:
    return tuple(each for each in entry.get("attr") or () if isinstance(each, str))
