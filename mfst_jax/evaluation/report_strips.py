"""Frames of a report: each sequence as a strip of pictures with boxes on them, above the overlaps over time.

Every picture stands for an equal part of the sequence and shows the frame in its middle, so it lies above its part of
the curves. Boxes are drawn by the page, on small JPEGs within it. Frames count from 1, as lines in results do.
"""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.evaluation.datasets import Dataset
from mfst_jax.evaluation.metrics import overlaps
from mfst_jax.evaluation.report_tables import ReportedTracker, name_of, text_of
from mfst_jax.evaluation.results import Result
from mfst_jax.media.images import read_image
from mfst_jax.media.palette import colour
from mfst_jax.sequences import Sequence

PICTURES = 6
"""Number of pictures in a strip."""
PICTURE_SIZE = (240, 320)
"""Greatest width and height of a picture, in pixels."""
JPEG = {"quality": 72, "optimize": True}
POINTS = 240
"""Greatest number of points of a curve; where there are more frames each point is the mean over some."""
FARTHEST = 100_000
"""Pixels outside the picture at which a side may be drawn."""


NOTE = (
    "Each picture is the frame in the middle of a part of the sequence, with its number and the overlaps (intersection "
    "over union) with the ground truth. The curves below are those overlaps over time, from 0 to 1."
)


@dataclass(frozen=True, eq=False)
class _Track:
    """Track of one tracker on one sequence.

    Attributes:
      tracker: The tracker.
      boxes: Boxes (x, y, w, h) in 0-indexed pixels, NaN where there is none.
      overlaps: Overlaps with the true box, NaN where there is none.
    """

    tracker: ReportedTracker
    boxes: Float64[np.ndarray, "frames 4"]
    overlaps: Float64[np.ndarray, " frames"]

    @property
    def style(self) -> str:
        return f"box-{colour(self.tracker.place)}"


def draw_strips(dataset: Dataset, ours: ReportedTracker, best: Mapping[str, ReportedTracker | None]) -> str:
    """Strips of all sequences as HTML, with the identifiers `sequence-1` and so on.

    They show our tracker and the best other one on each sequence, as far as they have scores.
    """
    pieces = [f'<p class="note">{NOTE}</p>\n']
    for number, sequence in enumerate(dataset.sequences, start=1):
        key = '<span><span class="swatch truth"></span>ground truth</span>'
        tracks = []
        for tracker in (ours, best[sequence.name]):
            if tracker is None:
                continue
            result = tracker.results.read(sequence.name) if sequence.name in tracker.summary.sequences else None
            if result is None:
                key += f"<span>{name_of(tracker)} has no score here</span>"
                continue
            key += f"<span>{name_of(tracker)} <b>{tracker.auc(sequence.name):.3f}</b></span>"
            tracks.append(_make_track(tracker, result, sequence))
        pieces.append(
            f'<div class="sequence" id="sequence-{number}"><div class="head"><h3>{text_of(sequence.name)}</h3>'
            f'<p class="key">{key}</p></div><div class="scroll" tabindex="0" role="region"'
            f' aria-label="Frames of {text_of(sequence.name)}"><div class="film">{_draw_pictures(sequence, tracks)}'
            f"{_draw_curves(tracks)}</div></div></div>\n"
        )
    return "".join(pieces)


def _make_track(tracker: ReportedTracker, result: Result, sequence: Sequence) -> _Track:
    """Track from the first run of a result, with as many rows as the sequence has."""
    truth = sequence.ground_truth
    boxes, overlap = np.full_like(truth, np.nan), np.full(len(truth), np.nan)
    rows = min(len(truth), len(result.runs[0]))
    boxes[:rows] = result.runs[0][:rows] - np.array([result.origin, result.origin, 0, 0])
    overlap[np.isfinite(truth).all(axis=1)] = overlaps(boxes, truth)
    return _Track(tracker, boxes, overlap)


def _draw_pictures(sequence: Sequence, tracks: list[_Track]) -> str:
    count = len(sequence.frames)
    if count == 0:
        return '<p class="note">The images of this sequence are not at hand.</p>'
    shown = min(PICTURES, count)
    chosen = [int((part + 0.5) * count / shown) for part in range(shown)]
    return f'<div class="strip">{"".join(_draw_picture(sequence, frame, tracks) for frame in chosen)}</div>'


def _draw_picture(sequence: Sequence, frame: int, tracks: list[_Track]) -> str:
    truth = sequence.ground_truth[frame]
    words = [f"Frame {frame + 1} of {sequence.name}, {'with' if np.isfinite(truth).all() else 'without'} a true box"]
    caption = f"<b>{frame + 1}</b>"
    for track in tracks:
        if np.isfinite(track.overlaps[frame]):
            words.append(f"{track.tracker.name} overlaps it by {track.overlaps[frame]:.2f}")
            caption += f'<span class="value {track.style}">{track.overlaps[frame]:.2f}</span>'
    try:
        image = Image.fromarray(read_image(sequence.frames[frame]))
    except InputError as error:
        picture = f'<p class="unreadable">{text_of(error)}</p>'
    else:
        width, height = image.size
        boxes = "".join(_draw_box(track.boxes[frame], track.style) for track in reversed(tracks))
        picture = (
            f'<svg class="frame" viewBox="0 0 {width} {height}" role="img" aria-label="{text_of("; ".join(words))}">'
            f'<image width="{width}" height="{height}" preserveAspectRatio="none" href="{_encode(image)}"/>'
            f"{boxes}{_draw_box(truth, 'truth')}</svg>"
        )
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _encode(image: Image.Image) -> str:
    """A small JPEG as a data URI."""
    image.thumbnail(PICTURE_SIZE)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **JPEG)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _draw_box(box: Float64[np.ndarray, "4"], style: str) -> str:
    """Outline of a box as SVG, with a dark rim below it.

    The true box has no rim, and is dashed so that it shows those below.
    """
    if not np.isfinite(box).all():
        return ""
    x, y, w, h = np.clip(box, -FARTHEST, FARTHEST)
    place = f'x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{max(h, 0):.1f}"'
    rim = f'<rect class="rim" {place}/>' if style != "truth" else ""
    return f'{rim}<rect class="{style}" {place}/>'


def _draw_curves(tracks: list[_Track]) -> str:
    """Overlap over time as SVG, the first track on top, 1000 x 100 units."""
    if not tracks:
        return ""
    words = f"Overlap over time of {' and '.join(track.tracker.name for track in tracks)}"
    curves = "".join(f'<path class="{track.style}" d="{_path(track.overlaps)}"/>' for track in reversed(tracks))
    return (
        '<svg class="timeline" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img"'
        f' aria-label="{text_of(words)}"><path class="grid" d="M0 0H1000M0 50H1000M0 100H1000"/>'
        f"{curves}</svg>"
    )


def _path(values: Float64[np.ndarray, " frames"]) -> str:
    """Line through the values as an SVG path, broken where there is none. Many values are averaged to fewer."""
    each = -(-len(values) // POINTS)
    path, pen = "", "M"
    for start in range(0, len(values), each):
        part = values[start : start + each]
        known = part[np.isfinite(part)]
        if known.size:
            path += f"{pen}{1000 * (start + len(part) / 2) / len(values):.0f} {100 - 100 * known.mean():.0f}"
        pen = "L" if known.size else "M"
    return path
