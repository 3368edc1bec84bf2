"""Several targets of one source: each in table, video and page, and when the track ends."""

from pathlib import Path

import numpy as np
import pytest
from one_layer import SMALL as CONFIG
from several_targets import StandIn
from short_scene import FRAMES, scene
from track_pages import data_of, pictures_of

import mfst_jax
from mfst_jax.errors import InputError
from mfst_jax.following import quick_start
from mfst_jax.following.loop import follow_all
from mfst_jax.media.palette import on_pictures
from mfst_jax.page import MOST_MAPS
from mfst_jax.targets import Target
from mfst_jax.tracks.files import read_record, read_table

BOTH = [Target("car", (20, 30, 24, 28)), Target("bike", (90, 60, 30, 20))]


def test_several_targets_are_in_table_video_and_page(
    params: mfst_jax.Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(quick_start, "begin", StandIn)
    source, _ = scene()
    seen: list[np.ndarray] = []
    table, page = tmp_path / "boxes.csv", tmp_path / "page.html"
    followed = follow_all(
        source, BOTH, params, CONFIG, table=table, page=page, see=lambda number, picture: seen.append(picture)
    )
    steps = np.arange(FRAMES)[:, None, None]
    expected = np.float32([target.box for target in BOTH]) + steps * np.float32([1, 2, 0, 0])
    np.testing.assert_array_equal(followed.boxes, expected)
    assert followed.scores.shape == (FRAMES, 2)
    for place, (track, described) in enumerate(
        zip(read_table(table), data_of(page.read_text())["targets"], strict=True)
    ):
        assert track.name == described["name"] == BOTH[place].name
        np.testing.assert_array_equal(track.boxes, expected[:, place])
        np.testing.assert_array_equal(described["boxes"], expected[:, place])
        assert described["truth"] is None  # whose it is, nobody says
        for picture, (x, y, w, h) in zip(seen, expected[:, place].astype(int), strict=True):
            assert (picture[min(y + h - 1, 119), x : x + w] == on_pictures(place)).all(axis=-1).any()
    assert all(len(picture["maps"]) == 2 for picture in pictures_of(page.read_text())[1:])


def test_a_page_of_many_targets_has_no_response_maps(
    params: mfst_jax.Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(quick_start, "begin", StandIn)
    source, _ = scene()
    targets = [Target(f"{number}", (10 * number, 9, 8, 8)) for number in range(MOST_MAPS + 1)]
    for count, maps in ((MOST_MAPS, True), (MOST_MAPS + 1, False)):
        follow_all(source, targets[:count], params, CONFIG, page=tmp_path / "page.html")
        text = (tmp_path / "page.html").read_text()
        assert data_of(text)["hasMaps"] == maps
        assert all(("maps" in picture) == maps for picture in pictures_of(text)[1:])


@pytest.mark.parametrize("name", ["boxes.csv", "boxes.mot.txt", "boxes.json"])
def test_what_was_tracked_of_several_targets_before_an_error_is_kept(
    params: mfst_jax.Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setattr(quick_start, "begin", StandIn)
    source, _ = scene(fail_at=4)
    with pytest.raises(InputError, match="frame 4"):
        follow_all(source, BOTH, params, CONFIG, table=tmp_path / name, source_path=str(tmp_path / "clip.mp4"))
    tracks = read_table(tmp_path / name)
    assert [(track.name, len(track.boxes)) for track in tracks] == [("car", 4), ("bike", 4)]
    record = read_record(tmp_path / name)
    assert record is not None
    assert record.targets == ("car", "bike")


def test_the_track_ends_when_all_targets_are_lost_for_long_enough(
    params: mfst_jax.Params, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(quick_start, "begin", StandIn)
    car, bike = [0.4, 0.4, 0.4, 0.9, 0.4, 0.4, 0.4, 0.4], [0.9, 0.4, 0.4, 0.4, 0.4, 0.9, 0.4, 0.4]
    monkeypatch.setattr(StandIn, "SCORES", [*zip(car, bike, strict=True)] + [(1, 1)] * FRAMES)
    source, _ = scene()
    followed = follow_all(source, BOTH, params, CONFIG, stop_when_lost=2)
    assert followed.stopped
    assert len(followed.boxes) == 1 + 3  # for two frames both of them are lost, whoever was lost before
    assert not follow_all(source, BOTH, params, CONFIG, stop_when_lost=4).stopped


def test_one_of_several_boxes_outside_the_frame_is_named_before_any_file_is_made(
    params: mfst_jax.Params, tmp_path: Path
):
    source, _ = scene()
    targets = [*BOTH, Target("dog", (900, 1, 9, 9))]
    with pytest.raises(InputError, match="box of dog: expected it to overlap the frame of 160 x 120"):
        follow_all(source, targets, params, CONFIG, table=tmp_path / "boxes.csv")
    assert list(tmp_path.iterdir()) == []
