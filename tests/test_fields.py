"""Typed values from text: each kind of field, in words, by text and by type."""

from typing import Literal

import pytest

from mfst_jax.errors import InputError
from mfst_jax.fields import check_type, describe, parse, require

Colour = Literal["red", "blue"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (float, "a number"),
        (int, "a whole number"),
        (bool | None, "true or false or none"),
        (Colour, "one of red, blue"),
        (tuple[float, float], "2 values, each a number"),
        (tuple[Colour, ...], "any number of values, each one of red, blue"),
    ],
)
def test_a_type_in_words(kind, words):
    assert describe(kind) == words


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (float, "-1e3", -1000.0),
        (int, "12", 12),
        (bool, "TRUE", True),
        (bool, "0", False),
        (bool | None, "none", None),
        (bool | None, "on", True),
        (Colour, "blue", "blue"),
        (tuple[int, ...], "3, 1,2", (3, 1, 2)),
        (tuple[Colour, ...], "red", ("red",)),
    ],
)
def test_text_becomes_a_value_of_its_type(kind, text, value):
    parsed = parse("field", text, kind)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (float, "1,5", "a number"),
        (int, "1.5", "a whole number"),
        (bool, "2", "true or false"),
        (bool | None, "nil", "true or false or none"),
        (tuple[float, ...], "1,,2", "any number of values, each a number"),
    ],
)
def test_text_that_spells_no_value_is_refused(kind, text, expected):
    with pytest.raises(InputError) as caught:
        parse("depth", text, kind)
    assert str(caught.value) == f"depth: expected {expected}, found {text!r}"


@pytest.mark.parametrize(
    ("value", "kind", "fits"),
    [
        (1, float, True),
        (1.0, int, False),
        (True, int, False),
        (True, float, False),
        (1, bool, False),
        ("1", float, False),
        (None, bool | None, True),
        ((1, 2.5), tuple[float, float], True),
        ([1, 2.5], tuple[float, float], False),
        ((1.0,), tuple[float, float], False),
        ((), tuple[Colour, ...], True),
        (("red", "green"), tuple[Colour, ...], False),
        (["red"], Colour, False),
    ],
)
def test_whether_a_value_fits_its_type(value, kind, fits):
    if fits:
        check_type("field", value, kind)
    else:
        with pytest.raises(InputError, match=r"^field: expected .+, found "):
            check_type("field", value, kind)


def test_require_names_thing_expected_and_found():
    require(True, "depth", "anything", None)
    with pytest.raises(InputError, match=r"^depth: expected at least 1, found 'x'$"):
        require(False, "depth", "at least 1", "x")
