"""One sequence from disk, as every command reads it: the frames, the true boxes, where the target is absent, notes."""

import numpy as np
import pytest
from layouts import boxes_of, got10k, lasot, otb, vot, write_rows

from mfst_jax.errors import InputError
from mfst_jax.sequences import places_in, read_sequence


def read(folder, **options):
    (place,) = places_in(folder)
    return read_sequence(place, **options)


def numbers(sequence):
    return [int(path.stem) for path in sequence.frames]


# OTB


@pytest.mark.parametrize(
    ("name", "images", "rows", "first"),
    [
        ("David", range(1, 771), 471, 300),
        ("Football1", range(1, 82), 74, 1),
        ("Freeman4", range(1, 298), 283, 1),
        ("BlurCar3", range(1, 360), 357, 3),
        ("blurcar3", range(3, 360), 357, 3),
        ("BlurCar3", range(1, 358), 357, 1),  # renumbered, but as many as true boxes
    ],
)
def test_the_frames_of_otb_are_known_by_name_and_length(tmp_path, name, images, rows, first):
    sequence = read(otb(tmp_path, name, boxes_of(rows), images))
    assert numbers(sequence) == list(range(first, first + rows))
    np.testing.assert_allclose(sequence.ground_truth, boxes_of(rows))
    assert (sequence.problems, sequence.attributes) == ((), ())


@pytest.mark.parametrize(("images", "rows"), [(range(1, 301), 300), (range(1, 501), 471), (range(200, 500), 300)])
def test_somebody_else_may_have_a_david(tmp_path, images, rows):
    sequence = read(otb(tmp_path, "David", boxes_of(rows), images))
    assert numbers(sequence) == list(images)
    np.testing.assert_allclose(sequence.ground_truth[:rows], boxes_of(rows))


def test_all_of_otb_by_name(tmp_path, shared):
    """The real true boxes, with images of the numbers that the benchmark comes with."""
    rows = (shared / "data/otb_annotations/David.txt").read_text()
    folder = otb(tmp_path, "David", boxes_of(1), range(1, 771))
    (folder / "groundtruth_rect.txt").write_text(rows)
    sequence = read(folder)
    assert numbers(sequence) == list(range(300, 771))
    np.testing.assert_array_equal(sequence.ground_truth[0], np.array([129, 80, 64, 78]) - [1, 1, 0, 0])


# LaSOT


@pytest.mark.parametrize("line", [True, False])
def test_lasot_counts_from_1_and_its_labels_say_where_the_target_is_absent(tmp_path, line):
    folder = lasot(tmp_path, "tiger-6", boxes_of(6), occluded=[2], out_of_view=[3, 5], line=line)
    sequence = read(folder)
    np.testing.assert_array_equal(sequence.absent, [False, False, True, True, False, True])
    np.testing.assert_array_equal(sequence.ground_truth[~sequence.absent], boxes_of(6)[[0, 1, 4]])
    assert np.isnan(sequence.ground_truth[sequence.absent]).all()
    assert (numbers(sequence), sequence.problems) == ([1, 2, 3, 4, 5, 6], ())


def test_a_negative_size_counts_as_absent_and_is_named(tmp_path):
    folder = lasot(tmp_path, "lion-5", boxes_of(6), out_of_view=[4])
    rows = (folder / "groundtruth.txt").read_text().splitlines()
    rows[1], rows[2], rows[4], rows[5] = "1,1,-1,-1", "0,0,0,0", "0,0,0,0", "613,731,247,-11"
    (folder / "groundtruth.txt").write_text("\n".join(rows))
    sequence = read(folder)
    np.testing.assert_array_equal(sequence.absent, [False, True, True, False, True, True])
    truth = folder / "groundtruth.txt"
    assert sequence.problems == (
        f"{truth}, lines 2, 6: a negative width or height, which counts as no target there",
        f"{truth}, line 3: no target there",
    )


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("full_occlusion.txt", "0,0,0", ": expected 4 labels, one a true box, found 3"),
        ("out_of_view.txt", "0,0,0,0,1", ": expected 4 labels, one a true box, found 5"),
        ("out_of_view.txt", "0,0,2,0", ", label 3: expected a number from 0 to 1, found '2'"),
        ("out_of_view.txt", "0,0,0,nan", ", label 4: expected a number from 0 to 1, found 'nan'"),
        ("full_occlusion.txt", "", ", line 1: expected numbers, found an empty file"),
    ],
)
def test_labels_that_do_not_fit_are_named(tmp_path, file, text, words):
    folder = lasot(tmp_path, "lion-5", boxes_of(4))
    (folder / file).write_text(text)
    with pytest.raises(InputError) as error:
        read(folder)
    assert str(error.value) == f"{folder / file}{words}"


