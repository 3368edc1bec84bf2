"""A source followed from end to end: the same boxes as plain tracking, whatever goes wrong on the way."""

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import counted_compilations
from scenes import video
from several_targets import StandIn
from track_pages import data_of, pictures_of

import mfst_jax
from mfst_jax import tracker
from mfst_jax.config import ALEXNET, override
from mfst_jax.errors import InputError
from mfst_jax.following import loop, quick_start
from mfst_jax.following.loop import DEPTH, follow, follow_all
from mfst_jax.media import drawing, writers
from mfst_jax.media.palette import on_pictures
from mfst_jax.media.sources import Labelled, Source, open_source
from mfst_jax.page import MOST_MAPS
from mfst_jax.page.pictures import encode_map
from mfst_jax.targets import Target
from mfst_jax.tracks.files import read_record, read_table, record_path

CONFIG = override(ALEXNET, ("scale_count=1", "alexnet_layers=conv3"))
FRAMES = 12


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    def mine() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith(("prefetch", "calls"))}

    assert mine() == set()
    yield
    assert mine() == set()


@pytest.fixture(scope="module")
def params() -> mfst_jax.Params:
    return mfst_jax.load()


def scene(fail_at: int | None = None, size: tuple[int, int] = (120, 160)) -> tuple[Source, np.ndarray]:
    """A source of moving texture, and its true boxes; the frame `fail_at` cannot be read."""
    frames, truth = video(50, frames=FRAMES, size=size)

    def read() -> Labelled:
        for number, frame in enumerate(frames):
            if number == fail_at:
                raise InputError(f"frame {number}: expected an image, found none")
            yield f"frame {number}", frame

    return Source("scene", size, FRAMES, 25.0, truth, read), truth


def numbers(table: Path) -> list[int]:
    """Of the frames in a table of boxes."""
    return [int(line.split(",")[0]) for line in table.read_text().splitlines()[1:]]


def test_the_boxes_are_those_of_plain_tracking(params: mfst_jax.Params, tmp_path: Path):
    source, truth = scene()
    seen: list[tuple[int, np.ndarray]] = []
    heard: list[int] = []
    movie, table = tmp_path / "out.mp4", tmp_path / "boxes.csv"
    followed = follow(
        source,
        truth[0],
        params,
        CONFIG,
        video=movie,
        table=table,
        see=lambda number, picture: seen.append((number, picture)),
        hear=lambda number, box, score: heard.append(number),
    )
    plain = mfst_jax.track(params, np.stack(list(source.frames())), truth[0], config=CONFIG)
    np.testing.assert_allclose(followed.boxes, plain.boxes, rtol=0, atol=0.02)
    np.testing.assert_allclose(followed.scores, plain.scores, rtol=0, atol=1e-3)
    assert heard == numbers(table) == [number for number, _ in seen] == list(range(FRAMES))
    assert sum(1 for _ in open_source(movie).frames()) == FRAMES
    for number, (frame, (_, picture)) in enumerate(zip(source.frames(), seen, strict=True)):
        expected = drawing.draw(
            frame, followed.boxes[number], score=followed.scores[number], number=number, truth=truth[number]
        )
        np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize("name", ["boxes.csv", "boxes.mot.txt", "boxes.json"])
