"""Curation of annotated videos: their crops on disk.

The curation is SiamFC's (Bertinetto et al. 2016, section 3.3): for each annotated frame, the square around the target
that the tracker would search, 255 samples wide at scale 1, here with 16 more on each side as room for augmentation. It
is done once: a cache holds one array of crops and one manifest for each sequence, and what is there already is kept.
"""

import contextlib
import hashlib
import json
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from mfst_jax import json_files
from mfst_jax.crops import SEARCH_SIZE, neighbours, search_side
from mfst_jax.errors import InputError, reason_in_content
from mfst_jax.media.images import read_image
from mfst_jax.media.sources import demo_source
from mfst_jax.presets import PAPER
from mfst_jax.train.data import annotated_videos
from mfst_jax.train.whole_folders import open_array
from mfst_jax.whole_files import replacing, write_atomically

MARGIN = 16
"""Samples beyond the search region on each side."""
CROP_SIZE = SEARCH_SIZE + 2 * MARGIN
CONTEXT = PAPER.context
"""Share of (w + h) / 2 that is added around the box, as `Config.context`."""
SMALLEST = 2.0
"""Least side of a usable target, in pixels."""
CORRUPT_SHARE = 0.01
"""Share of unreadable images beyond which the data are refused."""
CLIP_PARTS = 5

Crop = UInt8[np.ndarray, "side side 3"]


@dataclass(frozen=True, eq=False)
class Video:
    """Curated crops of one target in one video: all that training asks of a data set.

    Attributes:
      name: Name of the video.
      frames: Number in the video of each crop's frame, ascending.
      sizes: Size (w, h) of the target in each crop, in samples; its centre is the crop's.
      key: Key that stands for everything that the crops follow from.
      read: Reads the crop of a given number, 287 x 287 RGB.
    """

    name: str
    frames: Int[np.ndarray, " crops"]
    sizes: Float32[np.ndarray, "crops 2"]
    key: str
    read: Callable[[int], Crop]


@dataclass(frozen=True)
class Counts:
    """Numbers of frames, by what became of them.

    Attributes:
      frames: All frames.
      crops: Frames with a crop.
      absent: Frames without the target, by the annotation.
      unlabelled: Frames after the annotation's end.
      tiny: Frames with a side of the target below 2 pixels.
      outside: Frames that the target does not overlap.
      corrupt: Frames whose image cannot be read.
    """

    frames: int = 0
    crops: int = 0
    absent: int = 0
    unlabelled: int = 0
    tiny: int = 0
    outside: int = 0
    corrupt: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def describe(self) -> str:
        """Counts in one line: `1700 crops of 1720 frames (20 absent)`."""
        lost = [f"{count} {name}" for name, count in vars(self).items() if name not in ("frames", "crops") and count]
        return f"{self.crops} crops of {self.frames} frames" + (f" ({', '.join(lost)})" if lost else "")


