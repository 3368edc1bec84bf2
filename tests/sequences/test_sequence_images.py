"""Images of a sequence: their order, and which of them true boxes are of."""

from pathlib import Path

import pytest

from mfst_jax.errors import InputError
from mfst_jax.sequences.image_files import choose_images, describe, natural_key


def test_natural_key():
    names = ["a", "A1", "a1", "a01b2", "a1b10", "a2", "a10", "b/2", "b/10", "10", "9"]
    ordered = [path.as_posix() for path in sorted(map(Path, names), key=natural_key)]
    assert ordered == ["9", "10", "a", "A1", "a1", "a01b2", "a1b10", "a2", "a10", "b/2", "b/10"]


def test_names_in_digits_of_other_scripts_are_ordered_as_text():
    names = ["３", "10", "a1٣2", "a1x2", "a2"]
    ordered = [path.as_posix() for path in sorted(map(Path, names), key=natural_key)]
    assert ordered == ["10", "a1x2", "a1٣2", "a2", "３"]


def images(*numbers):
    return [Path(f"img/frame{number:04d}.jpg") for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "rows", "wanted", "chosen"),
    [
        ((1, 2, 3), 3, None, (1, 2, 3)),
        ((1, 2, 3), 2, None, (1, 2, 3)),
        ((7, 8), 1, None, (7, 8)),
        ((0, 10, 20, 30), 2, None, (0, 10, 20, 30)),  # every tenth frame, and true boxes for the first of them
        ((1, 2, 4), 3, None, (1, 2, 4)),
        ((1, 3, 4), 1, None, (1, 3, 4)),
        ((5,), 1, None, (5,)),
        ((17000123, 17000165, 17000207, 17000250), 3, None, (17000123, 17000165, 17000207, 17000250)),  # times
        ((1, 2, 3, 4), 2, range(2, 4), (2, 3)),
        ((1, 2), 2, range(5, 7), (1, 2)),  # numbered anew
    ],
)
def test_which_images_are_frames(numbers, rows, wanted, chosen):
    assert choose_images(images(*numbers), rows, wanted) == tuple(images(*chosen))


@pytest.mark.parametrize(
    ("numbers", "rows", "wanted", "message"),
    [
        ((1, 2, 4, 5), 5, None, "img/frame0003.jpg: expected frames 1 to 5, found none of this name"),
        ((1, 2, 4, 5), 3, None, "img/frame0003.jpg: expected frames 1 to 5, found none of this name"),
        ((1, 2, 3), 4, range(1, 6), "img/frame0004.jpg: expected frames 1 to 5, found none of this name and 1 more"),
    ],
)
def test_a_missing_image_is_named(numbers, rows, wanted, message):
    with pytest.raises(InputError) as error:
        choose_images(images(*numbers), rows, wanted)
    assert str(error.value) == message


def test_names_without_numbers_are_taken_as_they_come():
    names = [Path("a.jpg"), Path("b.jpg"), Path("c.jpg")]
    assert choose_images(names, 2, None) == tuple(names)


def test_a_picture_without_a_number_among_frames_is_none_of_them():
    frames = images(1, 2, 3)
    cover = Path("img/cover.jpg")
    assert choose_images([cover, *frames], 3, None) == choose_images([*frames, cover], 3, None) == tuple(frames)
    assert choose_images([cover, *frames], 4, None) == (cover, *frames)


def test_what_is_in_a_folder_in_words(tmp_path):
    assert describe(tmp_path) == "nothing"
    (tmp_path / "b10").mkdir()
    assert describe(tmp_path) == "b10/"
    for name in ("1.jpg", "2.jpg", "b9.txt", ".hidden"):
        (tmp_path / name).write_text("")
    assert describe(tmp_path) == "images, b9.txt and b10/"
    for name in "cde":
        (tmp_path / name).write_text("")
    assert describe(tmp_path) == "images, b9.txt, b10/, c, d and 1 more entries"
