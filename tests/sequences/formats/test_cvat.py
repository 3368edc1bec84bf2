"""CVAT's XML: tracks between keyframes, and what is refused of hostile files."""

import numpy as np
import pytest
from data_sets import ABSENT, cvat, cvat_box, numbers, refused, sequences

from mfst_jax import json_files


def test_tracks_of_cvat_move_between_keyframes_until_they_are_outside(tmp_path):
    shapes = (
        cvat_box(1, 0, 0, 2, 2) + cvat_box(3, 2, 1, 4, 3) + cvat_box(4, 2, 1, 4, 3, outside=1) + cvat_box(6, 1, 1, 2, 2)
    )
    polygon = '<polygon frame="0" outside="0" points="1.0,0.5;4.0,1.5;2.0,3.0"></polygon>'
    tracks = f'<track id="4" label="car">{shapes}</track><track id="5" label="dog">{polygon}</track>'
    root = cvat(tmp_path / "task", tracks, 8)
    found = sequences(root)
    assert list(found) == ["task-4", "task-5"]
    car = found["task-4"]
    assert numbers(car) == [1, 2, 3, 4, 5, 6, 7]
    expected = [(0, 0, 2, 2), (1, 0.5, 2, 2), (2, 1, 2, 2), ABSENT, ABSENT, (1, 1, 1, 1), ABSENT]
    np.testing.assert_array_equal(car.ground_truth, expected)
    np.testing.assert_array_equal(found["task-5"].ground_truth[0], (1, 0.5, 3, 2.5))


def test_frames_of_cvat_are_told_by_their_numbers(tmp_path):
    root = cvat(
        tmp_path / "task", f'<track id="0" label="car">{cvat_box(2, 0, 0, 2, 2) + cvat_box(4, 0, 0, 2, 2)}</track>', 6
    )
    for number in (0, 1, 3, 5):  # every second frame, from the third one on
        (root / f"images/frame_{number:06d}.PNG").unlink()
    (sequence,) = sequences(root).values()
    assert numbers(sequence) == [2, 4]
    assert not sequence.absent.any()


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    "<annotations><track>&c;</track></annotations>"
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "expected CVAT's XML for videos, found a document type, which could declare entities"),
        (
            "<annotations>" + "<a>" * 100,
            "expected CVAT's XML for videos, found more than 64 elements within each other",
        ),
        ("<annotations>", "expected CVAT's XML for videos, found no element found"),
        ("<a><annotations/></a>", "expected CVAT's XML for videos, found the element a"),
        ("<annotations/>", "expected tracks, found none"),
        ("<annotations><image/></annotations>", "expected tracks, found images (export as CVAT for video)"),
        (
            f'<annotations><track id="0">{cvat_box(8, 0, 0, 1, 1)}</track></annotations>',
            "expected shapes in 2 frames, one an image, found frame 8",
        ),
        ('<annotations><track id="0"><box frame="0"/></track></annotations>', "frames and coordinates in track 0"),
        (
            f'<annotations><track id="0">{cvat_box(0, 0, 0, float("nan"), 1)}</track></annotations>',
            "found a box that is not finite in frame 0",
        ),
    ],
)
def test_what_is_wrong_with_cvat_is_named(tmp_path, text, words):
    cvat(tmp_path, "", 2)
    (tmp_path / "annotations.xml").write_text(text)
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path}/annotations.xml: expected ")
    assert words in message


def test_files_that_are_too_large_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "LARGEST", 100)
    cvat(tmp_path, f'<track id="0">{cvat_box(0, 0, 0, 1, 1)}</track>', 1)
    assert "expected CVAT's XML for videos, found " in refused(tmp_path)
    assert "bytes, more than 100" in refused(tmp_path)
