"""Reading of curated crops from array_record files: random access through grain's reader, without TensorFlow."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mfst_jax.errors import InputError, MissingExtraError
from mfst_jax.train.data.curation import Counts, Crop, Video


def is_dataset(path: Path) -> bool:
    """Whether TFDS has written a data set there."""
    return (path / "dataset_info.json").is_file()


def read(path: Path) -> tuple[list[Video], list[Video], Counts]:
    """Videos to train on, videos held out, and what became of the frames.

    Args:
      path: the folder of one version of the data set, which holds `dataset_info.json`.

    Raises:
      InputError: no complete data set of curated crops there.
      MissingExtraError: without TFDS installed.
    """
    tfds = _import_tfds()
    try:
        builder = tfds.builder_from_directory(path)
        sides = [_open(builder, name) for name in ("train", "held_out")]
        counts = Counts(**builder.info.metadata["counts"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: expected curated crops as `mfst train build` writes, found {error}") from error
    return sides[0], sides[1], counts


def _open(builder: Any, name: str) -> list[Video]:
    tfds = _import_tfds()
    source = builder.as_data_source(split=name, decoders={"crop": tfds.decode.SkipDecoding()})
    videos, first = [], 0
    for described in builder.info.metadata[name]:

        def read(row: int, first: int = first) -> Crop:
            return np.array(Image.open(io.BytesIO(source[first + row]["crop"])))

        sizes = np.array(described["sizes"], np.float32).reshape(-1, 2)
        videos.append(Video(described["name"], np.array(described["frames"], int), sizes, described["key"], read))
        first += len(videos[-1].frames)
    if first != len(source):
        raise ValueError(f"{len(source)} records instead of {first} in {name}")
    return videos


def _import_tfds() -> Any:
    """TFDS. Raises `MissingExtraError` where it is not installed."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise MissingExtraError(error.name or "tensorflow_datasets", "train", "reading curated crops") from None
    return tfds
