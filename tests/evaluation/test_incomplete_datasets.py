"""Benchmarks without images, damaged, or partial: what is loaded, what is missing, and what is said of it."""

import numpy as np
import pytest
from layouts import boxes_of, from_one, got10k, otb, write_rows

from mfst_jax.errors import InputError
from mfst_jax.evaluation import load
from mfst_jax.sequences.annotations import REGIONS
from mfst_jax.sequences.otb import entries

NAN = float("nan")


def only(dataset):
    (sequence,) = dataset.sequences
    return sequence


# Without images


def test_annotations_alone(tmp_path):
    for name in ("Human4", "Deer", "Board"):
        write_rows(tmp_path / f"{name}.txt", from_one(boxes_of({"Human4": 667, "Deer": 70, "Board": 698}[name])))
    (tmp_path / "_list.txt").write_text("not numbers")
    dataset = load(tmp_path, images=False)
    assert [sequence.name for sequence in dataset.sequences] == ["Board", "Deer", "Human4-2"]
    assert all(sequence.frames == () for sequence in dataset.sequences)
    np.testing.assert_allclose(dataset.sequences[1].ground_truth, boxes_of(70))
    assert dataset.problems == (f"{tmp_path}/Deer.txt, line 71: expected 71 lines, one a frame, found 70",)
    with pytest.raises(InputError, match=r"expected sequences of OTB-100, folders with .*, found _list\.txt, Board"):
        load(tmp_path, "otb100")
    assert len(load(tmp_path, "otb50", images=False).missing) == 48


def test_annotations_alone_of_a_dataset_whose_images_are_gone(tmp_path):
    folder = otb(tmp_path, "Deer", boxes_of(71), ())
    (folder / "img").rmdir()
    got10k(tmp_path, "A", boxes_of(3))
    assert len(load(tmp_path, "folder", images=False).sequences) == 2
    (tmp_path / "notes.txt").write_text("mine")
    assert len(load(tmp_path, "folder", images=False).sequences) == 2


# Damage


def damaged(tmp_path, damage):
    """A good sequence beside one that `damage` was done to."""
    otb(tmp_path, "good", boxes_of(5))
    damage(otb(tmp_path, "bad", boxes_of(6)))
    return load(tmp_path, "folder")


def write(text):
    return lambda folder: (folder / "groundtruth_rect.txt").write_text(text)


ROWS = "1,2,3,4\n" * 5


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (write(""), "groundtruth_rect.txt, line 1: expected numbers, found an empty file"),
        (write(ROWS + "1,2,3,x\n"), f"groundtruth_rect.txt, line 6: expected {REGIONS}, found '1,2,3,x'"),
        (write(ROWS + "1,2,3,inf\n"), "groundtruth_rect.txt, line 6: expected finite numbers, found '1,2,3,inf'"),
        (write(ROWS * 2), "groundtruth_rect.txt, line 7: expected 6 lines, one a frame, found 10"),
        (
            write("0,0,0,0\n" + ROWS),
            "groundtruth_rect.txt, line 1: expected a box to start from, found the target absent",
        ),
        (
            lambda folder: (folder / "img/0003.jpg").unlink(),
            "img/0003.jpg: expected frames 1 to 6, found none of this name",
        ),
        (
            lambda folder: [(folder / f"img/000{number}.jpg").unlink() for number in (2, 4, 5)],
            "img/0002.jpg: expected frames 1 to 6, found none of this name and 2 more",
        ),
        (lambda folder: [path.unlink() for path in (folder / "img").iterdir()], "img: expected images (.bmp"),
        (
            lambda folder: (folder / "groundtruth_rect.txt").unlink(),
            ": expected a file with the true boxes of bad, groundtruth_rect.txt or groundtruth.txt, found img/",
        ),
        (
            lambda folder: (folder / "absence.label").write_text("0\n1\n"),
            "absence.label: expected 6 labels, one a true box, found 2",
        ),
        (
            lambda folder: (folder / "cover.label").write_text("8\n" * 5 + "a"),
            "cover.label, label 6: expected a number from 0 to 8, found 'a'",
        ),
    ],
)
def test_a_damaged_sequence_is_named_and_the_others_are_loaded(tmp_path, damage, problem):
    dataset = damaged(tmp_path, damage)
    assert only(dataset).name == "good"
    assert dataset.missing == ("bad",)
    (found,) = dataset.problems
    assert found.startswith(f"{tmp_path}/bad{'' if problem.startswith(':') else '/'}{problem}")


@pytest.mark.parametrize(
    ("rows", "absent", "problem"),
    [
        ("1,2,3,4\n0,0,0,0\n1,2,3,4\nnan,nan,nan,nan\n1,2,0,4\n1,2,3,4\n", [2, 4, 5], "lines 2, 4-5: no target there"),
        ("1,2,3,4\n" * 4, [], "line 5: expected 6 lines, one a frame, found 4"),
    ],
)
def test_what_is_odd_is_named_and_does_not_count(tmp_path, rows, absent, problem):
    dataset = damaged(tmp_path, write(rows))
    bad = dataset.sequences[0]
    assert (bad.name, dataset.missing, bad.problems) == ("bad", (), dataset.problems)
    assert list(np.flatnonzero(bad.absent) + 1) == absent
    assert len(bad.ground_truth) == 6
    annotated = ~np.isnan(bad.ground_truth).any(axis=1)
    assert annotated.sum() == len(rows.splitlines()) - len(absent)
    assert dataset.problems == (f"{tmp_path}/bad/groundtruth_rect.txt, {problem}",)


@pytest.mark.parametrize("protocol", [None, "otb2013", "got10k", "vot", "folder"])
def test_nothing_to_load(tmp_path, protocol):
    with pytest.raises(InputError, match=r"expected sequences.*, folders with groundtruth_rect\.txt .*, found nothing"):
        load(tmp_path, protocol)
    with pytest.raises(InputError, match="nowhere: expected a folder of sequences, found No such file"):
        load(tmp_path / "nowhere", protocol)
    (tmp_path / "Deer.txt").write_text("x")
    with pytest.raises(InputError, match=r"found none: .*Deer\.txt, line 1"):
        load(tmp_path, images=False)


# The real ones


def test_the_partial_copy_of_otb(shared):
    dataset = load(shared / "data/OTB")
    assert (dataset.title, dataset.missing) == ("OTB-100 (13 of 100 sequences)", ())
    lengths = {sequence.name: len(sequence.frames) for sequence in dataset.sequences}
    table = {entry.name: entry.last - entry.first + 1 for entry in entries()}
    assert lengths == {name: table[name] for name in lengths}
    annotations = {
        sequence.name: sequence for sequence in load(shared / "data/otb_annotations", images=False).sequences
    }
    assert len(annotations) == 100
    for sequence in dataset.sequences:
        np.testing.assert_array_equal(sequence.ground_truth, annotations[sequence.name].ground_truth)


def test_the_training_sequences(shared):
    dataset = load(shared / "data/train", "got10k")
    assert len(dataset.sequences) == 40
    assert all(len(sequence.frames) == len(sequence.ground_truth) for sequence in dataset.sequences)
    assert (dataset.missing, dataset.problems) == ((), ())
    for sequence in dataset.sequences:
        np.testing.assert_array_equal(np.isnan(sequence.ground_truth).any(axis=1), sequence.absent)
