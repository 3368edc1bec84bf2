"""Numbers in text files: what is read, what is refused and with which words; polygons by hand."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfst_jax.errors import InputError
from mfst_jax.sequences.annotations import mask_box, polygon_boxes, read_boxes
from mfst_jax.sequences.text import line_numbers, read_numbers


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "rows.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


ROWS = [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3,4\n5,6,7,8\n",
        "1\t2\t3\t4\n5\t6\t7\t8",
        "1 2 3 4\r\n5 6 7 8\r\n\r\n",
        "  1.0, 2.0 ,3.0,4.0,\n5e0,\t6,7,8,\n",
        "\ufeff1,2,3,4\n5,6 7\t8\n",
        "1,2,3,4\n5,6,7,8\n".encode("utf-16"),
        b"\xfe\xff" + "1,2,3,4\n5,6,7,8\n".encode("utf-16-be"),
    ],
)
def test_any_dress_will_do(file, text):
    np.testing.assert_array_equal(read_numbers(file(text), (4,)), ROWS)
    np.testing.assert_array_equal(read_boxes(file(text), origin=0).boxes, ROWS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected numbers, found an empty file"),
        (" ,\n,\n", "line 1: expected 4 or 8 numbers, found ' ,'"),
        ("1,2,3,4\n1,2,x,4\n", "line 2: expected 4 numbers, found '1,2,x,4'"),
        ("1,2,3,4\n1,2,3\n1,2,3,4\n", "line 2: expected 4 numbers, found '1,2,3'"),
        ("1,2,3\n1,2,3\n", "line 1: expected 4 or 8 numbers, found '1,2,3'"),
        ("1,2,3,4\n\n1,2,3,4\n", "line 2: expected 4 numbers, found ''"),
        ("1,2,3,4\n# 1,2,3\n", "line 2: expected 4 numbers, found '# 1,2,3'"),
        ("1,2,3,4\n1,2,3,1_0\n", "line 2: expected 4 numbers, found '1,2,3,1_0'"),
        ("1,2,3,4\n1,,2,3,4\n", "line 2: expected 4 numbers, found '1,,2,3,4'"),
        ("1,2,3,4\n,1,2,3,4\n", "line 2: expected 4 numbers, found ',1,2,3,4'"),
        ("1,2,3,4\n1,2,3,4,,\n", "line 2: expected 4 numbers, found '1,2,3,4,,'"),
        ("1;2;3;4\n", "line 1: expected 4 or 8 numbers, found '1;2;3;4'"),
        ("7," * 50, f"line 1: expected 4 or 8 numbers, found '{'7,' * 30}...'"),
    ],
)
def test_what_is_no_number_is_named_with_its_line(file, text, words):
    path = file(text)
    with pytest.raises(InputError) as error:
        read_numbers(path, (4, 8))
    assert str(error.value) == f"{path}, {words}"


@pytest.mark.parametrize("content", [b"\xff\xfe1", b"\xff1,2,3,4", None])
def test_what_is_no_text_is_named(file, tmp_path, content):
    path = file(content) if content is not None else tmp_path / "nothing.txt"
    with pytest.raises(InputError, match=r"(rows|nothing)\.txt: expected a text file, found"):
        read_numbers(path, (4,))


@given(st.text(alphabet="0123456789 .,-eEnaifx_#\t\n\r\v\x1c\u2028", max_size=40))
def test_any_text_is_numbers_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text(text, newline="")
    with suppress(InputError):
        numbers = read_numbers(path, (1, 2))
        assert numbers.shape[1] in (1, 2)
        assert len(numbers) == len(path.read_text().rstrip().splitlines())


numbers = st.floats(-1e4, 1e4, width=32)
sizes = st.floats(0.125, 1e4, width=32)


@given(
    boxes=st.lists(st.tuples(numbers, numbers, sizes, sizes), min_size=1, max_size=5),
    separator=st.sampled_from([",", "\t", " ", ", ", " , ", "  ", ",\t"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    end=st.sampled_from(["", "\n", "\n\n"]),
    pad=st.sampled_from(["", " ", "\t"]),
    mark=st.sampled_from(["", "\ufeff"]),
    comma=st.sampled_from(["", ",", ", "]),
    origin=st.sampled_from([0, 1]),
)
def test_boxes_in_any_dress(tmp_path_factory, boxes, separator, newline, end, pad, mark, comma, origin):
    path = tmp_path_factory.getbasetemp() / "truth.txt"
    text = mark + newline.join(pad + separator.join(map(repr, box)) + comma + pad for box in boxes) + end
    path.write_bytes(text.encode())
    found = read_boxes(path, origin=origin)
    np.testing.assert_array_equal(found.boxes, np.array(boxes, np.float64) - (origin, origin, 0, 0))
    assert not found.absent.any()


def test_boxes_count_from_their_origin_and_are_nan_where_there_is_no_target(file):
    path = file("1,2,3,4\n0,0,0,0\nnan,nan,nan,nan\n5,6,7.5,8\n5,6,0,8\n1,1,-1,-1\n613,731,247,-11\n0,0,2,2\n")
    for origin in (0, 1):
        boxes, absent, negative = read_boxes(path, origin=origin)
        np.testing.assert_array_equal(absent, [False, True, True, False, True, True, True, False])
        np.testing.assert_array_equal(negative, [False] * 5 + [True] * 2 + [False])
        present = np.array([[1, 2, 3, 4], [5, 6, 7.5, 8], [0, 0, 2, 2]]) - [origin, origin, 0, 0]
        np.testing.assert_array_equal(boxes[~absent], present)
        assert np.isnan(boxes[absent]).all()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,2,3,inf", "finite numbers"),
        ("1,2,3", "4 numbers (x, y, w, h), 8 (four corners) or a mask of VOT (m...)"),
        ("1,2,3,4,5,6", "4 numbers (x, y, w, h), 8 (four corners) or a mask of VOT (m...)"),
        ("", "4 numbers (x, y, w, h), 8 (four corners) or a mask of VOT (m...)"),
        ("m1000000000000,2,3,2,1,3", "a mask of VOT, m x, y, w, h and runs that fit,"),
        ("m1,2,3", "a mask of VOT, m x, y, w, h and runs that fit,"),
        ("m1,2,3,2,4,3", "a mask of VOT, m x, y, w, h and runs that fit,"),
        ("m1,2,3,2,-1,3", "a mask of VOT, m x, y, w, h and runs that fit,"),
        ("m1,2,3,2,0,x", "a mask of VOT, m x, y, w, h and runs that fit,"),
    ],
)
def test_what_is_no_box_is_named_with_its_line(file, line, words):
    path = file(f"1,2,3,4\n{line}\n1,2,3,4\n")
    with pytest.raises(InputError) as error:
        read_boxes(path, origin=1)
    assert str(error.value) == f"{path}, line 2: expected {words}, found {line!r}"


def test_polygons_by_hand(file):
    square = "0,0, 4,0, 4,4, 0,4"
    diamond = "2,0, 4,2, 2,4, 0,2"  # area 8 within bounds of 16
    line = "1,1, 5,1, 5,1, 1,1"
    path = file(f"{square}\n{diamond}\n{line}\nnan,0,0,0,0,0,0,0\n")
    boxes, absent, _ = read_boxes(path, origin=0)
    np.testing.assert_array_equal(absent, [False, False, True, True])
    np.testing.assert_array_equal(boxes[:2], [(0, 0, 4, 4), (0, 0, 4, 4)])
    boxes, absent, _ = read_boxes(path, origin=0, polygons="area")
    np.testing.assert_array_equal(absent, [False, False, True, True])
    side = 4 / np.sqrt(2) + 1
    np.testing.assert_allclose(boxes[:2], [(-0.5, -0.5, 5, 5), (2 - side / 2, 2 - side / 2, side, side)])


def test_regions_of_all_kinds_in_one_file(file):
    path = file("m40,30,24,24,0,576\n1,2,3,4\n0,0,4,0,4,4,0,4\nnan,nan,nan,nan\n0\nm5,6,2,2,4\n,,,\n , ,, \n1,1,2,2")
    boxes, absent, _ = read_boxes(path, origin=1)
    np.testing.assert_array_equal(absent, [False] * 3 + [True] * 5 + [False])
    np.testing.assert_array_equal(boxes[:3], [(40, 30, 24, 24), (0, 1, 3, 4), (-1, -1, 4, 4)])  # masks count from 0


@pytest.mark.parametrize(
    ("mask", "box"),
    [
        ("m40,30,24,24,0,576", (40, 30, 24, 24)),
        ("m10,20,5,3,6,2,3,2,2", (11, 21, 2, 2)),  # .....|.XX..|.XX..
        ("m10,20,5,3,7,1,3,1", (11, 21, 2, 2)),  # .....|..X..|.X...
        ("m10,20,5,3,4,2,9", (10, 20, 5, 2)),  # ....X|X....|.....
        ("m10,20,5,3,0,5", (10, 20, 5, 1)),
        ("m10,20,5,3,2,1", (12, 20, 1, 1)),
        ("m 10, 20, 5, 3, 2, 1,", (12, 20, 1, 1)),
        ("m-4,0,5,3,2,0,1,2,0,1", (-4, 0, 5, 2)),  # ...XX|X....|.....: a run of none, and two that meet
    ],
)
def test_masks_by_hand(mask, box):
    np.testing.assert_array_equal(mask_box(mask), box)


@pytest.mark.parametrize("mask", ["m0,0,0,0", "m0,0,1,1,1", "m3,4,5,6", "m3,4,5,6,30", "m3,4,5,6,2,0,28"])
def test_masks_without_a_pixel_have_no_box(mask):
    assert np.isnan(mask_box(mask)).all()


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(
        lambda size: st.lists(st.booleans(), min_size=size[0] * size[1], max_size=size[0] * size[1]).map(
            lambda pixels: np.array(pixels).reshape(size)
        )
    ),
    st.integers(-9, 9),
    st.integers(-9, 9),
)
def test_a_mask_has_the_bounds_of_its_pixels(pixels, x, y):
    changes = np.flatnonzero(np.diff(pixels.ravel(), prepend=False))
    runs = np.diff([0, *changes, pixels.size])
    box = mask_box(",".join(map(str, ["m" + str(x), y, pixels.shape[1], pixels.shape[0], *runs])))
    if not pixels.any():
        assert np.isnan(box).all()
        return
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    size = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    np.testing.assert_array_equal(box, (x + columns[0], y + rows[0], *size))


@given(st.text(alphabet="m0123456789,-. enai\n", max_size=40))
def test_any_text_is_boxes_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "region.txt"
    path.write_text(text)
    with suppress(InputError):
        boxes, absent, _ = read_boxes(path, origin=0)
        assert np.isfinite(boxes[~absent]).all()
        assert (boxes[~absent, 2:] > 0).all()


@given(st.lists(st.floats(-1e3, 1e3), min_size=8, max_size=8))
def test_bounds_hold_every_corner(corners):
    (box,) = polygon_boxes(np.array([corners]), "bounds")
    points = np.reshape(corners, (4, 2))
    assert (points >= box[:2]).all()
    assert (points <= box[:2] + box[2:] + 1e-9).all()


def test_line_numbers_in_words():
    assert line_numbers(np.array([2])) == "line 3"
    assert line_numbers(np.array([0, 1, 2, 6, 8, 9])) == "lines 1-3, 7, 9-10"
