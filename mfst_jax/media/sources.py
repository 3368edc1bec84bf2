"""Frames from a video, images, an annotated sequence, a webcam or an address, as one streamed `Source`.

A frame is uint8 RGB `[height, width, 3]`, and every source yields frames of one size, one at a time: only the current
frame is in memory. All bad input raises `InputError`.
"""

import os
import re
import sys
import tarfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib import resources
from itertools import chain, islice
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from mfst_jax.errors import InputError, reason
from mfst_jax.media.decoding import (
    USUAL_FPS,
    Frame,
    Labelled,
    declared,
    decode,
    frame_rate,
    header_rate,
    import_av,
    open_container,
    video_stream,
)
from mfst_jax.media.images import count_and_rate, is_image, read_frames, read_image
from mfst_jax.media.seeking import decode_from, index_video
from mfst_jax.media.streams import PATIENCE, is_address, is_stream, name_of_stream, options_for
from mfst_jax.sequences import Place, find_dataset, places_in, read_sequence
from mfst_jax.sequences.dataset_layouts import places_above
from mfst_jax.sequences.image_files import IMAGE_SUFFIXES, LISTED, natural_key
from mfst_jax.sequences.layouts import TRUTH_FILES, folders_in, list_images, name_of

GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Source:
    """Source of frames. `open_source` makes one.

    Attributes:
      name: What the source is called in messages and on pages.
      size: Height and width of every frame, in pixels.
      count: Number of frames: exact for images, what the header says for a video, None where it is not known.
      fps: Frames per second, averaged over the first ones; 25 for images that say nothing of time.
      ground_truth: True boxes (x, y, w, h) in 0-indexed pixels, row t for frame t, NaN where the target is absent or
        not annotated.
      read: Opens the source and yields its frames unchecked, each with its name. Callers use `frames` instead.
      notes: What is odd about its true boxes or the choice of its frames, a line each.
      lacks: Why it has no true boxes, where it might have had some.
      files: File of each frame of a folder or glob of images, by its path from the folder that all of them share.
      first: Number of the first frame that `frames` yields (`starting_at`); `count` and `ground_truth` are of all
        frames.
      read_from: Reads from the frame of a given number on, as `read` does; None where all frames before it have to be
        read anyway.
      live: Whether it is a webcam or a stream without an end, whose frames come as time passes and never again.
      timed: Whether its frames have times: those of videos, webcams and streams do.
    """

    name: str
    size: tuple[int, int]
    count: int | None
    fps: float
    ground_truth: Float32[np.ndarray, "rows 4"] | None = field(repr=False)
    read: Callable[[], Labelled] = field(repr=False, compare=False)
    notes: tuple[str, ...] = ()
    lacks: str = ""
    files: tuple[str, ...] = field(default=(), repr=False)
    first: int = 0
    read_from: Callable[[int], Labelled] | None = field(default=None, repr=False)
    live: bool = False
    timed: bool = False

    @property
    def remaining(self) -> int | None:
        """Number of frames from number `first` on; None where it is not known."""
        return None if self.count is None or self.count <= self.first else self.count - self.first

    def starting_at(self, number: int) -> "Source":
        """Source without the frames before `number`; all numbers stay as they are.

        A number beyond the last frame shows only when frames are read, since headers may count wrongly.

        Raises:
          InputError: a number below 0, or any but 0 of a webcam.
        """
        if number < 0:
            raise InputError(f"source {self.name}: expected to start at a frame from 0 on, found {number}")
        if self.live and number:
            raise InputError(
                f"source {self.name}: expected to start at frame 0, as a webcam's or a stream's frames have no other "
                f"numbers, found {number}"
            )
        return replace(self, first=number)

    def frames(self) -> Generator[Frame, None, None]:
        """Frames from number `first` on, each read as it is asked for. Each call starts anew; `close()` ends one early.

        Raises:
          InputError: from the iterator: an image or a video that cannot be read, or that is cut short, after all frames
            before that point; a frame of another size than the first; no frame with the number `first`.
        """
        with closing(self.timed_frames()) as frames:
            for frame, _ in frames:
                yield frame

    def timed_frames(self) -> Generator[tuple[Frame, float | None], None, None]:
        """Frames as `frames` gives them, each with its time in seconds from the start; None where it has none.

        Raises:
          InputError: from the iterator, as `frames` does.
        """
        begin = self.read_from if self.first else None
        with closing(self.read() if begin is None else begin(self.first)) as labelled:
            found = self.first == 0
            for label, frame, *time in islice(labelled, min(self.first, sys.maxsize) if begin is None else 0, None):
                found = True
                if frame.shape[:2] != self.size:
                    (height, width), (found_height, found_width) = self.size, frame.shape[:2]
                    raise InputError(
                        f"{label}: expected {width}x{height} pixels like the first frame, "
                        f"found {found_width}x{found_height}"
                    )
                yield frame, time[0] if time else None
            if not found:
                raise InputError(f"source {self.name}: expected a frame {self.first}, found fewer frames")


