"""Clips to train on: the right frames with the right boxes, the same in every thread and process; what is refused."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from media import KINDS, make_video, noisy, save
from tracked import boxes_of, write_tracked

from mfst_jax.errors import InputError
from mfst_jax.media import Source, open_source
from mfst_jax.tracks import Clip, Clips
from mfst_jax.tracks.files import record_path

COUNT = 24
"""Frames of the sources here."""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(COUNT):
        save(tmp_path / "frames" / f"{number}.png", noisy(number))
    return tmp_path / "frames"


@pytest.fixture
def table(images: Path, tmp_path: Path) -> Path:
    return write_tracked(tmp_path / "boxes.csv", images, COUNT)


def numbers(clips: Clips) -> list[list[int]]:
    return [clips.labels(index)["frame_numbers"].tolist() for index in range(len(clips))]


def assert_same(found: Clip, expected: Clip) -> None:
    assert found.keys() == expected.keys()
    for key, value in found.items():
        np.testing.assert_array_equal(value, expected[key])


def test_a_clip_has_the_frames_of_its_numbers_and_their_rows(table: Path, images: Path):
    clips = Clips(table, length=4, stride=2)
    assert numbers(clips) == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18, 20, 22]]
    for clip in clips:
        rows = clip["frame_numbers"]
        np.testing.assert_array_equal(clip["frames"], np.stack([noisy(number) for number in rows]))
        np.testing.assert_array_equal(clip["boxes"], boxes_of(COUNT)[rows].astype(np.float32))
        np.testing.assert_array_equal(clip["scores"], np.full(4, 0.9, np.float32))
        assert not clip["lost"].any()
        assert (clip["target"], clip["source"]) == ("target", str(images))
        assert {key: clip[key].dtype.name for key in ("frames", "boxes", "scores", "lost", "frame_numbers")} == {
            **{"frames": "uint8", "boxes": "float32", "scores": "float32", "lost": "bool", "frame_numbers": "int64"}
        }
    assert_same(clips[-1], clips[2])
    assert_same(clips[np.int64(1)], clips[1])
    for beyond in (3, -4):
        with pytest.raises(IndexError):
            clips[beyond]


def test_what_is_done_to_a_clip_does_not_reach_the_next_one(table: Path):
    clips = Clips(table, length=4)
    changed = clips[0]
    for key in ("frames", "boxes", "scores"):
        changed[key][...] = 0
    np.testing.assert_array_equal(clips[0]["boxes"], boxes_of(4).astype(np.float32))
    np.testing.assert_array_equal(clips[0]["frames"][3], noisy(3))


@pytest.mark.parametrize("name", ["boxes.csv", "boxes.mot.txt", "boxes.json"])
def test_each_format_has_the_same_clips_of_each_of_its_targets(images: Path, tmp_path: Path, name: str):
    path = write_tracked(tmp_path / name, images, COUNT - 4, first=4, names=("car", "tree"))
    clips = Clips(path, length=8, every=6)
    expected = [[*range(first, first + 8)] for first in (4, 10, 16)]
    assert numbers(clips) == 2 * expected
    assert [clips.labels(index)["target"] for index in range(6)] == ["car"] * 3 + ["tree"] * 3
    clip = clips[4]
    np.testing.assert_array_equal(clip["frames"][0], noisy(10))
    np.testing.assert_allclose(clip["boxes"], boxes_of(COUNT, 1)[6:14], atol=1e-4)


@pytest.mark.parametrize("kind", ["a.mp4", "a.avi"])
def test_clips_of_a_video_are_sought_and_are_those_of_reading_it_through(tmp_path: Path, kind: str):
    video = make_video(tmp_path / kind, COUNT, **KINDS[kind])
    whole = np.stack([*open_source(video).frames()])
    clips = Clips(write_tracked(tmp_path / "boxes.csv", video, len(whole)), length=5, stride=3, every=4)
    assert len(clips) == 3
    for index in reversed(range(len(clips))):
        np.testing.assert_array_equal(clips[index]["frames"], whole[clips.labels(index)["frame_numbers"]])


def test_nothing_is_read_but_the_frames_of_the_clip(table: Path, monkeypatch: pytest.MonkeyPatch):
    clips = Clips(table, length=3, stride=4)
    clips[0]
    read, timed = [], Source.timed_frames

    def note(source: Source):
        read.append(source.first)
        return timed(source)

    monkeypatch.setattr(Source, "timed_frames", note)
    monkeypatch.setattr("mfst_jax.tracks.recorded_source.open_source", None)  # open by now
    clips.labels(1)
    assert read == []
    clips[1]
    assert read == [12, 16, 20]


def test_clips_have_no_frame_in_which_the_target_is_lost_unless_they_may(images: Path, tmp_path: Path):
    scores = {("target", 5): 0.2, ("target", 14): 0.6}
    path = write_tracked(tmp_path / "boxes.csv", images, COUNT, scores=scores)
    assert [row[0] for row in numbers(Clips(path, length=4))] == [0, 6, 10, 14, 18]
    assert [row[0] for row in numbers(Clips(path, length=4, least_score=0.7))] == [0, 6, 10, 15, 19]
    assert [row[0] for row in numbers(Clips(path, length=4, every=1, least_score=0.7))] == [
        *(0, 1, 6, 7, 8, 9, 10),
        *range(15, 21),
    ]
    all_of_them = Clips(path, length=4, with_lost=True)
    assert [row[0] for row in numbers(all_of_them)] == [0, 4, 8, 12, 16, 20]
    assert all_of_them[1]["lost"].tolist() == [False, True, False, False]
    # With a stride, only the frames of the clip count.
    assert [row[0] for row in numbers(Clips(path, length=4, stride=3, every=6))] == [0, 6, 12]


def test_frames_without_a_box_are_none_of_a_clip_unless_it_may_lack_them(images: Path, tmp_path: Path):
    path = write_tracked(tmp_path / "boxes.mot.txt", images, COUNT)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("4,")))
    assert [row[0] for row in numbers(Clips(path, length=8))] == [4, 12]
    assert np.isnan(Clips(path, length=8, with_lost=True)[0]["boxes"][3]).all()


def test_several_tables_come_in_their_order(images: Path, tmp_path: Path):
    video = make_video(tmp_path / "a.mp4", COUNT, size=(32, 40))
    tables = [write_tracked(tmp_path / f"{name}.csv", name, COUNT) for name in (video, images)]
    clips = Clips(tables, length=12, keep=1)
    assert [clip["frames"].shape for clip in clips] == 2 * [(12, 32, 40, 3)] + 2 * [(12, 48, 64, 3)]
    assert [clips.labels(index)["source"] for index in (1, 2)] == [str(video), str(images)]
    np.testing.assert_array_equal(clips[2]["frames"][5], noisy(5))


def test_the_sources_that_were_read_last_stay_open(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clips = Clips([write_tracked(tmp_path / f"{name}.csv", images, COUNT) for name in "abc"], length=COUNT, keep=2)
    opened = []
    monkeypatch.setattr(
        "mfst_jax.tracks.recorded_source.open_source", lambda path: opened.append(path) or open_source(path)
    )
    counts = []
    for index in (0, 0, 1, 0, 2, 0, 1):
        clips[index]
        counts.append(len(opened))
    assert counts == [1, 1, 2, 2, 3, 3, 4]


def test_a_foreign_table_has_its_frames_where_the_caller_says(images: Path, tmp_path: Path, monkeypatch):
    (tmp_path / "gt.txt").write_text("".join(f"{number + 1},7,6,1,12,9,1,-1,-1,-1\n" for number in range(COUNT)))
    monkeypatch.chdir(tmp_path)
    clip = Clips("gt.txt", length=8, sources=["frames/*.png"])[1]
    assert (clip["target"], clip["source"]) == ("7", str(tmp_path / "frames" / "*.png"))
    np.testing.assert_array_equal(clip["boxes"][0], (5, 0, 12, 9))
    np.testing.assert_array_equal(clip["frames"][0], noisy(8))


def test_a_clip_is_the_same_after_pickling_and_from_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    video = make_video(tmp_path / "a.mp4", COUNT)
    write_tracked(tmp_path / "boxes.csv", video, COUNT)
    monkeypatch.chdir(tmp_path)
    clips = Clips("boxes.csv", length=4, every=2)
    expected = [clips[index] for index in range(len(clips))]
    monkeypatch.chdir("/")
    copy = pickle.loads(pickle.dumps(clips))  # noqa: S301
    assert repr(copy) == repr(clips)
    with ThreadPoolExecutor(8) as threads:
        for found, one in zip(threads.map(copy.__getitem__, range(len(copy))), expected, strict=True):
            assert_same(found, one)


def test_the_representation_tells_other_clips_and_other_boxes_apart(images: Path, tmp_path: Path):
    path = write_tracked(tmp_path / "boxes.csv", images, COUNT)
    text = path.read_text()
    same, other = repr(Clips(path, length=4)), {repr(Clips(path, length=4, every=3)), repr(Clips(path, length=5))}
    assert same.startswith("Clips(length=4, stride=1, tables=1, clips=6, sha256=")
    assert repr(Clips(path, length=4)) == same
    path.write_text(text.replace("12.2500", "12.2600", 1))
    other.add(repr(Clips(path, length=4)))
    assert len({same, *other}) == 4


def test_neither_a_device_nor_tensorflow_nor_grain_is_touched(table: Path):
    program = f"""
