"""Data sets as TFDS has them: what is read is what was curated, without TensorFlow."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sequences import write_sequences, write_vid

from mfst_jax.errors import InputError
from mfst_jax.train.data import curation
from mfst_jax.train.data.split import split

pytest.importorskip("tensorflow_datasets")
pytest.importorskip("grain")

from mfst_jax.train.data import curated_crops
from mfst_jax.train.data.build import build

pytestmark = pytest.mark.filterwarnings("ignore")  # of TFDS and its parts


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("data")
    write_sequences(root, 4)
    out = tmp_path_factory.mktemp("built")
    return root, build(root, out)


def test_what_is_read_is_what_was_curated(built, tmp_path):
    root, path = built
    training, held_out, counts = curated_crops.read(path)
    plain, plain_counts = curation.curate(root, tmp_path)
    assert counts == plain_counts
    for found, expected in zip((training, held_out), split(plain), strict=True):
        assert [video.name for video in found] == [video.name for video in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.key == other.key
            np.testing.assert_array_equal(one.frames, other.frames)
            np.testing.assert_array_equal(one.sizes, other.sizes)
            np.testing.assert_array_equal(one.read(len(one.frames) - 1), other.read(len(one.frames) - 1))


def test_records_are_array_records_and_grain_takes_them(built):
    import grain
    import tensorflow_datasets as tfds

    _, path = built
    assert list(path.glob("*train.array_record*"))
    source = tfds.builder_from_directory(path).as_data_source(split="train")
    loader = grain.DataLoader(
        data_source=source,
        sampler=grain.samplers.IndexSampler(len(source), shuffle=True, seed=0, num_epochs=1),
        worker_count=0,
    )
    crops = [example["crop"] for example in loader]
    assert len(crops) == len(source)
    assert crops[0].shape == (287, 287, 3)


def test_vid_is_built_too_and_no_tensorflow_is_imported(tmp_path):
    for number in range(3):
        write_vid(tmp_path / "vid", f"ILSVRC2015_train_{number}a", seed=number, frames=3)
    program = f"""
import sys
from pathlib import Path
from mfst_jax.train.data import curated_crops
from mfst_jax.train.data.build import build
training, held_out, counts = curated_crops.read(build(Path({str(tmp_path / "vid")!r}), Path({str(tmp_path / "out")!r})))
print(len(training), len(held_out), counts.crops, training[0].read(0).shape, "tensorflow" in sys.modules)
"""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "2 1 12 (287, 287, 3) False"  # a track of one crop is none to train on


def test_what_is_no_data_set_is_refused(built, tmp_path):
    assert curated_crops.is_dataset(built[1])
    assert not curated_crops.is_dataset(tmp_path)
    with pytest.raises(InputError, match="expected curated crops"):
        curated_crops.read(tmp_path)
