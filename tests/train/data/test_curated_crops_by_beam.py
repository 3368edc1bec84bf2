"""Data sets made by Apache Beam: the same as those that one process makes."""

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sequences import write_sequences

from mfst_jax import cli
from mfst_jax.errors import InputError

pytest.importorskip("tensorflow_datasets")
pytest.importorskip("grain")

from mfst_jax.train.data import curated_crops, curation
from mfst_jax.train.data.build import build
from mfst_jax.train.data.curated_crops.examples import curate_by_beam

pytestmark = pytest.mark.filterwarnings("ignore")  # of TFDS, Beam and their parts

LOCAL = ["runner=FnApiRunner"]


@pytest.fixture(scope="module")
def beam():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("apache_beam")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_sequences(root, 4)
    return root


def content(path: Path) -> list:
    """Everything in a data set: of each video its name, frames, sizes and crops."""
    training, held_out, counts = curated_crops.read(path)
    videos = [
        (
            video.name,
            video.key,
            video.frames.tolist(),
            video.sizes.tolist(),
            [*map(video.read, range(len(video.frames)))],
        )
        for video in (*training, *held_out)
    ]
    return [len(training), counts, *videos]


def test_a_data_set_by_beam_is_that_of_one_process(beam, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plain = content(build(root, tmp_path / "plain"))
    curated = []
    curate = curation.curate

    def seen(*arguments, **options):
        """What this process is left with once the workers are through."""
        curated.append(len([*(tmp_path / "beam" / "crops").glob("*.json")]))
        return curate(*arguments, **options)

    monkeypatch.setattr(curation, "curate", seen)
    found = content(build(root, tmp_path / "beam", LOCAL))
    assert curated == [4]
    np.testing.assert_equal(found, plain)
    assert len(found) == 2 + 4


def test_what_is_curated_already_is_kept(beam, root: Path, tmp_path: Path):
    curate_by_beam(root, tmp_path, "FnApiRunner", None)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(times) == 8
    next(path for path in times if path.suffix == ".json").unlink()  # as a worker that was killed leaves it
    curate_by_beam(root, tmp_path, "FnApiRunner", None)
    changed = [path for path, time in times.items() if path.stat().st_mtime_ns != time]
    assert len(changed) == 2
    assert changed[0].stem == changed[1].stem


def test_a_folder_without_videos_is_refused(beam, tmp_path: Path):
    with pytest.raises(InputError, match="none: expected a folder of videos, found none"):
        build(tmp_path / "none", tmp_path / "out", LOCAL)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: expected a folder of videos, found an empty one"):
        build(tmp_path / "empty", tmp_path / "out", LOCAL)
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(InputError, match="expected folders with"):
        build(tmp_path / "empty", tmp_path / "out", LOCAL)


@pytest.mark.parametrize(
    ("runner", "found"),
    [
        ("NoSuchRunner", "Unexpected pipeline runner: NoSuchRunner. Valid values are "),
        ("no_such_package.Runner", "No module named 'no_such_package'"),
        ("DataflowRunner", "Dataflow's packages missing: pip install 'apache-beam[gcp]'"),
    ],
)
def test_a_runner_that_is_not_installed_is_named(
    beam, runner: str, found: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    if runner == "DataflowRunner" and importlib.util.find_spec("apitools") is not None:
        pytest.skip("Dataflow's packages are installed")
    words = ["train", "build", str(root), "--out", str(tmp_path / "out"), "--beam", f"runner={runner}"]
    assert cli.main(words) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"--beam runner={runner}: expected a runner of Apache Beam that is installed, found {found}" in line
    assert not (tmp_path / "out").exists()


def test_without_beam_the_extra_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    words = ["train", "build", str(root), "--out", str(tmp_path / "out"), "--beam", "runner=FlinkRunner"]
    assert cli.main(words) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("which is not installed: pip install 'mfst-jax[beam]'")
    assert not (tmp_path / "out").exists()
