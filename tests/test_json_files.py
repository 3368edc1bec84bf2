"""JSON as text to read: it is the same value, and lists of numbers and strings take one line."""

import json

from hypothesis import given
from hypothesis import strategies as st

from mfst_jax.json_files import indented

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12))
def test_it_is_the_same_value(value):
    assert json.loads(indented(value)) == value


def test_lists_of_numbers_and_strings_take_one_line():
    value = {"names": ["a", "b"], "none": [], "deep": [{"size": [1, 2.5]}, []], "no": {}}
    assert indented(value) == (
        '{\n  "names": ["a", "b"],\n  "none": [],\n  "deep": [\n    {\n      "size": [1, 2.5]\n    },\n    []\n  ],\n'
        '  "no": {}\n}'
    )
