"""Following a camera that stalls: every box so far is in the table, with its time, and what happened is said."""

from pathlib import Path

import numpy as np
import pytest
from cameras import filming
from media import make_video
from one_layer import SMALL as CONFIG
from short_scene import numbers

import mfst_jax
from mfst_jax.errors import InputError
from mfst_jax.following.loop import follow
from mfst_jax.media.sources import open_source
from mfst_jax.tracks.files import read_record, read_table


def test_the_boxes_until_a_camera_stalls_are_kept_with_their_times(params: mfst_jax.Params, tmp_path: Path):
    size, table, movie = (120, 160), tmp_path / "boxes.csv", tmp_path / "out.mp4"
    options = {"g": "10", "bf": "0"}
    content = make_video(tmp_path / "a.ts", 30, options=options, size=size).read_bytes()
    with filming(content, "rtsp") as camera:
        secret = camera.url.replace("//", "//user:word@")
        source = open_source(secret, patience=2)
        camera.stalls_after = 2 * len(content) // 3
        said = rf"^stream {camera.url}: expected more frames, found \d+, then none for 2 s$"
        box = np.array([60, 50, 30, 30], np.float32)
        with pytest.raises(InputError, match=said):
            follow(source, box, params, CONFIG, table=table, video=movie, source_path=secret)
    count = len(numbers(table))
    assert 5 < count < 30
    assert numbers(table) == [*range(count)]
    assert sum(1 for _ in open_source(movie).frames()) == count
    assert len(read_table(table)[0].boxes) == count
    times = [float(line.rsplit(",", 1)[1]) for line in table.read_text().splitlines()[1:]]
    np.testing.assert_allclose(np.diff(times), 0.04, atol=1e-3)
    record = read_record(table)
    assert record is not None
    assert record.source is None
    assert all("word" not in path.read_text(errors="replace") for path in (table, tmp_path / "boxes.csv.json"))
