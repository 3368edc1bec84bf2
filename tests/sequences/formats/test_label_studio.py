"""Label Studio's JSON: rectangles between keyframes."""

import numpy as np
from data_sets import ABSENT, label_studio, numbers, refused, sequences


def key(frame, x, y, width, height, **more):
    return {"frame": frame, "x": x, "y": y, "width": width, "height": height, "enabled": True, "rotation": 0, **more}


def test_rectangles_of_label_studio_are_per_cent_and_move_between_keyframes(tmp_path):
    one = [key(2, 0, 0, 50, 50), key(4, 50, 50, 50, 50, enabled=False), key(6, 0, 25, 100, 25)]
    two = [key(1, 50, 50, 50, 25, rotation=180)]
    found = sequences(label_studio(tmp_path, [one, two], 7))  # frames of 6 x 4 pixels
    assert list(found) == ["cars-1", "cars-2"]
    assert numbers(found["cars-1"]) == [2, 3, 4, 5, 6, 7]
    boxes = [(0, 0, 3, 2), (1.5, 1, 3, 2), (3, 2, 3, 2), ABSENT, (0, 1, 6, 1), (0, 1, 6, 1)]
    np.testing.assert_array_equal(found["cars-1"].ground_truth, boxes)
    np.testing.assert_allclose(found["cars-2"].ground_truth, [(0, 1, 3, 1)] * 7, atol=1e-12)


def test_what_is_wrong_with_label_studio_is_named(tmp_path):
    path = label_studio(tmp_path, [[key(9, 0, 0, 50, 50)]], 7) / "project-1.json"
    assert refused(tmp_path) == f"{path}: expected keyframes of cars in frames 1 to 7, found frames 9 to 9"
    label_studio(tmp_path, [[{"frame": 1, "x": 3}]], 7)
    words = "expected keyframes of cars with x, y, width and height, found no 'y' there"
    assert refused(tmp_path) == f"{path}: {words}"
    path.write_text('[{"data": {}, "annotations": [{"result": [{"type": "videorectangle", "value": {}}]}]}]')
    assert refused(tmp_path).startswith(f"{path}: expected Label Studio's JSON of videos, found ")
    label_studio(tmp_path, [[key(1, 0, 0, 50, 50)]], 7, video="..\\..\\etc.mp4")
    (tmp_path / "cars").rename(tmp_path / "dogs")
    assert "expected the frames of etc as images in etc/ (Label Studio's JSON of videos)" in refused(tmp_path)
