"""Following that ends early: what was tracked until then is kept, and whole."""

from pathlib import Path

import numpy as np
import pytest
from one_layer import SMALL as CONFIG
from short_scene import FRAMES, numbers, scene
from track_pages import pictures_of

import mfst_jax
from mfst_jax.errors import InputError
from mfst_jax.following.loop import DEPTH, follow
from mfst_jax.media import writers
from mfst_jax.media.sources import open_source
from mfst_jax.tracks.files import read_record, record_path


def test_what_was_tracked_before_an_unusable_frame_is_kept(params: mfst_jax.Params, tmp_path: Path):
    source, truth = scene(fail_at=7)
    movie, table, page = tmp_path / "out.mp4", tmp_path / "boxes.csv", tmp_path / "page.html"
    with pytest.raises(InputError, match="frame 7"):
        follow(source, truth[0], params, CONFIG, video=movie, table=table, page=page)
    assert numbers(table) == list(range(7))
    assert sum(1 for _ in open_source(movie).frames()) == 7
    assert len(pictures_of(page.read_text())) == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boxes.csv", "out.mp4", "page.html"]


def test_what_was_tracked_before_an_interruption_is_kept(params: mfst_jax.Params, tmp_path: Path):
    source, truth = scene()
    movie, table = tmp_path / "out.mp4", tmp_path / "boxes.csv"

    def hear(number: int, *_: object) -> None:
        if number == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(source, truth[0], params, CONFIG, video=movie, table=table, hear=hear)
    assert numbers(table) == list(range(6))
    assert sum(1 for _ in open_source(movie).frames()) == 5  # its picture would have been the next thing


def test_what_was_tracked_before_a_full_disk_is_kept(
    params: mfst_jax.Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source, truth = scene()
    movie, table = tmp_path / "out.mp4", tmp_path / "boxes.csv"
    write, written = writers.VideoWriter.write, []

    def fill_up(self: writers.VideoWriter, frame: np.ndarray) -> None:
        if len(written) == 4:
            raise InputError(f"video {movie}: expected to write it, found No space left on device")
        written.append(frame)
        write(self, frame)

    monkeypatch.setattr(writers.VideoWriter, "write", fill_up)
    with pytest.raises(InputError, match="No space left"):
        follow(source, truth[0], params, CONFIG, video=movie, table=table)
    found = numbers(table)
    assert found == list(range(len(found)))
    assert 4 <= len(found) <= 4 + DEPTH + 2  # it is noticed soon
    assert sum(1 for _ in open_source(movie).frames()) == 4


def test_an_error_in_the_last_picture_shows(params: mfst_jax.Params):
    source, truth = scene()

    def see(number: int, picture: np.ndarray) -> None:
        if number == FRAMES - 1:
            raise ValueError("the last one")

    with pytest.raises(ValueError, match="the last one"):
        follow(source, truth[0], params, CONFIG, see=see)


def test_a_record_lies_beside_the_table_of_a_source_that_has_a_path(params: mfst_jax.Params, tmp_path: Path):
    source, truth = scene(fail_at=2)
    table = tmp_path / "boxes.csv"
    with pytest.raises(InputError, match="frame 2"):
        follow(source, truth[0], params, CONFIG, table=table, source_path=str(tmp_path / "clip.mp4"))
    record = read_record(table)
    assert record is not None
    assert record.source == "clip.mp4"
    assert record.config["alexnet_layers"] == ["conv3"]
    table.unlink()
    record_path(table).unlink()
    source, truth = scene(fail_at=0)
    with pytest.raises(InputError, match="frame 0"):
        follow(source, truth[0], params, CONFIG, table=table, source_path=str(tmp_path / "clip.mp4"))
    assert list(tmp_path.iterdir()) == []  # no table, no record
