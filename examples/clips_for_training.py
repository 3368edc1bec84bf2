"""Batches of what was tracked, to train on: crops around the target in clips of eight frames, read by processes.

python examples/clips_for_training.py boxes.csv --workers 2
"""

from pathlib import Path

import grain
import numpy as np
import tyro
from absl import flags
from PIL import Image
from tyro.conf import Positional

from mfst_jax.tracks import Clip, Clips


def crop_target(clip: Clip) -> dict[str, np.ndarray]:
    """Crops [length, 128, 128, 3] of twice the target's longer side, whatever the frames' size; scores [length]."""
    sizes = clip["boxes"][:, 2:]
    middles, half = clip["boxes"][:, :2] + sizes / 2, sizes.max(axis=1, keepdims=True)
    regions = np.concatenate([middles - half, middles + half], axis=1).round().astype(int).tolist()
    pairs = zip(map(Image.fromarray, clip["frames"]), regions, strict=True)
    crops = [np.asarray(picture.crop(region).resize((128, 128))) for picture, region in pairs]
    return {"crops": np.stack(crops), "scores": clip["scores"]}


def main(tables: Positional[tuple[Path, ...]], length: int = 8, batch: int = 2, workers: int = 0) -> None:
    """Prints what each batch of `batch` clips of `length` frames holds, read by `workers` processes."""
    flags.FLAGS.mark_as_parsed()  # grain's flags, as `absl.app.run` would
    clips = grain.MapDataset.source(Clips(tables, length=length)).shuffle(seed=0)
    batches = clips.map(crop_target).batch(batch).to_iter_dataset()
    for each in batches.mp_prefetch(grain.multiprocessing.MultiprocessingOptions(num_workers=workers)):
        print(each["crops"].shape, each["crops"].dtype, f"mean score {each['scores'].mean():.2f}")


if __name__ == "__main__":
    tyro.cli(main)
