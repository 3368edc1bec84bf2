"""The comparison with OpenCV's trackers: what its clock counts."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import peers


def test_frames_are_in_opencvs_order_of_colours_before_the_clock_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen, events = [], []
    tracker = SimpleNamespace(
        init=lambda frame, box: seen.append(frame), update=lambda frame: (seen.append(frame), (True, (1, 2, 3, 4)))[1]
    )
    opencv = SimpleNamespace(setNumThreads=lambda count: None, TrackerMIL_create=lambda: tracker)
    monkeypatch.setitem(sys.modules, "cv2", opencv)
    monkeypatch.setattr(peers, "_start", peers.make_peer("MIL", None), raising=False)
    monkeypatch.setattr(peers.time, "perf_counter", lambda: events.append("clock") or float(len(events)))
    paths = tuple(tmp_path / f"{number}.png" for number in range(2))
    for number, path in enumerate(paths):
        Image.new("RGB", (4, 3), (10, 20, 30 + number)).save(path)
    converted = []

    def read(path: Path) -> np.ndarray:
        events.append("read")
        converted.append(peers.read_bgr(path))
        return converted[-1]

    boxes, _ = peers._follow(paths, np.array([0, 0, 2, 2]), read)
    assert events == ["read", "clock", "clock", "read", "clock", "clock"]
    assert [frame[0, 0].tolist() for frame in seen] == [[30, 20, 10], [30, 20, 10], [31, 20, 10]]
    assert seen[0] is seen[1] is converted[0]
    assert seen[2] is converted[1]
    assert converted[0].flags.c_contiguous
    assert boxes[1].tolist() == [1, 2, 3, 4]
