"""Numbers in text files: what is read, what is refused and with which words; polygons by hand."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfst_jax.errors import InputError
from mfst_jax.evaluation.annotations import line_numbers, polygon_boxes, read_boxes, read_numbers


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "rows.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3,4\n5,6,7,8\n",
        "1\t2\t3\t4\n5\t6\t7\t8",
        "1 2 3 4\r\n5 6 7 8\r\n\r\n",
        "  1.0, 2.0 ,3.0,4.0,\n5e0,\t6,7,8,\n",
        "\ufeff1,2,3,4\n5,6 7\t8\n",
    ],
)
def test_any_delimiter_will_do(file, text):
    np.testing.assert_array_equal(read_numbers(file(text), (4,)), [[1, 2, 3, 4], [5, 6, 7, 8]])


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
    ],
)
def test_what_is_no_number_is_named_with_its_line(file, text, words):
    path = file(text)
    with pytest.raises(InputError) as error:
        read_numbers(path, (4, 8))
    assert str(error.value) == f"{path}{', ' if words.startswith('line') else ': '}{words}"


@pytest.mark.parametrize("content", [b"\xff\xfe1", None])
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


def test_boxes_count_from_their_origin_and_are_nan_where_there_is_no_target(file):
    path = file("1,2,3,4\n0,0,0,0\nnan,nan,nan,nan\n5,6,7.5,8\n5,6,0,8\n")
    for origin in (0, 1):
        boxes, absent = read_boxes(path, origin=origin)
        np.testing.assert_array_equal(absent, [False, True, True, False, True])
        np.testing.assert_array_equal(boxes[~absent], np.array([[1, 2, 3, 4], [5, 6, 7.5, 8]]) - [origin, origin, 0, 0])
        assert np.isnan(boxes[absent]).all()


@pytest.mark.parametrize("line", ["1,2,-3,4", "1,2,3,inf"])
def test_impossible_boxes_are_named_with_their_line(file, line):
    with pytest.raises(InputError, match=f"line 2: expected finite x, y, w, h with w, h >= 0, found {line}"):
        read_boxes(file(f"1,2,3,4\n{line}\n"), origin=1)


def test_polygons_by_hand(file):
    square = "0,0, 4,0, 4,4, 0,4"
    diamond = "2,0, 4,2, 2,4, 0,2"  # area 8 within bounds of 16
    line = "1,1, 5,1, 5,1, 1,1"
    path = file(f"{square}\n{diamond}\n{line}\nnan,0,0,0,0,0,0,0\n")
    boxes, absent = read_boxes(path, origin=0)
    np.testing.assert_array_equal(absent, [False, False, True, True])
    np.testing.assert_array_equal(boxes[:2], [(0, 0, 4, 4), (0, 0, 4, 4)])
    boxes, absent = read_boxes(path, origin=0, polygons="area")
    np.testing.assert_array_equal(absent, [False, False, True, True])
    side = 4 / np.sqrt(2) + 1
    np.testing.assert_allclose(boxes[:2], [(-0.5, -0.5, 5, 5), (2 - side / 2, 2 - side / 2, side, side)])


@given(st.lists(st.floats(-1e3, 1e3), min_size=8, max_size=8))
def test_bounds_hold_every_corner(corners):
    (box,) = polygon_boxes(np.array([corners]), "bounds")
    points = np.reshape(corners, (4, 2))
    assert (points >= box[:2]).all()
    assert (points <= box[:2] + box[2:] + 1e-9).all()


def test_line_numbers_in_words():
    assert line_numbers(np.array([2])) == "line 3"
    assert line_numbers(np.array([0, 1, 2, 6, 8, 9])) == "lines 1-3, 7, 9-10"
