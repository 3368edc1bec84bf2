"""`mfst train build`: curates a data set once, into array_record files that any number of runs and hosts read.

    mfst train build ROOT --out DATA

ROOT holds ILSVRC2015-VID, GOT-10k or any folder of sequences. Curation uses all cores, says how far it is, and goes on
where it was interrupted; `--data` of later runs is the folder that the command prints.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

from mfst_jax.errors import InputError, MissingExtraError, reason
from mfst_jax.train.data.curated_crops.examples import import_beam


def build(root: Path, out: Path, beam: Sequence[str] | None = None) -> Path:
    """Folder of the data set, built if it is not there.

    Args:
      root: the videos.
      out: the folder for data sets.
      beam: options of a pipeline of Apache Beam that makes it, such as `runner=FlinkRunner`; None for this process.

    Raises:
      InputError: `root` holds no usable videos, or the runner is not one of Beam's, or not installed.
      MissingExtraError: without TFDS installed, or without Beam where that is asked for.
    """
    try:
        import tensorflow_datasets as tfds

        from mfst_jax.train.data.curated_crops.curated_crops_dataset_builder import Builder
    except ImportError as error:
        raise MissingExtraError(error.name or "tensorflow_datasets", "train", "mfst train build") from error
    if not root.is_dir() or not any(root.iterdir()):
        raise InputError(f"{root}: expected a folder of videos, found {'an empty one' if root.is_dir() else 'none'}")
    config = tfds.download.DownloadConfig(manual_dir=root)
    if beam is not None:
        config.beam_options = _pipeline_options(beam)
    builder = Builder(data_dir=out, file_format="array_record")
    builder.download_and_prepare(download_config=config)
    return Path(builder.data_dir)


def command(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    out: Path,
    beam: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="KEY=VALUE")] = None,
) -> int:
    """Curate a data set into array_record files.

    Args:
        root: The root of ILSVRC2015-VID or GOT-10k, or a folder of sequences (docs/sequences.md).
        out: The folder for data sets.
        beam: Make them by Apache Beam, on the runner that these options of its pipeline say, such as
            runner=FlinkRunner flink_master=HOST:8081 (docs/many_machines.md). By default on the cores of this machine.
    """
    print(build(root, out, beam))
    return 0


def _pipeline_options(settings: Sequence[str]) -> Any:
    """Beam's options of these settings, each `key=value` or, of one that is on or off, `key`.

    Raises:
      InputError: a runner that Beam does not know, or that needs more than is installed.
    """
    beam = import_beam()
    kinds = beam.options.pipeline_options
    options = kinds.PipelineOptions([f"--{setting}" for setting in settings])
    name = options.view_as(kinds.StandardOptions).runner
    if name is not None:
        try:
            beam.runners.runner.create_runner(name)
            if name.lower() == "dataflowrunner" and importlib.util.find_spec("apitools") is None:
                raise ValueError("Dataflow's packages missing: pip install 'apache-beam[gcp]'")
        except (AttributeError, ImportError, ValueError) as error:
            what = "expected a runner of Apache Beam that is installed"
            raise InputError(f"--beam runner={name}: {what}, found {reason(error)}") from None
    return options
