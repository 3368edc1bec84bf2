"""Which videos are held out."""

from pathlib import Path

import pytest
from sequences import video, write_sequences

from mfst_jax.errors import InputError
from mfst_jax.train.command import _find_sequences
from mfst_jax.train.data.split import Data, split


def test_a_fifth_is_held_out_by_name_alone():
    videos = [video(f"video{number:03d}", [0, 1]) for number in range(40)]
    training, held_out = split(videos)
    assert (len(training), len(held_out)) == (32, 8)
    names = {each.name for each in held_out}
    assert {each.name for each in split(videos[::-1])[1]} == names
    # Rankings are by each name's own digest: without one that is held out, the others still are.
    fewer = [each for each in videos if each.name != min(names)]
    assert names - {min(names)} <= {each.name for each in split(fewer)[1]}


def test_parts_of_one_video_stay_on_one_side():
    videos = [video(f"car{number}_{part}", [0, 1]) for number in range(6) for part in (1, 2)]
    training, held_out = split(videos)
    stems = [{each.name.split("_")[0] for each in side} for side in (training, held_out)]
    assert stems[0].isdisjoint(stems[1])
    tracks = [video(f"ILSVRC2015_train_0000{number}-track{part}", [0, 1]) for number in range(6) for part in (0, 11)]
    training, held_out = split(tracks)
    assert {each.name.split("-")[0] for each in training}.isdisjoint({each.name.split("-")[0] for each in held_out})
    with pytest.raises(InputError, match="at least two different videos, found 1"):
        split(videos[:2])


def test_the_split_of_the_training_material(shared: Path):
    names = sorted(path.name for path in (shared / "data" / "train").iterdir() if path.is_dir())
    _, held_out = split([video(name, [0, 1]) for name in names])
    assert sorted(each.name for each in held_out) == [
        "DAVIS_bmx-trees",
        "GOT10k_football",
        "UAV123_bike1",
        "UAV123_car10",
        "UAV123_person11",
        "UAV123_wakeboard10",
        "UAV123_wakeboard3",
        "UAV123_wakeboard7",
    ]


def test_what_is_held_out_is_tracked_from_its_true_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = write_sequences(tmp_path / "data", 3)
    sides = Data([video("videoa", [0, 1])], [video(name, [0, 1]) for name in ("videob", "videoc")])
    assert [each.name for each in _find_sequences([root], None, sides)] == ["videob", "videoc"]
    assert [each.name for each in _find_sequences([root], root / "videoa", sides)] == ["videoa"]
    lines = (root / "videoc/groundtruth.txt").read_text().splitlines()
    (root / "videoc/groundtruth.txt").write_text(lines[0])
    assert [each.name for each in _find_sequences([root], None, sides)] == ["videob"]
    words = "not tracked in validation, as there is no true box to begin with or no other: videoc"
    assert capsys.readouterr().err == f"{words}\n"
    with pytest.raises(InputError, match="--tracked: expected sequences with true boxes from the first frame on"):
        _find_sequences([root], root / "videoc", sides)
    with pytest.raises(InputError, match="--tracked: expected a folder of sequences for validation by tracking"):
        _find_sequences([], None, sides)
