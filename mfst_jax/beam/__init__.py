"""Tracking as an Apache Beam transform: `Track` follows objects through many sources on whatever runs a pipeline.

>>> import apache_beam as beam
>>> from mfst_jax.beam import Track, find_jobs
>>> with beam.Pipeline() as pipeline:
...     pipeline | beam.Create(find_jobs(["videos/"], "boxes.csv")) | Track("tracks") | beam.Map(print)
"""

from mfst_jax.errors import MissingExtraError

try:
    import apache_beam  # noqa: F401 - what the modules below stand on
except ModuleNotFoundError as error:
    if error.name != "apache_beam":
        raise
    raise MissingExtraError("apache-beam", "beam", "mfst_jax.beam") from None

from mfst_jax.beam.transform import Result, Track, find_jobs
from mfst_jax.many.jobs import Job
from mfst_jax.targets import Target

__all__ = ["Job", "Result", "Target", "Track", "find_jobs"]
