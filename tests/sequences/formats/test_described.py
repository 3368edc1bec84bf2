"""Data sets that their owner describes in a file."""

import numpy as np
import pytest
from data_sets import ABSENT, numbers, refused, sequences
from layouts import boxes_of, write_images, write_rows


def described(root, text):
    write_images(root / "frames/one", (1, 2, 3))
    write_images(root / "frames/two", (1, 2, 3))
    write_rows(root / "labels/one.txt", boxes_of(3))
    write_rows(root / "labels/two.txt", boxes_of(3) + 1)
    (root / "mfst.yaml").write_text(text)
    return root


def test_two_lines_describe_a_data_set(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/._one.txt").write_bytes(b"\0\5\x16\7")  # what a Mac leaves on other disks
    found = sequences(described(tmp_path, "images: frames/{name}/*.jpg\nboxes: labels/{name}.txt\n"))
    assert list(found) == ["one", "two"]
    assert numbers(found["two"]) == [1, 2, 3]
    np.testing.assert_array_equal(found["two"].ground_truth, boxes_of(3) + 1)


def test_names_with_what_means_something_in_patterns_are_taken_as_they_are(tmp_path):
    root = described(tmp_path, "images: frames/{name}/*.jpg\nboxes: labels/{name}.txt\n")
    for folder, suffix in (("frames", ""), ("labels", ".txt")):
        (root / folder / f"one{suffix}").rename(root / folder / f"o[n]e?{suffix}")
    assert numbers(sequences(root)["o[n]e?"]) == [1, 2, 3]


def test_files_of_one_name_in_two_folders_are_two_sequences(tmp_path):
    root = described(tmp_path, "images: frames/{name}/*.jpg\nboxes: labels*/{name}.txt\n")
    write_rows(root / "labels2/one.txt", boxes_of(3) + 7)
    found = sequences(root)
    assert list(found) == ["one", "one-2", "two"]
    for name, boxes in (("one", boxes_of(3) + 7), ("one-2", boxes_of(3))):
        np.testing.assert_array_equal(found[name].ground_truth, boxes)
        assert numbers(found[name]) == [1, 2, 3]


def test_a_description_goes_before_what_the_folder_looks_like(tmp_path):
    root = described(tmp_path, "images: sequences/{name}/*.jpg\nboxes: anno/nfs_{name}.txt\n")
    (root / "frames").rename(root / "sequences")
    for name in ("one", "two"):  # as many have NFS, tabs and all; by itself anno/ is half of TrackingNet
        write_rows(root / f"anno/nfs_{name}.txt", boxes_of(3), "\t")
    write_rows(root / "groundtruth.txt", boxes_of(1))
    found = sequences(root)
    assert list(found) == ["one", "two"]
    np.testing.assert_array_equal(found["one"].ground_truth, boxes_of(3))
    (root / "groundtruth.txt").unlink()
    (root / "mfst.yaml").unlink()
    assert refused(root).startswith(f"{root}: expected anno/ and frames/ (TrackingNet), found anno/, ")


def test_corners_columns_and_the_first_pixel_may_be_described(tmp_path):
    text = '---\n# mine\nimages: "frames/{name}/*.jpg"\nboxes: ./labels/{name}.txt\nfirst_pixel: 1  # as in MATLAB\n'
    root = described(tmp_path, text + "box: corners\ncolumns: 2-5\n")
    write_rows(root / "labels/one.txt", [(0, 1, 1, 4, 3, 9), (1, 2, 2, 5, 4, 9), (2, 0, 0, 0, 0, 9)])
    (root / "labels/two.txt").unlink()
    (sequence,) = sequences(root).values()
    np.testing.assert_array_equal(sequence.ground_truth, [(0, 0, 3, 2), (1, 1, 3, 2), ABSENT])
    assert sequence.absent.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("images: frames/{name}/*.jpg\n", ": expected images and boxes, each with {name}, found no boxes"),
        ("images: frames/*.jpg\n", ", line 1: expected a value of images such as docs/sequences.md shows, found"),
        ("pictures: a\n", ", line 1: expected one of images, boxes, first_pixel, box, columns, each once, a colon"),
        ("images: {name}/*.jpg\nimages: {name}/*.jpg\n", ", line 2: expected one of images, boxes"),
        ("images: ../{name}/*.jpg\n", ", line 1: expected a path in this folder, found 'images: ../{name}/*.jpg'"),
        ("images: {name}/*.jpg\nboxes: {name}.csv\n", ": expected files {name}.csv, found none"),
        ("columns: 1-9\n", ", line 1: expected four columns, such as 2-5, found 'columns: 1-9'"),
    ],
)
def test_a_description_that_does_not_describe_is_named(tmp_path, text, words):
    message = refused(described(tmp_path, text))
    assert message.startswith(f"{tmp_path}/mfst.yaml")
    assert words.removeprefix("found")[:60] in message


@pytest.mark.parametrize("row", ["1e999,1e999,1e999,30", "1e999,1,2,3", "-1e308,1,1e308,3"])
@pytest.mark.parametrize("box", ["corners", "sides"])
def test_infinite_boxes_are_refused_without_a_warning(tmp_path, row, box):
    text = "images: frames/{name}/*.jpg\nboxes: labels/{name}.txt\n" + ("box: corners\n" if box == "corners" else "")
    root = described(tmp_path, text)
    (root / "labels/one.txt").write_text("1,2,3,4\n" + f"{row}\n" * 2)
    (root / "labels/two.txt").unlink()
    message = refused(root)
    assert "one" in message
    assert "expected" in message


def test_a_pattern_that_is_too_long_for_a_name_is_refused(tmp_path):
    root = described(tmp_path, f"images: frames/{'x' * 300}/{{name}}/*.jpg\nboxes: labels/{{name}}.txt\n")
    assert "expected " in refused(root)
