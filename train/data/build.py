"""`mfst train build`: curates a data set once, into array_record files that any number of runs and hosts read.

    mfst train build ROOT --out DATA

ROOT holds ILSVRC2015-VID, GOT-10k or any folder of sequences. Curation uses all cores, says how far it is, and goes on
where it was interrupted; `--data` of later runs is the folder that the command prints.
"""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from mfst_jax.errors import MissingExtraError


def build(root: Path, out: Path) -> Path:
    """Folder of the data set, built if it is not there. Raises `InputError` if `root` holds no usable videos."""
    try:
        import tensorflow_datasets as tfds

        from mfst_jax.train.data.curated_crops.curated_crops_dataset_builder import Builder
    except ImportError as error:
        raise MissingExtraError(error.name or "tensorflow_datasets", "train", "mfst train build") from error
    builder = Builder(data_dir=out, file_format="array_record")
    config = tfds.download.DownloadConfig(manual_dir=root)
    builder.download_and_prepare(download_config=config)
    return Path(builder.data_dir)


def command(root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")], /, *, out: Path) -> int:
    """Curate a data set into array_record files.

    Args:
        root: The root of ILSVRC2015-VID or GOT-10k, or a folder of sequences (docs/sequences.md).
        out: The folder for data sets.
    """
    print(build(root, out))
    return 0
