"""Look at what was tracked in FiftyOne: a dataset of the videos, with the boxes of every frame.

python examples/tracks_in_fiftyone.py my-tracks a.csv b.csv
"""

from pathlib import Path

import fiftyone as fo
import numpy as np
import tyro

from mfst_jax.tracks import read_record, read_table


def video_of(table: Path) -> fo.Sample:
    """Video of a table, with its boxes as shares of the frames' width and height. FiftyOne counts frames from 1."""
    record, tracks = read_record(table), read_table(table)
    if record is None or (video := record.locate(table)) is None or not Path(video).is_file():
        raise SystemExit(f"boxes {table}: expected those of a video file that is still there, found others")
    sample, size = fo.Sample(filepath=video), np.tile(record.size[::-1], 2)
    for row in range(len(tracks[0].boxes)):
        boxes = []
        for index, track in enumerate(tracks, start=1):
            if np.isfinite(track.boxes[row]).all():
                said = {"confidence": float(track.scores[row]), "lost": bool(track.lost[row]), "index": index}
                box = (track.boxes[row] / size).tolist()
                boxes.append(fo.Detection(label=track.name, bounding_box=box, **said))
        sample.frames[tracks[0].first + row + 1] = fo.Frame(tracks=fo.Detections(detections=boxes))
    return sample


def main(name: tyro.conf.Positional[str], tables: tyro.conf.Positional[tuple[Path, ...]]) -> None:
    """Makes a dataset of the videos of `tables`, which `fiftyone app launch NAME` shows."""
    samples = [video_of(table) for table in tables]
    fo.Dataset(name, persistent=True).add_samples(samples)


if __name__ == "__main__":
    tyro.cli(main)
