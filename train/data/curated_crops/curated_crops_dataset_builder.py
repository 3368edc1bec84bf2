"""TFDS builder: annotated videos -> curated crops in array_record files, one record a crop, no TensorFlow needed.

    mfst train build ROOT --out DATA

or, in a program, `Builder(data_dir=..., file_format="array_record")` and `download_and_prepare` with a `DownloadConfig`
whose `manual_dir` is the root of ILSVRC2015-VID, of GOT-10k, or of a folder of sequences: the layout is recognised
(`annotated_videos.py`). All of them have to be downloaded by hand.

Where the `DownloadConfig` names a runner of Apache Beam or options for one, as `tfds build --beam_pipeline_options` and
`mfst train build --beam` do, crops and records are made by its workers, which have to see both folders.
"""

import os
import sys
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from mfst_jax.train.data import curation
from mfst_jax.train.data.curated_crops.examples import curate_by_beam, examples_by_beam, examples_of
from mfst_jax.train.data.curation import CROP_SIZE, Video
from mfst_jax.train.data.split import split

CROPS = "crops"
"""Folder below the builder's data directory for the curated crops before records are written, so that a build can
resume."""


class Builder(tfds.core.GeneratorBasedBuilder):
    """Crops of every target around its true box, 287 x 287, video by video. Splits are `train` and `held_out`."""

    _beam: tuple[Any, Any] | None = None
    """Runner of Beam and its options, where one of them is asked for."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir: the root of ILSVRC2015-VID, GOT-10k or a folder of sequences."

    def _info(self) -> Any:
        features = tfds.features.FeaturesDict(
            {"crop": tfds.features.Image(shape=(CROP_SIZE, CROP_SIZE, 3), encoding_format="png")}
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="Crops around annotated targets, after SiamFC's curation.",
            features=features,
            disable_shuffling=True,  # a video's crops stay together and in order
            metadata=tfds.core.MetadataDict(),
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any) -> Any:
        asked = download_config.beam_runner, download_config.beam_options
        self._beam = None if asked == (None, None) else asked
        return super()._download_and_prepare(dl_manager, download_config)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        cache = Path(os.fspath(self._data_dir_root), CROPS).absolute()
        root, tell = os.fspath(dl_manager.manual_dir), partial(print, file=sys.stderr)
        if self._beam is not None:
            curate_by_beam(Path(root).absolute(), cache, *self._beam)  # so that all is there in the next line
        videos, counts = curation.curate(root, cache, workers=curation.default_workers(), tell=tell)
        sides = dict(zip(("train", "held_out"), split(videos), strict=True))
        self.info.metadata["counts"] = vars(counts)
        for name, side in sides.items():
            self.info.metadata[name] = [_describe(video) for video in side]
        return {name: self._generate_examples(cache, side) for name, side in sides.items()}

    def _generate_examples(self, cache: Path, videos: Sequence[Video]) -> Any:
        firsts = np.cumsum([0, *(len(video.frames) for video in videos)]).tolist()
        parts = [(cache, video.name, first) for video, first in zip(videos, firsts, strict=False)]
        return chain.from_iterable(map(examples_of, parts)) if self._beam is None else examples_by_beam(parts)


def _describe(video: Video) -> dict[str, Any]:
    """Description of a video without its crops, as JSON values."""
    return {
        "name": video.name,
        "key": video.key,
        "frames": video.frames.tolist(),
        "sizes": video.sizes.astype(float).tolist(),
    }
