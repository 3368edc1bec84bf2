"""Layouts of data sets as a whole, in one table: how each is recognised by its content, searched and read.

A layout in which each sequence is a folder of its own is in `layouts`; LaSOT's is in both.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mfst_jax.errors import InputError
from mfst_jax.sequences.formats import (
    apart,
    coco_video,
    cvat,
    described,
    label_studio,
    lasot,
    masks,
    motchallenge,
    pysot,
)
from mfst_jax.sequences.layouts import describe_other, folders_in, places_in
from mfst_jax.sequences.places import Place, Request, named_apart
from mfst_jax.sequences.sequence import Sequence


class Layout(NamedTuple):
    """Layout of a data set.

    Attributes:
      title: Name of it, for messages.
      content: What such a folder holds, for messages.
      recognises: Tells whether a folder has this layout, be it only half of it.
      find: Finds the targets in such a folder. It raises `InputError` if only half of the layout is there.
      readers: Readers by the layout of a place: each makes the sequence of a place, with its images or without.
      images_apart: Whether a folder of images of one sequence may lie in such a folder, so that it is looked for above.
    """

    title: str
    content: str
    recognises: Callable[[Path], bool]
    find: Callable[[Path, Request], list[Place]]
    readers: dict[str, Callable[[Place, bool], Sequence]]
    images_apart: bool = True


LAYOUTS = (
    Layout(
        "UAV123",
        "anno/ and data_seq/",
        apart.is_uav,
        apart.find_uav,
        {"uav123": apart.read_apart, "uav20l": apart.read_apart},
    ),
    Layout(
        "TrackingNet",
        "anno/ and frames/",
        apart.is_trackingnet,
        apart.find_trackingnet,
        {"trackingnet": apart.read_apart},
    ),
    Layout(
        "NFS",
        "NAME/30/NAME.txt and NAME/30/NAME/",
        apart.is_nfs,
        apart.find_nfs,
        {"nfs30": apart.read_nfs, "nfs240": apart.read_nfs},
    ),
    Layout(
        "MOTChallenge",
        "gt/gt.txt and img1/",
        motchallenge.is_motchallenge,
        motchallenge.find_motchallenge,
        {"motchallenge": motchallenge.read_motchallenge},
    ),
    Layout("DAVIS", "JPEGImages/ and Annotations/", masks.is_masks, masks.find_masks, {"masks": masks.read_masks}),
    Layout(
        "COCO for videos",
        "a .json with videos and annotations",
        coco_video.is_coco,
        coco_video.find_coco,
        {"coco_video": coco_video.read_coco},
        images_apart=False,
    ),
    Layout(
        "pysot",
        "a .json with img_names and gt_rect",
        pysot.is_pysot,
        pysot.find_pysot,
        {"pysot": pysot.read_pysot},
        images_apart=False,
    ),
    Layout("CVAT", "annotations.xml", cvat.is_cvat, cvat.find_cvat, {"cvat": cvat.read_cvat}, images_apart=False),
    Layout(
        "Label Studio",
        "a .json with videorectangles",
        label_studio.is_label_studio,
        label_studio.find_label_studio,
        {"label_studio": label_studio.read_label_studio},
        images_apart=False,
    ),
    Layout(
        "the one described",
        described.FILE,
        described.is_described,
        described.find_described,
        {"described": described.read_described},
        images_apart=False,
    ),
    Layout("LaSOT", "CATEGORY/CATEGORY-1/groundtruth.txt", lasot.is_lasot, lasot.find_lasot, {}, images_apart=False),
)
READERS = {name: reader for layout in LAYOUTS for name, reader in layout.readers.items()}
TRIED = 50
"""Number of folders that are searched for a data set that is not where it should be."""
DEPTH = 4
"""Number of folders between a folder of images and that of its data set, at most."""


def find_dataset(root: Path, request: Request | None = None) -> list[Place] | None:
    """Targets of a data set in one of these layouts, no two of one name; None if the folder has none of them.

    Args:
      root: folder of the data set.
      request: what is asked of it where it has several parts; by default all, with the images.

    Raises:
      InputError: a folder that cannot be read, with two layouts, with half of one, or without a sequence in it.
    """
    request = request or Request()
    try:
        found = _recognised(root)
        own = bool(found) and not described.is_described(root) and bool(places_in(root))
        if len(found) + own > 1:
            kinds = [f"{layout.title} ({layout.content})" for layout in found]
            names = " and ".join([*kinds, *["that of a single sequence"] * own])
            raise InputError(f"{root}: expected one layout, found {names}")
        if not found:
            return None
        (layout,) = found
        places = named_apart(layout.find(root, request))
    except OSError as error:
        raise InputError(f"{root}: expected a folder of sequences, found {error.strerror}") from None
    if not places:
        raise InputError(f"{root}: expected sequences of {layout.title}, found {describe_other(root, 1)}")
    return places


def _recognised(root: Path) -> list[Layout]:
    """Layouts that a folder has; that of its owner's description alone where there is one."""
    found = [layout for layout in LAYOUTS if layout.recognises(root)]
    return [layout for layout in found if layout.content == described.FILE] or found


def data_set_below(root: Path) -> str | None:
    """Data set that lies one folder deeper, in the words of an error; None if there is none."""
    try:
        for folder in folders_in(root)[:TRIED]:
            if found := _recognised(folder):
                return f"{found[0].title} one folder deeper, in {folder}"
    except OSError:
        pass
    return None


def describe_root(root: Path) -> str:
    """Content of a data set's folder in which no sequence was found, in the words of an error.

    A whole data set or sequences may be deeper.
    """
    return data_set_below(root) or describe_other(root, 1)


def places_above(images: Path) -> list[Place]:
    """Targets whose images are in a folder, by the data set that it is part of; none if it is part of none."""
    folder = images.absolute()
    for root in folder.parents[:DEPTH]:
        for layout in LAYOUTS:
            try:
                if layout.images_apart and layout.recognises(root):
                    places = named_apart(layout.find(root, Request()))
                    return [place for place in places if _is_same(place.folder, folder)]
            except (InputError, OSError):
                continue
    return []


def read(place: Place, *, images: bool = True) -> Sequence:
    """Sequence at a place that one of these layouts found.

    Raises:
      InputError: true boxes that cannot be read or do not fit the images.
    """
    return READERS[place.layout](place, images)


def _is_same(one: Path | None, other: Path) -> bool:
    return one is not None and one.absolute() == other
