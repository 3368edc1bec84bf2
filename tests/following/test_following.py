"""A source followed from end to end: the same boxes as plain tracking, in all that is written."""

import base64
import tracemalloc
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from compilations import counted_compilations
from one_layer import SMALL as CONFIG
from short_scene import FRAMES, numbers, scene
from track_pages import data_of, pictures_of

import mfst_jax
from mfst_jax import tracker
from mfst_jax.config import override
from mfst_jax.following import loop, quick_start
from mfst_jax.following.loop import DEPTH, follow
from mfst_jax.media import drawing
from mfst_jax.media.decoding import Labelled
from mfst_jax.media.source import Source
from mfst_jax.media.sources import open_source
from mfst_jax.page.pictures import encode_map
from mfst_jax.tracks.files import read_record, read_table

NUMPY = np.lib.tracemalloc_domain


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


def test_what_is_kept_of_each_frame_is_its_numbers(params: mfst_jax.Params, monkeypatch: pytest.MonkeyPatch):
    """Of 500 frames by a tracker that does nothing no array stays: a webcam may run for days."""
    start, count, kept = 100, 600, 0
    blank = np.zeros((16, 16, 3), np.uint8)
    source = Source("camera", (16, 16), count, 25.0, None, lambda: (("frame", blank) for _ in range(count)))
    box = np.float32([4, 4, 8, 8])

    class Idle:
        is_settled, is_compiling = True, False

        def step(self, frame: object) -> list[object]:
            return []

        def fetch(self, outputs: object, *, responses: bool) -> tuple[np.ndarray, np.ndarray, None]:
            return box[None].copy(), np.ones(1, np.float32), None

    def hear(number: int, box: np.ndarray, score: float) -> None:
        nonlocal kept
        if number == start:
            tracemalloc.start()
        elif number == count - 1:
            arrays = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, NUMPY)])
            kept = sum(each.count for each in arrays.statistics("filename"))

    monkeypatch.setattr(quick_start, "begin", lambda *_, **__: Idle())
    try:
        followed = follow(source, box, params, CONFIG, hear=hear, quiet=True)
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(followed.boxes, np.tile(box, (count, 1)))
    np.testing.assert_array_equal(followed.scores, np.ones(count))
    assert 0 < kept < 50