def open_source(source: str | Path, *, patience: float | int = PATIENCE) -> Source:
    """Source of the frames that a path, a glob, a webcam's number or an address stands for.

    The first frame is read here, so that an unreadable source fails early.

    Args:
      source: a video file; an image, of which all frames are read if it is an animated GIF, WebP, PNG or AVIF or a TIFF
        of several pages; a folder of images in natural order (img2 before img10), or of a sequence in any of the
        layouts that `mfst_jax.sequences` reads; `FOLDER#NAME` for one of several sequences in a folder; a glob of
        images such as `frames/*.png`; the number of a webcam; or the address of a video or a camera, by HTTP, HTTPS,
        RTSP or RTSPS. A path that exists goes before the last four; within a glob too, what exists as it is written is
        a name.
      patience: seconds that an address may take to answer, and for each frame.

    Raises:
      InputError: nothing there, no image or video in it, a first frame or ground truth that cannot be read; a pipe,
        since a source is read more than once; an address that does not answer, or leads to a playlist.
      MissingExtraError: a video or a webcam without PyAV installed.
    """
    text, path = str(source), Path(source)
    try:
        if text and path.is_dir():
            return _open_folder(path)
        if text and path.is_file():
            return _open_image(path) if is_image(path) else _open_video(path)
        exists = bool(text) and (path.exists() or path.is_symlink())
    except OSError as error:
        raise InputError(f"source {text}: expected a path that can be read, found {reason(error)}") from None
    folder, mark, name = text.rpartition("#")
    if not exists and mark and folder and Path(folder).is_dir():
        return _open_named(Path(folder), name)
    webcam = re.fullmatch("(/dev/video)?([0-9]+)", text)
    if webcam and (webcam[1] or not exists):
        return _open_webcam(int(webcam[2]))
    if not exists and is_stream(text):
        return _open_stream(text, patience)
    if not exists and GLOB.search(text) and not is_address(text):
        try:
            entries = _matching(path)
        except (OSError, ValueError) as error:
            raise InputError(f"glob {text}: expected a pattern of file names, found {reason(error)}") from None
        if entries:
            return _open_images(text, _images_of(f"glob {text}", entries))
    raise InputError(
        f"source {text!r}: expected a video, an image, a folder or glob of images, a webcam's number, or an address "
        f"by http or rtsp, found {_unusable(text, path)}"
    )


def demo_source() -> Source:
    """Built-in clip, 150 frames of 640 x 360, with its ground truth (`assets/README.md`)."""
    folder = Path(str(resources.files("mfst_jax") / "assets"))
    table = np.loadtxt(folder / "demo.csv", np.float32, delimiter=",", skiprows=1, ndmin=2)
    return _open_video(folder / "demo.mp4", table[:, 1:])


def _unusable(text: str, path: Path) -> str:
    """Description of what `text` names: neither a file, a folder, a webcam nor a pattern of names that exist."""
    if is_address(text):
        return "an address: " + (
            "give the path alone" if text.startswith("file:") else "save what it leads to as a file first"
        )
    if text == "-" or path.is_fifo() or path.is_socket():
        return "a pipe, which cannot be read twice: save what it brings as a file first"
    if path.is_symlink() and not path.exists():
        return f"a link to {path.readlink()}, which does not exist"
    if path.exists():
        return "a device"
    if re.search("%0?[0-9]*d", text):
        return "no such file; numbers that count are written as a *"
    return "no such file" + (", nor any that matches it as a pattern" if GLOB.search(text) else "")


def _matching(pattern: Path) -> list[Path]:
    """Paths that match a glob. A part of it that exists as it is written is a name, whatever its brackets say."""
    found = [Path(pattern.anchor)]
    for part in pattern.relative_to(pattern.anchor).parts:
        steps = ([path / part] if (path / part).exists() else path.glob(part) for path in found)
        found = list(dict.fromkeys(chain.from_iterable(steps)))
    return found


def _open_folder(folder: Path) -> Source:
    """Source of a folder of images, with the true boxes of its target if it has those of one."""
    name, places = name_of(folder), _places_of(folder)
    if len(places) == 1:
        return _open_sequence(places[0])
    lacks = f"{name} has no {' or '.join(TRUTH_FILES)} to take it from"
    if not places:
        return _open_images(name, list_images(folder), lacks=lacks)
    listed = "; ".join(map(_describe_target, places[:LISTED])) + (" and more" if places[LISTED:] else "")
    if len({place.folder for place in places}) > 1:
        raise InputError(
            f"source {folder}: expected one sequence, such as '{folder}#{places[0].name}', found {len(places)}: "
            + ", ".join(place.name for place in places[:LISTED])
            + (", ..." if places[LISTED:] else "")
        )
    images = places[0].folder
    assert images is not None
    lacks = f"{name} has {len(places)} targets ({listed}; '{folder}#{places[0].name}' takes one)"
    return _open_images(name, list_images(images), lacks=lacks)


def _places_of(folder: Path) -> list[Place]:
    """Targets in a folder: of the sequence that it is, of the data set that it is, or of the one that it is part of."""
    own = find_dataset(folder)
    return own if own is not None else places_in(folder) or places_above(folder)


