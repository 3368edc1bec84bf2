"""Raw results on disk: both layouts, spellings, speed, what is refused, and that a file is whole or not there."""

import os
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from layouts import boxes_of, from_one, write_rows

from mfst_jax.errors import InputError
from mfst_jax.evaluation import Results, find_results, write_result
from mfst_jax.evaluation.results import write_submission
from mfst_jax.whole_files import write_atomically


def test_what_is_written_is_read(tmp_path):
    boxes = boxes_of(5) + 0.25
    write_result(tmp_path / "new/mine", "Deer", boxes.astype(np.float32), np.array([0, 0.5, 0.25, np.nan, 0.5]))
    assert (tmp_path / "new/mine/Deer.txt").read_text().startswith("11.2500,21.2500,30.2500,40.2500\n13.2500,")
    results = Results(tmp_path / "new/mine")
    result = results.read("Deer")
    assert (results.name, result.origin, result.problems) == ("mine", 1, ())
    np.testing.assert_array_equal(result.runs[0], from_one(boxes))
    assert result.frames_per_second == pytest.approx((2 + 4 + 2) / 3)
    assert results.read("Man") is None


@given(arrays(np.float32, (3, 4), elements=st.floats(-1e4, 1e4, width=32) | st.just(np.nan)))
def test_four_decimals_are_kept(tmp_path_factory, boxes):
    folder = tmp_path_factory.getbasetemp() / "decimals"
    write_result(folder, "any", boxes)
    np.testing.assert_allclose(Results(folder).read("any").runs[0] - [1, 1, 0, 0], boxes, rtol=0, atol=0.5001e-4)


def test_rows_are_as_they_are_written(tmp_path):
    """1.1 - 1 + 1 is not 1.1: no shift may touch what decides at a threshold."""
    (tmp_path / "Deer.txt").write_text("1.1\t-3.3\t5\t6\nNaN\tNaN\tNaN\tNaN\n")
    np.testing.assert_array_equal(Results(tmp_path).read("Deer").runs[0], [(1.1, -3.3, 5, 6), (np.nan,) * 4])


def test_got10k_has_a_folder_a_sequence(tmp_path):
    for run in (1, 2):
        write_rows(tmp_path / f"A_1/A_1_00{run}.txt", boxes_of(3) + run)
    (tmp_path / "A_1/A_1_time.txt").write_text("0.5,0.25\n0.5,nan\n")
    result = Results(tmp_path).read("A_1")
    assert (result.origin, result.frames_per_second) == (0, pytest.approx(8 / 3))
    np.testing.assert_array_equal(result.runs, [boxes_of(3) + 1, boxes_of(3) + 2])


def test_what_is_written_for_got10k_is_read(tmp_path):
    write_result(tmp_path, "A_1", boxes_of(3), np.array([0.5, 0.25, 0.125]), layout="got10k")
    assert (tmp_path / "A_1/A_1_001.txt").read_text().startswith("10.0000,20.0000,30.0000,40.0000\n12.0000,")
    assert (tmp_path / "A_1/A_1_time.txt").read_text() == "0.50000000\n0.25000000\n0.12500000\n"
    result = Results(tmp_path).read("A_1")
    assert (result.origin, result.frames_per_second) == (0, pytest.approx((2 + 4 + 8) / 3))
    np.testing.assert_array_equal(result.runs, [boxes_of(3)])
    write_submission(tmp_path / "A.zip", tmp_path, ["A_1"])
    with zipfile.ZipFile(tmp_path / "A.zip") as archive:
        assert archive.namelist() == ["A_1/A_1_001.txt", "A_1/A_1_time.txt"]
        assert archive.read("A_1/A_1_001.txt") == (tmp_path / "A_1/A_1_001.txt").read_bytes()
    with pytest.raises(InputError, match=r"B\.zip: expected to pack .*B_1/B_1_001\.txt, found No such file"):
        write_submission(tmp_path / "B.zip", tmp_path, ["B_1"])
    assert not (tmp_path / "B.zip").exists()


