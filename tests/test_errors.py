"""Messages of errors are one line that a terminal shows, whatever the input held."""

import copy
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfst_jax.errors import LONGEST_MESSAGE, InputError, MissingExtraError, one_line
from weight_port import SourceError
from weight_port.downloads import DownloadError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb\x07", r"a\x1b[31mb\x07"),
        ("two\nlines\r\u2028", r"two\nlines\r\u2028"),
        ("a\0b\x85\u202egnp.exe\udcff", r"a\x00b\x85\u202egnp.exe\udcff"),
        ("Käse, 猫, 🏃, C:\\x", "Käse, 猫, 🏃, C:\\x"),
    ],
)
def test_a_message_shows_what_cannot_be_printed_as_an_escape(text: str, shown: str):
    assert str(InputError(text)) == one_line(text) == shown


def test_a_long_message_keeps_its_beginning_and_its_end():
    text = "boxes x.csv: expected numbers, found " + "9" * 3_000_000 + "; save it as text"
    message = str(InputError(text))
    assert len(message) <= LONGEST_MESSAGE
    assert message.startswith("boxes x.csv: expected numbers, found 9")
    assert message.endswith("9; save it as text")
    [count] = re.findall(r" \[(\d+) characters left out\] ", message)
    assert len(message.replace(f" [{count} characters left out] ", "")) == len(text) - int(count)


@given(st.text(), st.integers(1, 10**5))
def test_no_message_is_longer_than_the_longest(text: str, times: int):
    message = str(InputError(text * times))
    assert len(message) <= LONGEST_MESSAGE
    assert one_line(message) == message


def test_problems_of_weights_have_a_line_each():
    error = SourceError("a\nb", ["one\x1b", "two\nlines" + "9" * 10**6])
    first, second, third = str(error).split("\n")
    assert (first, second) == (r"a\nb: 2 problems", r"  one\x1b")
    assert third.startswith("  two lines999")
    assert len(third) <= LONGEST_MESSAGE


ERRORS = [
    InputError(),
    InputError("a\nb" * 1000),
    MissingExtraError("av", "video", "reading"),
    SourceError("x.pth", ["one"]),
    SourceError("x.pth", ["one", "two"]),
    DownloadError("https://example.org/x", "HTTP status 404", "try again"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_reach_another_process(error: InputError, protocol: int):
    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301
        assert type(again) is type(error)
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_every_kind_of_input_error_is_tried():
    assert {type(error) for error in ERRORS} >= {InputError, *InputError.__subclasses__()}