def test_frames_are_numbered_as_in_the_video_wherever_tracking_begins(
    params: mfst_jax.Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    source, truth = scene()
    first = 5
    seen: list[tuple[int, np.ndarray]] = []
    heard: list[int] = []
    movie, table, page = tmp_path / "out.mp4", tmp_path / name, tmp_path / "page.html"
    followed = follow(
        source.starting_at(first),
        truth[first],
        params,
        CONFIG,
        video=movie,
        table=table,
        page=page,
        source_path=str(tmp_path / "clip.mp4"),
        see=lambda number, picture: seen.append((number, picture)),
        hear=lambda number, box, score: heard.append(number),
    )
    frames = list(source.frames())
    plain = mfst_jax.track(params, np.stack(frames[first:]), truth[first], config=CONFIG)
    np.testing.assert_allclose(followed.boxes, plain.boxes, rtol=0, atol=0.02)
    assert followed.first == first
    assert heard == [number for number, _ in seen] == list(range(first, FRAMES))
    for number, picture in seen:
        row = number - first
        expected = drawing.draw(
            frames[number], followed.boxes[row], score=followed.scores[row], number=number, truth=truth[number]
        )
        np.testing.assert_array_equal(picture, expected)
    assert sum(1 for _ in open_source(movie).frames()) == FRAMES - first
    record = read_record(table)
    assert record is not None
    assert record.first == first
    (track,) = read_table(table)
    assert track.first == first
    np.testing.assert_allclose(track.boxes, followed.boxes, rtol=0, atol=1e-4)
    shown = data_of(page.read_text())
    assert (shown["first"], shown["frames"]) == (first, FRAMES - first)
    np.testing.assert_allclose(shown["targets"][0]["truth"], truth[first:])
    np.testing.assert_allclose(shown["targets"][0]["boxes"], followed.boxes, atol=0.006)
    if name == "boxes.csv":
        assert numbers(table) == list(range(first, FRAMES))


def test_the_page_has_the_same_boxes_and_each_frame_its_response(params: mfst_jax.Params, tmp_path: Path):
    source, truth = scene()
    page = tmp_path / "page.html"
    followed = follow(source, truth[0], params, CONFIG, page=page)
    track, pictures = data_of(page.read_text()), pictures_of(page.read_text())
    (target,) = track["targets"]
    np.testing.assert_allclose(target["boxes"], followed.boxes, atol=0.006)
    np.testing.assert_allclose(target["truth"], truth)
    assert track["pictures"] == [picture["frame"] for picture in pictures] == list(range(FRAMES))
    weights = mfst_jax.prepare(params, CONFIG)
    state = mfst_jax.init(weights, frame := next(source.frames()), truth[0], config=CONFIG)
    for number, (frame, picture) in enumerate(zip(source.frames(), pictures, strict=True)):
        if number == 0:
            assert "maps" not in picture
            continue
        state, output = mfst_jax.step(weights, state, frame)
        expected = np.frombuffer(encode_map(np.asarray(output.response)), np.uint8)
        found = np.frombuffer(base64.b64decode(picture["maps"][0]), np.uint8)
        np.testing.assert_allclose(found, expected, atol=2)


def test_a_target_lost_for_long_enough_ends_it(params: mfst_jax.Params, tmp_path: Path):
    source, truth = scene()
    table, scores = tmp_path / "boxes.csv", iter([0.9, 0.4, 0.4, 0.9, 0.4, 0.4, 0.4, 0.9, 0.9, 0.9, 0.9])
    step = tracker.step
    with pytest.MonkeyPatch.context() as patch:

        def scored(*arguments: object, **options: object):
            state, output = step(*arguments, **options)
            return state, output.replace(score=jnp.float32(next(scores)))

        patch.setattr(tracker, "step", scored)
        followed = follow(source, truth[0], params, CONFIG, table=table, stop_when_lost=3)
    assert followed.stopped
    assert numbers(table) == list(range(8))  # the first stretch is of two frames, the second one of three
    assert [line.split(",")[-1] for line in table.read_text().splitlines()[1:]] == list("00110111")


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


def test_idle_memory_goes_back_once_all_is_compiled_and_from_then_on(
    params: mfst_jax.Params, monkeypatch: pytest.MonkeyPatch
):
    source, truth = scene()
    now: list[int] = []
    gone: list[int] = []
    monkeypatch.setattr(loop.allocator, "give_back", lambda: gone.append(now[-1]))
    monkeypatch.setattr(loop, "TIDY_EVERY", 5)
    follow(source, truth[0], params, CONFIG, hear=lambda number, *_: now.append(number))
    assert gone == [1, 6, 11]
    now.clear()
    gone.clear()
    monkeypatch.setattr(loop, "TIDY_EVERY", 100)
    follow(scene()[0], truth[0], params, CONFIG, hear=lambda number, *_: now.append(number))
    assert gone == [1, quick_start.STEPS + 1]  # the step of the fast program is the last that is compiled


def test_weights_may_be_prepared_already(params: mfst_jax.Params):
    source, truth = scene()
    prepared = mfst_jax.prepare(params, CONFIG)
    one, two = (follow(source, truth[0], weights, CONFIG).boxes for weights in (params, prepared))
    np.testing.assert_allclose(one, two, atol=0.01)  # they start by different programs


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


def test_few_frames_are_in_memory(params: mfst_jax.Params):
    source, truth = scene()
    read, drawn, most = [0], [0], [0]

    def counted() -> Labelled:
        for item in source.read():
            read[0] += 1
            most[0] = max(most[0], read[0] - drawn[0])
            yield item

    def see(number: int, picture: np.ndarray) -> None:
        drawn[0] += 1

    counting = Source(source.name, source.size, source.count, source.fps, truth, counted)
    follow(counting, truth[0], params, CONFIG, see=see)
    assert drawn == [FRAMES]
    assert most[0] <= 2 * DEPTH + 2


def test_frames_of_similar_sizes_share_a_compilation(params: mfst_jax.Params):
    config = override(CONFIG, ("scale_penalty=0.9111",))  # of this test alone, so that nothing is compiled yet
    weights = mfst_jax.prepare(params, config)

    def compilations(size: tuple[int, int]) -> int:
        source, truth = scene(size=size)
        with counted_compilations() as compiled:
            follow(source, truth[0], weights, config)
            tracker = mfst_jax.Tracker(weights, config)
            first, second, *_ = source.frames()
            tracker.init(first, truth[0])
            tracker.update(second)
        return len(compiled)

    assert compilations((120, 160)) > 0
    assert compilations((90, 250)) == 0
    assert compilations((100, 260)) > 0


@pytest.mark.parametrize("weights", ["plain", "prepared"])
def test_after_a_warmup_nothing_is_compiled(params: mfst_jax.Params, weights: str):
    config = override(CONFIG, ("scale_penalty=0.9222",))
    used = params if weights == "plain" else mfst_jax.prepare(params, config)
    source, truth = scene()
    first, second, *_ = source.frames()
    mfst_jax.warmup(used, first.shape, config=config)
    follower = mfst_jax.Tracker(mfst_jax.prepare(params, config), config)
    follower.warmup(first.shape[:2])
    with counted_compilations() as compiled:
        state = mfst_jax.init(used, first, truth[0], config=config)
        state, output = mfst_jax.step(used, state, second)
        jax.block_until_ready(output)
        follower.init(first, truth[0])
        follower.update(second)
    assert compiled == []


@pytest.mark.parametrize("shape", [(), (3,), (0, 5), (5, 5, 4), (2, 2, 2, 3)])
def test_shapes_that_no_frame_has(params: mfst_jax.Params, shape: tuple[int, ...]):
    with pytest.raises(InputError, match="frame_shape"):
        mfst_jax.warmup(params, shape)


def test_a_tracker_refuses_frames_of_other_sizes(params: mfst_jax.Params):
    tracker = mfst_jax.Tracker(params, CONFIG)
    frames, truth = video(51, frames=2)
    tracker.init(frames[0], truth[0])
    with pytest.raises(InputError, match=r"first frame's shape \[120, 160, 3\], found shape \[119, 160, 3\]"):
        tracker.update(frames[1][1:])
    with pytest.raises(InputError, match="uint8"):
        tracker.update(frames[1].astype(np.int32))