def _open_named(folder: Path, name: str) -> Source:
    """Source of one of several sequences in a folder."""
    places = _places_of(folder) or [place for inner in folders_in(folder) for place in places_in(inner)]
    for place in places:
        if place.name == name:
            return _open_sequence(place)
    names = ", ".join(place.name for place in places[:LISTED]) + (", ..." if places[LISTED:] else "")
    raise InputError(
        f"source {folder}#{name}: expected the name of a sequence in {folder}, found {names or 'none there'}"
    )


def _open_sequence(place: Place) -> Source:
    assert place.folder is not None
    sequence = read_sequence(place)
    first, last = sequence.frames[0], sequence.frames[-1]
    images, notes = list_images(first.parent), sequence.problems
    if len(sequence.frames) != len(images):
        of = f"{first.name} to {last.name}, which have true boxes, of {len(images)} images"
        notes = (f"{place.name}: {of}", *notes)
    return _open_images(place.name, sequence.frames, sequence.ground_truth.astype(np.float32), notes)


def _describe_target(place: Place) -> str:
    """Name of a target and, where it is sure to be in the first image, its box."""
    if place.layout:
        return place.name
    assert place.truth is not None
    box = read_sequence(place, images=False).ground_truth[0]
    return f"{place.truth.name}: {','.join(f'{number:g}' for number in box)}"


def _images_of(what: str, entries: Iterable[Path]) -> list[Path]:
    """Images among the paths, in natural order. Raises `InputError` if there is none."""
    paths = [path for path in entries if not path.name.startswith(".")]
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    if not images:
        found = f"{len(paths)} other entries" if paths else "nothing"
        raise InputError(f"{what}: expected images ({' '.join(IMAGE_SUFFIXES)}), found {found}")
    return sorted(images, key=natural_key)


def _open_images(
    name: str, paths: Sequence[Path], truth: np.ndarray | None = None, notes: tuple[str, ...] = (), lacks: str = ""
) -> Source:
    def read(first: int = 0) -> Labelled:
        for path in paths[first:]:
            yield f"image {path}", read_image(path)

    shared = os.path.commonpath([path.parent for path in paths])
    files = tuple(Path(os.path.relpath(path, shared)).as_posix() for path in paths)
    return Source(name, _first_size(read), len(paths), USUAL_FPS, truth, read, notes, lacks, files, read_from=read)


def _open_image(path: Path) -> Source:
    read = partial(read_frames, path)
    count, fps = count_and_rate(path)
    return Source(path.name, _first_size(read), count, fps, None, read)


def _open_stream(address: str, patience: float | int) -> Source:
    """Source of an address. One that does not say its length is live, and so is a camera by RTSP."""
    name = name_of_stream(address)
    what, options = f"stream {name}", options_for(address, patience)
    with open_container(what, address, **options) as container:
        stream = video_stream(what, container)
        live = container.format.name == "rtsp" or (container.size or 0) <= 0
        fps = header_rate(stream) if live else frame_rate(container, stream)
        count, _ = (None, None) if live else declared(container, stream, fps)
    read = partial(decode, what, address, fps, endless=live, **options)
    return Source(name, _first_size(read), count, fps, None, read, live=live, timed=True)


def _first_size(read: Callable[[], Labelled]) -> tuple[int, int]:
    with closing(read()) as labelled:
        height, width, _ = next(labelled)[1].shape
    return height, width


def _open_video(path: Path, truth: np.ndarray | None = None) -> Source:
    what = f"video {path}"
    if _is_archive(path):
        raise InputError(f"{what}: expected a video, found an archive: unpack it first")
    address = str(path.absolute())  # a colon in a relative name would make it an address
    with open_container(what, address) as container:
        stream = video_stream(what, container)
        fps = frame_rate(container, stream)
        count, _ = declared(container, stream, fps)
    read, index = partial(decode, what, address, fps), cache(partial(index_video, what, address))
    return Source(
        *(path.stem, _first_size(read), count, fps, truth, read),
        timed=True,
        read_from=lambda first: decode_from(what, address, fps, first, index()),
    )


def _is_archive(path: Path) -> bool:
    """Whether a file is one in which FFmpeg would find pictures, in the order of the archive."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\3\4" or tarfile.is_tarfile(path)


def _open_webcam(index: int) -> Source:
    what, device, options = f"webcam {index}", str(index), {}
    if sys.platform == "darwin":
        options = {"format": "avfoundation", "options": {"framerate": "30"}}
    elif sys.platform == "win32":
        device, options = f"video={_windows_webcam(index)}", {"format": "dshow"}
    else:
        device, options = f"/dev/video{index}", {"format": "v4l2"}
    with open_container(what, device, **options) as container:
        fps = header_rate(video_stream(what, container))
    read = partial(decode, what, device, fps, **options)
    return Source(what, _first_size(read), None, fps, None, read, live=True, timed=True)


def _windows_webcam(index: int) -> str:
    """DirectShow's name of a webcam, since DirectShow has no numbers."""
    devices = [device for device in import_av().enumerate_input_devices("dshow") if "video" in device.media_types]
    if index >= len(devices):
        raise InputError(f"webcam {index}: expected a number below the {len(devices)} webcams, found {index}")
    return devices[index].name
