"""Where the sequence of one target is on disk: small enough to send to another process, which then reads it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

LASOT_LABELS = ("full_occlusion.txt", "out_of_view.txt")


@dataclass(frozen=True)
class Place:
    """Place of the sequence of one target on disk.

    Attributes:
      name: Name of the sequence.
      folder: Folder with its images, and with its labels where there are some; None for true boxes by themselves.
      truth: File or folder of its true boxes; None where there is none.
      layout: Name of the layout that reads it, in `dataset_layouts`; none for a folder of its own (`layouts`).
      target: Which target in `truth`, where that holds several.
      numbers: First and last number in the names of its images, where they are part of a video.
      video: Name of its video, where that has several targets; else empty.
      protocol: Protocol of its benchmark, where `truth` says which one that is; else empty.
    """

    name: str
    folder: Path | None
    truth: Path | None
    layout: str = ""
    target: str = ""
    numbers: tuple[int, int] | None = None
    video: str = ""
    protocol: str = ""

    @property
    def origin(self) -> int:
        """Number of the first pixel in the file of true boxes.

        It is 1 in OTB, in LaSOT, in TColor-128 and in files by themselves, and 0 elsewhere.
        """
        name = self.truth.name if self.truth is not None else ""
        if self.folder is None or name.startswith("groundtruth_rect") or name.endswith("_gt.txt"):
            return 1
        return int(self.has_lasot_labels)

    @property
    def has_lasot_labels(self) -> bool:
        """Whether one of LaSOT's files of labels lies in its folder."""
        return self.folder is not None and any((self.folder / name).is_file() for name in LASOT_LABELS)


def target_name(video: str, target: object, *, alone: bool) -> str:
    """Name of the sequence of a target: that of its video, and which target it is unless it is alone there.

    Results and crops are files of this name, so nothing in it can lead to another folder.
    """
    name = video if alone else f"{video}-{target}"
    return re.sub(r"(?:[/\\\x00-\x1f]|\.\.)+", "-", name).lstrip("-.") or "video"


def named_apart(places: Iterable[Place]) -> list[Place]:
    """Places of which each has a name of its own: those that come later get a number, as in `car-2`."""
    places = [*places]
    taken, named = {place.name for place in places}, dict[str, Place]()
    for place in places:
        name, number = place.name, 1
        while name in named or (number > 1 and name in taken):
            number += 1
            name = f"{place.name}-{number}"
        named[name] = replace(place, name=name)
    return [*named.values()]


@dataclass(frozen=True)
class Request:
    """What is asked of a data set that has several parts.

    Attributes:
      split: `train`, or `test` for what is to be evaluated on; None for all.
      protocol: Protocol that is asked for, where the folder holds the sequences of several; else None.
      images: Whether the images are needed too.
    """

    split: str | None = None
    protocol: str | None = None
    images: bool = True
