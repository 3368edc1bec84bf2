"""Messages of errors are one line that a terminal shows, whatever the input held."""

import pickle

import pytest

from mfst_jax.errors import LONGEST_MESSAGE, InputError, MissingExtraError, one_line
from weight_port import SourceError


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
    assert len(message) < LONGEST_MESSAGE + 50
    assert message.startswith("boxes x.csv: expected numbers, found 9")
    assert message.endswith("9; save it as text")
    assert f"[{len(text) - LONGEST_MESSAGE} characters left out]" in message
    assert len(str(InputError("\x1b" * 3000))) < LONGEST_MESSAGE + 50


def test_problems_of_weights_have_a_line_each():
    error = SourceError("a\nb", ["one\x1b", "two\nlines" + "9" * 10**6])
    first, second, third = str(error).split("\n")
    assert (first, second) == (r"a\nb: 2 problems", r"  one\x1b")
    assert third.startswith("  two lines999")
    assert len(third) < LONGEST_MESSAGE + 50


def test_errors_reach_another_process():
    assert str(pickle.loads(pickle.dumps(InputError("a\nb")))) == r"a\nb"  # noqa: S301
    assert "pip install 'mfst-jax[video]'" in str(MissingExtraError("av", "video", "reading"))
