"""JSON as text to read, the same value with lists of numbers and strings in one line; and files of bounded size."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfst_jax import json_files
from mfst_jax.errors import InputError
from mfst_jax.json_files import indented, read_json

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


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices have names on POSIX alone")
def test_pipes_and_devices_are_not_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name in ("pipe.json", "zero.json"):
        with pytest.raises(InputError, match=f"{name}: expected a record, found a device or a pipe"):
            read_json(tmp_path / name, "a record")
    with pytest.raises(InputError, match="expected a record, found Is a directory"):
        read_json(tmp_path, "a record")


def test_no_more_of_a_file_is_read_than_it_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf[1, 2]")
    assert read_json(path, "numbers") == [1, 2]
    monkeypatch.setattr(json_files, "LARGEST", 8)
    with pytest.raises(InputError, match="expected numbers, found 9 bytes, more than 8"):
        read_json(path, "numbers")
    monkeypatch.setattr(json_files.os, "fstat", lambda handle: os.stat_result([0] * 10))  # it grows meanwhile
    with pytest.raises(InputError, match="expected numbers, found 9 bytes, more than 8"):
        read_json(path, "numbers")
