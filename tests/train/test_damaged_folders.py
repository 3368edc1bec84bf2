"""What training keeps on disk is refused by name where it is damaged, or made anew."""

import json
from pathlib import Path

import numpy as np
import pytest

from mfst_jax.errors import InputError
from mfst_jax.train import run_folder
from mfst_jax.train.data import curation
from mfst_jax.train.fusion_search import response_volumes
from mfst_jax.train.whole_folders import open_array


class NoCheckpoint:
    latest = None


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b"3", b"[" * 100_000])
def test_a_damaged_identity_of_a_run_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(InputError, match=r"run.json: expected what a run is, as JSON, found"):
        run_folder._identify(tmp_path, tmp_path / "run.json", {"seed": 0}, {})


def test_damaged_lines_of_metrics_are_passed_over(tmp_path: Path):
    lines = [
        b'{"step": 1}',
        b'{"step": "2"}',
        b"[]",
        b"\xff\xfe",
        b"7",
        b"",
        b'{"step": 3, "loss": NaN}',
        b'{"step": 4',
    ]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    assert [line["step"] for line in run_folder.Run(tmp_path, NoCheckpoint()).metrics()] == [1, 3]


def curated(folder: Path, manifest: object, crops: np.ndarray | None = None) -> curation.Video:
    crops = np.zeros((1, curation.CROP_SIZE, curation.CROP_SIZE, 3), np.uint8) if crops is None else crops
    np.save(folder / "a.npy", crops)
    (folder / "a.json").write_text(json.dumps(manifest))
    return curation.open_video(folder, "a")


SOUND = {"key": "k", "frames": [4], "sizes": [[3, 4]], "counts": {"frames": 1, "crops": 1}, "corrupt": ""}


def test_sound_crops_are_opened(tmp_path: Path):
    video = curated(tmp_path, SOUND)
    assert video.frames.tolist() == [4]
    assert video.read(0).shape == (curation.CROP_SIZE, curation.CROP_SIZE, 3)


@pytest.mark.parametrize(
    "damage",
    [
        [],
        {"frames": [1, 2]},
        {"frames": ["x"]},
        {"frames": [10**30]},
        {"sizes": [[1e300, 1]]},
        {"sizes": 0},
        {"key": 0},
    ],
)
def test_a_manifest_that_does_not_fit_its_crops_is_refused(tmp_path: Path, damage):
    if damage == {"key": 0}:
        manifest = {name: value for name, value in SOUND.items() if name != "key"}
    else:
        manifest = SOUND | damage if isinstance(damage, dict) else damage
    with pytest.raises(InputError, match=r"a.json: expected what was curated, found .*; remove it to curate anew"):
        curated(tmp_path, manifest)


@pytest.mark.parametrize(
    "crops", [np.zeros((1, 9, 9, 3), np.uint8), np.zeros((1, 287, 287, 3), np.float32), np.zeros((1,))]
)
def test_crops_of_another_shape_or_type_are_refused(tmp_path: Path, crops: np.ndarray):
    with pytest.raises(InputError, match=r"a.json: expected what was curated, found crops of"):
        curated(tmp_path, SOUND, crops)


def test_a_damaged_manifest_is_made_anew(tmp_path: Path):
    frame, box = np.zeros((40, 40, 3), np.uint8), np.array([10.0, 10, 12, 12])
    for content in ("{", "[]", json.dumps({"key": "k"}), json.dumps({"key": "k", "counts": 3, "corrupt": ""})):
        (tmp_path / "a.json").write_text(content)
        counts, _ = curation._write(tmp_path, "a", "k", [(0, box, lambda: frame)])
        assert counts.crops == 1
        assert len(curation.open_video(tmp_path, "a").frames) == 1


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\1\0\x10\0{'descr': (}", b"PK\3\4", b"\x80\4."])
def test_a_damaged_array_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"x.npy: expected an array that was kept there, found .*; remove it"):
        open_array(tmp_path / "x.npy")


def test_damaged_responses_are_refused(tmp_path: Path):
    np.savez(tmp_path / "x.npz", responses=np.zeros(3))
    with pytest.raises(InputError, match=r"x.npz: expected responses that were kept there"):
        response_volumes._read(tmp_path / "x.npz")
