"""Times of frames: those of a video are its own, whatever its frame rate, and stand in the table."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import make_video, noisy

from mfst_jax.media import demo_source, open_source
from mfst_jax.tracks.files import read_table
from mfst_jax.tracks.tables import CsvTable, MotTable, csv_header, csv_rows, open_table

av = pytest.importorskip("av")

TIMES = [0.0, 0.04, 0.5, 0.54, 0.56, 2.0, 2.04, 2.4]
"""Seconds at which the frames of a video of variable frame rate are shown."""


def variable(path: Path, start: float = 0.0) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "3"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for level, seconds in enumerate(TIMES):
            frame = av.VideoFrame.from_ndarray(noisy(level), format="rgb24")
            frame.pts, frame.time_base = round(1000 * (start + seconds)), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
@pytest.mark.parametrize("start", [0.0, 3.0])
def test_frames_have_the_times_of_a_variable_frame_rate(tmp_path: Path, name: str, start: float):
    source = open_source(variable(tmp_path / name, start))
    assert source.timed
    found = [seconds for _, seconds in source.timed_frames()]
    np.testing.assert_allclose(np.array(found) - found[0], TIMES, atol=1e-3)
    assert found[0] == pytest.approx(0, abs=1e-3)
    later = [seconds for _, seconds in source.starting_at(5).timed_frames()]
    np.testing.assert_allclose(later, found[5:], atol=1e-6)


def test_frames_of_a_constant_rate_are_evenly_spaced(tmp_path: Path):
    source = open_source(make_video(tmp_path / "a.mp4", 10, rate=10))
    np.testing.assert_allclose([seconds for _, seconds in source.timed_frames()], np.arange(10) / 10, atol=1e-4)
    assert demo_source().timed


def test_images_have_no_times(tmp_path: Path):
    from PIL import Image

    Image.fromarray(noisy(0)).save(tmp_path / "a.png")
    source = open_source(tmp_path)
    assert not source.timed
    assert [seconds for _, seconds in source.timed_frames()] == [None]


BOXES, SCORES = np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), np.array([1, 0.25])


def test_the_time_is_the_last_column_of_a_table(tmp_path: Path):
    with CsvTable(tmp_path / "a.csv", ["a", "b"], timed=True) as table:
        table.write(0, BOXES, SCORES, 0.0)
        table.write(1, BOXES, SCORES, 1.23456)
        table.write(2, BOXES, SCORES)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "frame,x,y,w,h,score,lost,target,time"
    assert lines[1] == "0,1.0000,2.0000,3.0000,4.0000,1.0000,0,a,0.0000"
    assert lines[4] == "1,5.0000,6.0000,7.0000,8.0000,0.2500,1,b,1.2346"
    assert lines[5].endswith(",a,")
    first, second = read_table(tmp_path / "a.csv")
    assert (first.name, second.name, len(first.boxes)) == ("a", "b", 3)


def test_a_table_of_one_target_without_a_name_has_its_time_after_lost():
    assert csv_header(["target"], timed=True) == "frame,x,y,w,h,score,lost,time"
    (row,) = csv_rows(3, ["target"], BOXES[:1], SCORES[:1], timed=True, seconds=0.12)
    assert row == "3,1.0000,2.0000,3.0000,4.0000,1.0000,0,0.1200"


def test_other_tables_have_no_place_for_times(tmp_path: Path):
    table = open_table(tmp_path / "a.mot.txt", ["a"], video="v", size=(4, 6), timed=True)
    assert isinstance(table, MotTable)
    with table:
        table.write(0, BOXES[:1], SCORES[:1], 0.5)
    assert (tmp_path / "a.mot.txt").read_text() == "1,1,2.0000,3.0000,3.0000,4.0000,1.0000,-1,-1,-1\n"