@pytest.mark.parametrize(
    ("file", "sequence"), [("carDark", "CarDark"), ("Jogging.2", "Jogging-2"), ("Human4", "Human4-2")]
)
def test_other_spellings(tmp_path, file, sequence):
    write_rows(tmp_path / f"{file}.txt", boxes_of(2))
    assert Results(tmp_path).read(sequence) is not None


def test_two_files_for_a_sequence(tmp_path):
    write_rows(tmp_path / "jogging-2.txt", boxes_of(2))
    write_rows(tmp_path / "Jogging.2.txt", boxes_of(3))
    with pytest.raises(InputError, match=r"one file for Jogging-2, found Jogging\.2\.txt and jogging-2\.txt"):
        Results(tmp_path).read("Jogging-2")
    write_rows(tmp_path / "Jogging-2.txt", boxes_of(4))
    assert len(Results(tmp_path).read("Jogging-2").runs[0]) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "line 1: expected numbers, found an empty file"), ("1,2,3,4\n1,2,3\n", "line 2: expected 4 numbers")],
)
def test_a_damaged_file_is_named(tmp_path, text, words):
    (tmp_path / "Deer.txt").write_text(text)
    with pytest.raises(InputError, match=f"Deer.txt, {words}"):
        Results(tmp_path).read("Deer")


def test_brackets_in_the_name_of_a_sequence_are_no_pattern(tmp_path):
    write_result(tmp_path, "video[1]", boxes_of(2), layout="got10k")
    (run,) = Results(tmp_path).read("video[1]").runs
    np.testing.assert_array_equal(run, boxes_of(2))


@pytest.mark.parametrize("seconds", ["0", "1e-320", "-1", "nan"])
def test_times_that_no_frame_can_take_do_not_count(tmp_path, seconds):
    write_result(tmp_path, "Deer", boxes_of(2), np.ones(2))
    (tmp_path / "times/Deer_time.txt").write_text(f"0.5\n{seconds}\n")
    assert Results(tmp_path).read("Deer").frames_per_second == 2


def test_damaged_times_are_named_and_cost_nothing_else(tmp_path):
    write_result(tmp_path, "Deer", boxes_of(2), np.array([0.0, 1.0]))
    (tmp_path / "times/Deer_time.txt").write_text("0.1\nfast\n")
    result = Results(tmp_path).read("Deer")
    assert result.frames_per_second is None
    (problem,) = result.problems
    assert problem == f"{tmp_path}/times/Deer_time.txt, line 2: expected 1 numbers, found 'fast'"


def test_one_tracker_or_several(tmp_path):
    for tracker in ("b", "a"):
        write_result(tmp_path / tracker, "Deer", boxes_of(2), np.ones(2))
    (tmp_path / "plots").mkdir()
    (tmp_path / "README.txt").write_text("not a result")
    trackers, problems = find_results(tmp_path, ["Deer"])
    assert [tracker.name for tracker in trackers] == ["a", "b"]
    assert problems == [f"{tmp_path}/plots: expected results such as Deer.txt, found none"]
    (one,), problems = find_results(tmp_path / "b", ["Deer", "Man"])
    assert (one.folder, problems) == (tmp_path / "b", [])
    with pytest.raises(InputError, match=r"expected results such as Man\.txt, or a folder of them .* found none"):
        find_results(tmp_path, ["Man"])
    write_result(tmp_path / "run" / "results" / "MFST", "Deer", boxes_of(2), np.ones(2))
    with pytest.raises(
        InputError, match=rf"run: .*found none; those of `mfst eval --out` are in {tmp_path}/run/results$"
    ):
        find_results(tmp_path / "run", ["Deer"])
    with pytest.raises(InputError, match="nowhere: expected a folder of results, found No such file"):
        find_results(tmp_path / "nowhere", ["Deer"])


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a/b.json"
    write_atomically(path, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"b\.json: expected to write it, found No space left on device"):
        write_atomically(path, "new")
    assert [file.name for file in path.parent.iterdir()] == ["b.json"]
    assert path.read_text() == "old"
    monkeypatch.undo()
    (path.parent / ".b.json.part").write_text("half of it, by a killed process")
    write_atomically(path, "new")
    assert [file.name for file in path.parent.iterdir()] == ["b.json"]
    with pytest.raises(InputError, match="expected to write it, found"):
        write_atomically(path / "below", "new")
