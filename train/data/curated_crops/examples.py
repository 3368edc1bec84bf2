"""Making of crops and records: of one video in this process, or of all by Apache Beam on the workers of its runner."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mfst_jax.errors import MissingExtraError
from mfst_jax.train.data import annotated_videos, curation

Part = tuple[Path, str, int]
"""A video's crops: the folder of all of them, its name, and the number of its first record."""


def examples_of(part: Part) -> Iterator[tuple[int, dict[str, Any]]]:
    """Records of a curated video, each with its number among all."""
    cache, name, first = part
    video = curation.open_video(cache, name)
    for row in range(len(video.frames)):
        yield first + row, {"crop": _png(video.read(row))}


def examples_by_beam(parts: Sequence[Part]) -> Any:
    """Transform that makes the records of all videos, each video by one worker."""
    beam = import_beam()
    return beam.Create(parts) | beam.Reshuffle() | beam.FlatMap(examples_of)


def curate_by_beam(root: Path, cache: Path, runner: Any, options: Any) -> None:
    """Curates every video below `root` into a folder, each by one worker; what is there already is kept.

    Args:
      root: the data, which all workers see.
      cache: the folder for the crops, which all workers see.
      runner: of Beam, or its name; None for what the options say.
      options: Beam's `PipelineOptions`; None for none.

    Raises:
      InputError: no video there.
      MissingExtraError: without Beam installed.
    """
    beam = import_beam()
    cache.mkdir(parents=True, exist_ok=True)
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        jobs = pipeline | beam.Create(annotated_videos.find(root)) | beam.Reshuffle()
        _ = jobs | beam.Map(curation.curate_video, cache)


def _png(crop: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(crop).save(file, "PNG", compress_level=1)
    return file.getvalue()


def import_beam() -> Any:
    """Beam. Raises `MissingExtraError` where it is not installed."""
    try:
        import apache_beam as beam
    except ModuleNotFoundError as error:
        if error.name != "apache_beam":
            raise
        raise MissingExtraError("apache-beam", "beam", "making a data set by Beam") from None
    return beam