import sys
from mfst_jax.tracks import Clips
print(Clips({str(table)!r}, length=4)[2]["frames"].shape, {{"grain", "tensorflow"}} & {{*sys.modules}})
"""
    environment = {**os.environ, "JAX_PLATFORMS": "none_such"}  # of which any use would be an error
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout == "(4, 48, 64, 3) set()\n", done.stderr


@pytest.mark.filterwarnings("ignore")  # of grain and its parts
def test_grain_shuffles_batches_shards_and_goes_on_with_two_workers_or_none(images: Path, tmp_path: Path):
    grain = pytest.importorskip("grain", reason="grain is not installed: the extra `train`")
    flags.FLAGS.mark_as_parsed()
    scores = {("car", 7): 0.1}
    clips = Clips(write_tracked(tmp_path / "boxes.csv", images, COUNT, names=("car", "tree"), scores=scores), length=3)
    all_of_them = [("car", first) for first in (0, 3, 8, 11, 14, 17, 20)]
    all_of_them += [("tree", first) for first in range(0, COUNT, 3)]

    def load(workers: int):
        sampler = grain.samplers.IndexSampler(len(clips), shuffle=True, seed=1, num_epochs=1)
        batch = [grain.transforms.Batch(2)]
        return iter(grain.DataLoader(data_source=clips, sampler=sampler, operations=batch, worker_count=workers))

    # Copied, as the memory that workers share may be used again.
    batches = [{name: np.array(value) for name, value in each.items()} for each in load(2)]
    assert [each["frames"].shape for each in batches[:7]] == 7 * [(2, 3, 48, 64, 3)]
    seen = []
    for each in batches:
        for row, target in enumerate(each["target"]):
            first = int(each["frame_numbers"][row, 0])
            seen.append((target, first))
            np.testing.assert_array_equal(each["frames"][row], [noisy(number) for number in range(first, first + 3)])
            boxes = boxes_of(COUNT, target == "tree")[first : first + 3]
            np.testing.assert_array_equal(each["boxes"][row], boxes.astype(np.float32))
    assert seen != all_of_them
    assert sorted(seen) == all_of_them

    iterator = load(0)
    next(iterator)
    state, rest = iterator.get_state(), [*iterator]
    again = load(0)
    again.set_state(state)
    for one, other in zip(again, rest, strict=True):
        assert_same(one, other)

    whole = grain.MapDataset.source(clips).map(lambda clip: (clip["target"], int(clip["frame_numbers"][0])))
    assert sorted([*whole[::2], *whole[1::2]]) == all_of_them


# What is refused


def refused(match: str, *arguments, **options) -> str:
    with pytest.raises(InputError, match=match) as caught:
        Clips(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_table_without_a_record_is_refused_and_so_is_a_record(table: Path):
    record = record_path(table)
    assert refused("expected a table, found the record of boxes.csv", [record]).startswith(f"boxes {record}: ")
    record.unlink()
    assert refused(r"^sources: expected where the frames of .*boxes\.csv are", table).endswith("found none")
    refused("boxes .*none.csv: expected a table in CSV, found No such file", table.with_name("none.csv"))


def test_a_source_that_is_gone_live_or_of_another_size_is_refused(table: Path, images: Path, tmp_path: Path):
    refused(
        "expected a video or images on disk, found the address http://a.org/b.mp4",
        table,
        sources=["http://a.org/b.mp4"],
    )
    other = tmp_path / "other"
    for number in range(COUNT):
        save(other / f"{number}.png", noisy(number, (20, 30)))
    refused(
        "source other: expected frames of 64x48 pixels, as .*boxes.csv is about, found 30x20", table, sources=[other]
    )
    images.rename(tmp_path / "away")
    refused("sources: expected where the frames of .*boxes.csv are now, found none; source '", table)
    assert len(Clips(table, length=4, sources=[tmp_path / "away"])) == 6
    record = record_path(table)
    record.write_text(record.read_text().replace('"frames"', "null"))
    refused("boxes.csv are, as they came live, found none", table)


def test_a_webcam_is_refused(table: Path, images: Path, monkeypatch: pytest.MonkeyPatch):
    live = replace(open_source(images), name="webcam 0", live=True)
    monkeypatch.setattr("mfst_jax.tracks.recorded_source.open_source", lambda path: live)
    refused(
        "^sources: expected a video or images on disk, found webcam 0, which is live$", table, sources=["/dev/video0"]
    )


def test_fewer_frames_than_rows_are_refused_before_or_when_they_are_read(table: Path, images: Path, tmp_path: Path):
    for number in (22, 23):
        (images / f"{number}.png").unlink()
    refused("boxes .*boxes.csv: expected frames up to 23 in its source; source frames: expected a frame 23", table)
    clips = Clips(table, length=4, stride=2, every=7, check=False)
    assert clips[0]["frames"].shape == (4, 48, 64, 3)
    (images / "16.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"boxes\.csv, frames 14 to 20: image .*16\.png: expected a readable image"):
        clips[2]
    video = make_video(tmp_path / "short.mp4", COUNT - 3, size=(48, 64))
    refused("expected frames up to 23 in its source; source short: expected a frame 23", table, sources=[video])
    with pytest.raises(InputError, match="source short: expected a frame 21, found fewer frames"):
        Clips(table, length=6, sources=[video], check=False)[3]


def test_a_frame_of_another_size_is_refused_when_it_is_read(table: Path, images: Path):
    save(images / "9.png", noisy(9, (20, 30)))
    clips = Clips(table, length=4)
    with pytest.raises(InputError, match=r"frames 8 to 11: image .*9\.png: expected 64x48 pixels like the first frame"):
        clips[2]
    assert clips[3]["frames"].shape == (4, 48, 64, 3)


@pytest.mark.parametrize("option", ["length", "stride", "every", "keep"])
def test_an_option_out_of_range_is_refused(table: Path, option: str):
    refused(f"^{option}: expected a whole number from 1 on, found 0$", table, **{option: 0})


def test_no_table_no_clip_and_too_few_sources_are_refused(table: Path, images: Path):
    refused("^tables: expected at least one", [])
    refused("^sources: expected one for each of 2 tables, found 1$", [table, table], sources=[images])
    message = refused("^tables: expected", table, length=13, stride=2)
    assert message == (
        "tables: expected 13 frames, 2 apart, in all of which a target is followed, found none in 1, the longest of 24 "
        "frames"
    )
    refused("is followed and scored 0.95 or more, found none in 1", table, least_score=0.95)
