"""Draw a table of boxes by the package supervision: its `Detections` of each frame, with scores, ids and names.

python examples/annotate_with_supervision.py boxes.csv annotated.mp4
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import supervision as sv
import tyro

from mfst_jax.media import VideoWriter
from mfst_jax.tracks import Track, open_frames, read_table


def detections(tracks: list[Track], row: int) -> sv.Detections:
    """Boxes of one frame by their edges x0, y0, x1, y1: x1 - x0 is the width, and pixel x1 lies outside."""
    rows = [(track.boxes[row], track.scores[row], number, track.name) for number, track in enumerate(tracks, start=1)]
    boxes, scores, ids, names = map(np.array, zip(*rows, strict=True))
    boxes[:, 2:] += boxes[:, :2]
    seen = np.isfinite(boxes).all(axis=1)
    return sv.Detections(boxes[seen], confidence=scores[seen], tracker_id=ids[seen], data={"class_name": names[seen]})


def main(table: tyro.conf.Positional[Path], out: tyro.conf.Positional[Path]) -> None:
    """Draws the boxes of `table` on its frames, and writes the video `out`."""
    tracks, source, by_id = read_table(table), open_frames(table), sv.ColorLookup.TRACK
    box, label = sv.BoxAnnotator(thickness=1, color_lookup=by_id), sv.LabelAnnotator(color_lookup=by_id)
    frames = source.starting_at(tracks[0].first).frames()
    with VideoWriter(out, source.fps) as video:
        for row, frame in zip(range(len(tracks[0].boxes)), frames, strict=False):
            found, bgr = detections(tracks, row), np.ascontiguousarray(frame[..., ::-1])
            drawn = replace(found, xyxy=found.xyxy.round() - [0, 0, 1, 1])  # as OpenCV draws x1 and y1 too
            video.write(label.annotate(box.annotate(bgr, drawn), drawn)[..., ::-1])


if __name__ == "__main__":
    tyro.cli(main)