# GOT-10k


def test_the_labels_of_got10k(tmp_path):
    first = read(got10k(tmp_path, "A", boxes_of(4), absent=[0, 1, 0, 0], cover=[8, 8, 0, 3]))
    np.testing.assert_array_equal(first.absent, [False, False, True, False])
    second = read(got10k(tmp_path, "B", boxes_of(4), absent=[0, 1, 0, 0]))
    np.testing.assert_array_equal(second.absent, [False, True, False, False])
    (tmp_path / "B/absence.label").write_text("0.0\n1.0\n0.0\n1.0\n")
    np.testing.assert_array_equal(read(tmp_path / "B").absent, [False, True, False, True])


def test_only_the_first_frame_may_have_a_true_box(tmp_path):
    folder = got10k(tmp_path, "A", boxes_of(5))
    write_rows(folder / "groundtruth.txt", boxes_of(1))
    sequence = read(folder)
    assert (len(sequence.frames), sequence.annotated, sequence.problems) == (5, 1, ())
    np.testing.assert_array_equal(sequence.ground_truth[0], boxes_of(1)[0])
    assert np.isnan(sequence.ground_truth[1:]).all()
    assert not sequence.absent.any()


# VOT


def test_vot_with_polygons_masks_and_absent_targets(tmp_path):
    lines = ["0,0,4,0,4,4,0,4", "m1,2,3,2,0,6", "nan,nan,nan,nan", "5,6,7,8"]
    for place in ("color", ".", "frames"):
        sequence = read(vot(tmp_path, f"ball-{place}", lines, place))
        np.testing.assert_array_equal(sequence.absent, [False, False, True, False])
        boxes = [(0, 0, 4, 4), (1, 2, 3, 2), (5, 6, 7, 8)]
        np.testing.assert_array_equal(sequence.ground_truth[~sequence.absent], boxes)
        assert numbers(sequence) == [1, 2, 3, 4]


def test_the_files_of_vot_as_the_toolkit_of_2022_unpacks_them(tmp_path):
    folder = vot(tmp_path, "agility", ["1"] * 4)
    (folder / "sequence").write_bytes(b"channels.color=color/%08d.jpg\r\nformat=default\r\nfps=30\r\nname=agility\r\n")
    # The mask has three rows of four pixels: the last two of the first, the first two of the second, and none.
    (folder / "groundtruth.txt").write_text("m10,20,4,3,2,4,6\nm10,20,4,3,5,1,6\nm0,0,0,0\n0")
    (folder / "camera_motion.tag").write_text("0\n0\n1\n1\n")
    sequence = read(folder)
    assert (numbers(sequence), sequence.annotated) == ([1, 2, 3, 4], 4)
    assert sequence.absent.tolist() == [False, False, True, True]
    np.testing.assert_array_equal(sequence.ground_truth[:2], [(10, 20, 4, 2), (11, 21, 1, 1)])


# What is odd, and what is wrong


def test_true_boxes_that_end_early_are_named(tmp_path):
    folder = otb(tmp_path, "mine", boxes_of(6))
    write_rows(folder / "groundtruth_rect.txt", boxes_of(4))
    sequence = read(folder)
    assert (len(sequence.frames), sequence.annotated) == (6, 4)
    truth = folder / "groundtruth_rect.txt"
    assert sequence.problems == (f"{truth}, line 5: expected 6 lines, one a frame, found 4",)
    write_rows(truth, boxes_of(7))
    with pytest.raises(InputError, match="line 7: expected 6 lines, one a frame, found 7"):
        read(folder)


def test_the_target_may_be_absent_at_first(tmp_path):
    folder = otb(tmp_path, "mine", boxes_of(3))
    (folder / "groundtruth_rect.txt").write_text("0,0,0,0\n1,2,3,4\n1,2,3,4\n")
    assert read(folder).absent.tolist() == [True, False, False]