def curate(
    root: str | Path,
    cache: str | Path,
    *,
    workers: int = 1,
    advance: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[list[Video], Counts]:
    """Curated videos of every sequence below `root`, from the cache as far as it has them.

    Args:
      root: a data set or a folder of sequences in a layout that `mfst_jax.sequences` reads, or ILSVRC2015-VID.
      cache: where the crops go. A sequence whose images' names, sizes and annotation are unchanged is not read again.
      workers: processes to read with.
      advance: called with the number of sequences done and of all.
      tell: called with each line about what is odd about an annotation.

    Returns:
      The videos in natural order of their names, and what became of the frames. Videos of less than two crops are left
      out, as they have no pairs.

    Raises:
      InputError: no sequence there, an annotation that cannot be read, more than 1 % of the images unreadable, or a
        cache that cannot be written.
    """
    root, cache = Path(root), Path(cache)
    jobs = [(job, cache) for job in annotated_videos.find(root)]
    _make_folder(cache)
    counts, videos, problem = Counts(), [], ""
    for done, found in enumerate(_each(curate_video, jobs, workers), start=1):
        for name, of_target, first, notes in found:
            for note in notes:
                tell(note)
            counts += of_target
            problem = problem or first
            if of_target.crops > 1:
                videos.append(open_video(cache, name))
        if advance is not None:
            advance(done, len(jobs))
    if counts.corrupt > CORRUPT_SHARE * counts.frames:
        raise InputError(
            f"{root}: expected at most {CORRUPT_SHARE:.0%} of the images to be unreadable, "
            f"found {counts.corrupt} of {counts.frames}; the first is {problem}"
        )
    if not videos:
        raise InputError(f"{root}: expected a sequence with two usable frames, found {counts.describe()}")
    return videos, counts


def curate_clip(cache: str | Path) -> tuple[list[Video], Counts]:
    """Curated videos of the clip that comes with the package, cut into parts that stand for videos of their own."""
    cache, source = Path(cache), demo_source()
    _make_folder(cache)
    assert source.ground_truth is not None
    frames, truth = list(source.frames()), source.ground_truth
    counts, videos = Counts(), []
    for part in np.array_split(np.arange(len(frames)), CLIP_PARTS):
        name = f"clip from frame {part[0]}"
        counts += _write(cache, name, "clip", ((int(t), truth[t], lambda t=t: frames[t]) for t in part))[0]
        videos.append(open_video(cache, name))
    return videos, counts


def open_video(cache: Path, name: str) -> Video:
    """Curated video from the cache. Its crops stay on disk until they are read.

    Raises:
      InputError: what is there is damaged.
    """
    path, crops = cache / f"{name}.json", open_array(cache / f"{name}.npy")
    try:
        manifest = _manifest(path)
        frames = np.array([operator.index(number) for number in manifest["frames"]], np.int64)
        with np.errstate(over="raise"):
            sizes = np.array(manifest["sizes"], np.float32).reshape(-1, 2)
        if not (len(frames) == len(sizes) == len(crops) and np.isfinite(sizes).all()):
            raise ValueError(f"{len(frames)} frames, {len(sizes)} sizes and {len(crops)} crops")
        if crops.shape[1:] != (CROP_SIZE, CROP_SIZE, 3) or crops.dtype != np.uint8:
            raise ValueError(f"crops of {crops.dtype} [{', '.join(map(str, crops.shape[1:]))}]")
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        found = reason_in_content(error)
        raise InputError(f"{path}: expected what was curated, found {found}; remove it to curate anew") from None
    return Video(name, frames, sizes, str(manifest["key"]), lambda row: np.array(crops[row]))


def _manifest(path: Path) -> dict[str, Any]:
    """Manifest of a sequence. Raises `ValueError` where it is none."""
    manifest = json_files.load(path)
    if not isinstance(manifest, dict) or "key" not in manifest:
        raise ValueError("no manifest")
    return manifest


def curated_crop(frame: UInt8[np.ndarray, "height width 3"], box: Float[np.ndarray, "4"]) -> Crop:
    """Crop around a box (x, y, w, h), whose middle 255 x 255 is as by `crops.crop`, rounded to 8 bits."""
    return square_crop(frame, box[:2] + (box[2:] - 1) / 2, float(search_side(box[2:], CONTEXT)), MARGIN)


def square_crop(
    frame: UInt8[np.ndarray, "height width 3"], centre: Float[np.ndarray, "2"], side: float, margin: int
) -> Crop:
    """Crop as by `crops.crop` around `centre` (x, y), rounded to 8 bits, with `margin` more samples on each side."""
    positions = (np.arange(-margin, SEARCH_SIZE + margin) / (SEARCH_SIZE - 1) - 0.5) * (side - 1)
    x_low, x_high, x_share, x_inside = neighbours(centre[0] + positions, frame.shape[1])
    y_low, y_high, y_share, y_inside = neighbours(centre[1] + positions, frame.shape[0])
    # Rows first, and only the columns in reach: the cost does not grow with the frame.
    first, last = int(x_low.min()), int(x_high.max()) + 1
    rows = frame[y_low, first:last] * (1 - y_share)[:, None, None] + frame[y_high, first:last] * y_share[:, None, None]
    crop = rows[:, x_low - first] * (1 - x_share)[:, None] + rows[:, x_high - first] * x_share[:, None]
    fill = frame.mean(axis=(0, 1))
    return np.rint(np.where((y_inside[:, None] & x_inside)[..., None], crop, fill)).astype(np.uint8)


def _each(function: Callable, jobs: list[tuple], workers: int) -> Iterator:
    if workers == 1:
        yield from (function(*job) for job in jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, *zip(*jobs, strict=True))


def curate_video(job: annotated_videos.Job, cache: Path) -> list[tuple[str, Counts, str, tuple[str, ...]]]:
    """Curates one video into the cache, unless it is there.

    For each of its targets it returns the name, what became of the frames, the first corrupt image and notes.
    """
    found = []
    for name, images, truth, problems in annotated_videos.read(job):
        listing = [(path.name, path.stat().st_size) for path in images]
        key = hashlib.sha256(json.dumps([MARGIN, CONTEXT, listing, np.nan_to_num(truth).tolist()]).encode()).hexdigest()
        rows = [*truth, *[None] * (len(images) - len(truth))]
        frames = ((t, rows[t], lambda path=path: read_image(path)) for t, path in enumerate(images))
        found.append((name, *_write(cache, name, key, frames), problems))
    return found


def _write(
    cache: Path, name: str, key: str, frames: Iterable[tuple[int, np.ndarray | None, Callable[[], np.ndarray]]]
) -> tuple[Counts, str]:
    """Writes crops and manifest of one sequence, unless they are there.

    The manifest comes last, so that it vouches for the crops. Returned are what became of the frames and the first
    corrupt image.
    """
    manifest_path = cache / f"{name}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # one that is damaged is made anew
        if (manifest := _manifest(manifest_path))["key"] == key:
            return Counts(**manifest["counts"]), manifest["corrupt"]
    crops, numbers, sizes, fates, corrupt = [], [], [], [], ""
    for number, box, read in frames:
        fate = _unusable(box)
        if fate is None:
            assert box is not None
            try:
                frame = read()
            except InputError as error:
                fates.append("corrupt")
                corrupt = corrupt or str(error)
                continue
            height, width, _ = frame.shape
            if box[0] >= width or box[1] >= height or box[0] + box[2] <= 0 or box[1] + box[3] <= 0:
                fate = "outside"
            else:
                fate = "crops"
                box = box.astype(np.float64)
                crops.append(curated_crop(frame, box))
                numbers.append(number)
                sizes.append((box[2:] * (SEARCH_SIZE / search_side(box[2:], CONTEXT))).tolist())
        fates.append(fate)
    counts = Counts(len(fates), **{fate: fates.count(fate) for fate in set(fates)})
    with replacing(cache / f"{name}.npy", wait=True) as new, new.open("wb") as file:
        np.save(file, np.array(crops, np.uint8).reshape(-1, CROP_SIZE, CROP_SIZE, 3))
    manifest = {"key": key, "counts": asdict(counts), "corrupt": corrupt, "frames": numbers, "sizes": sizes}
    write_atomically(manifest_path, json.dumps(manifest))
    return counts, corrupt


def _unusable(box: np.ndarray | None) -> str | None:
    if box is None:
        return "unlabelled"
    if not np.isfinite(box).all():
        return "absent"
    return "tiny" if box[2:].min() < SMALLEST else None


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: expected a folder or a place for one, found {error.strerror}") from None


def stem(name: str) -> str:
    """Beginning of a name that parts and tracks of one video share: up to `_12`, `_id12`, `_obj2` or `-track3`."""
    return re.sub(r"(_\d{1,2}|_id\d+|_obj\d+|-track\d+)$", "", name)


def default_workers() -> int:
    """Number of processes to curate with: that of the cores."""
    return os.cpu_count() or 1
