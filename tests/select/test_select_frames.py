"""The frames that the page shows: any of a video, in any order, and those of a webcam as they come."""

import io
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.media.decoding import Labelled
from mfst_jax.media.source import Source
from mfst_jax.select import frames as select_frames
from mfst_jax.select.frames import AHEAD, KEPT, LiveFrames, StoredFrames, open_frames

COUNT = 100


def grey(number: int) -> np.ndarray:
    return np.full((8, 12, 3), 2 * number, np.uint8)


def stored(opened: list[int]) -> Source:
    """Frames that are told by their brightness; it notes where reading begins."""

    def read(first: int = 0) -> Labelled:
        opened.append(first)
        for number in range(first, COUNT):
            yield f"frame {number}", grey(number)

    return Source("stored", (8, 12), COUNT, 25.0, None, read, read_from=read)


def number_of(jpeg: bytes) -> int:
    """Of the frame that a JPEG is of."""
    picture = np.asarray(Image.open(io.BytesIO(jpeg)))
    assert picture.shape == (8, 12, 3)
    return round(float(picture.mean()) / 2)


@given(st.lists(st.integers(0, COUNT - 1), max_size=40))
def test_any_frame_is_given_in_any_order(asked: list[int]):
    with StoredFrames(stored([])) as shown:
        assert [number_of(shown.jpeg(number)) for number in asked] == asked


def test_near_frames_are_read_on_and_far_ones_are_sought():
    opened: list[int] = []
    with StoredFrames(stored(opened)) as shown:
        for number in (0, 1, 5, 5 + AHEAD, 60, 61, 5):
            shown.jpeg(number)
        assert opened == [0, 60]  # frame 5 is kept
        for number in range(KEPT):
            shown.jpeg(70 + number)
        shown.jpeg(5)
        assert opened == [0, 60, 5]


def test_a_frame_that_is_not_there_or_not_readable_leaves_the_others():
    def read() -> Labelled:
        yield "frame 0", grey(0)
        yield "frame 1", grey(1)
        raise InputError("frame 2: expected an image, found none")

    with StoredFrames(Source("s", (8, 12), 9, 25.0, None, read)) as shown:
        with pytest.raises(InputError, match="frame 2"):
            shown.jpeg(2)
        assert number_of(shown.jpeg(1)) == 1
    with StoredFrames(stored([])) as shown:
        with pytest.raises(InputError, match=f"expected a frame {COUNT}, found fewer frames"):
            shown.jpeg(COUNT)
        assert number_of(shown.jpeg(COUNT - 1)) == COUNT - 1


def test_leaving_does_not_wait_for_a_frame_that_takes_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(select_frames, "CLOSING", 0.1)
    asked, let = threading.Event(), threading.Event()

    def read() -> Labelled:
        asked.set()
        assert let.wait(10)
        yield "frame 0", grey(0)

    with StoredFrames(Source("slow", (8, 12), 1, 25.0, None, read)) as shown:
        asking = threading.Thread(target=shown.jpeg, args=(0,))
        asking.start()
        assert asked.wait(10)
    assert not let.is_set()
    assert asking.is_alive()
    let.set()
    asking.join()


class Camera:
    """Gives a frame each time that it is let, and counts them."""

    def __init__(self) -> None:
        self.given, self.closed = 0, False
        self.let = threading.Semaphore(0)
        self.unplugged = False

    def read(self) -> Labelled:
        try:
            while True:
                assert self.let.acquire(timeout=20)
                if self.unplugged:
                    raise InputError("webcam 0: expected more frames, found it unplugged")
                self.given += 1
                yield f"webcam 0, frame {self.given}", grey(self.given)
        finally:
            self.closed = True

    def give(self, shown: LiveFrames, number: int) -> None:
        """Lets a frame come, and waits until it is the latest."""
        self.let.release()
        end = time.monotonic() + 10
        while shown._latest is None or shown._latest[0][0, 0, 0] != 2 * number:
            assert time.monotonic() < end
            time.sleep(0.005)


@pytest.fixture
def camera() -> Camera:
    return Camera()


@pytest.fixture
def shown(camera: Camera) -> Iterator[LiveFrames]:
    found = open_frames(Source("webcam 0", (8, 12), None, 30.0, None, camera.read, live=True))
    assert isinstance(found, LiveFrames)
    with found:
        yield found
        for _ in range(3):  # so that a thread that waits for one goes on
            camera.let.release()


def test_a_webcam_shows_the_latest_frame_until_one_is_frozen(shown: LiveFrames, camera: Camera):
    for number in (1, 2):
        camera.give(shown, number)
        assert number_of(shown.jpeg(0)) == number
    shown.freeze(True)
    camera.give(shown, 3)
    assert number_of(shown.jpeg(0)) == 2
    shown.freeze(False)
    assert number_of(shown.jpeg(0)) == 3
    shown.freeze(True)
    for number in (4, 5):
        camera.give(shown, number)
    threading.Timer(0.2, camera.let.release).start()  # the frame that the thread waits for when it is to end
    source = shown.source_from(0)
    frames = source.frames()
    camera.let.release()
    assert [int(next(frames)[0, 0, 0]) // 2 for _ in range(2)] == [3, 7]
    frames.close()
    assert camera.closed


def test_a_frame_that_is_frozen_before_any_came_is_the_first(shown: LiveFrames, camera: Camera):
    threading.Timer(0.2, camera.let.release).start()
    shown.freeze(True)
    camera.give(shown, 2)
    assert number_of(shown.jpeg(0)) == 1


def test_a_webcam_that_was_unplugged_is_said(shown: LiveFrames, camera: Camera):
    camera.give(shown, 1)
    shown.freeze(True)
    camera.unplugged = True
    camera.let.release()
    with pytest.raises(InputError, match="found it unplugged"):
        shown.source_from(0)
    shown.freeze(False)
    with pytest.raises(InputError, match="found it unplugged"):
        shown.jpeg(0)
    with pytest.raises(InputError, match="found it unplugged"):
        shown.freeze(True)


def test_a_webcam_that_gives_no_frame_is_said(shown: LiveFrames, camera: Camera, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(select_frames, "PATIENCE", 0.1)
    for ask in (shown.jpeg, lambda _: shown.freeze(True), shown.source_from):
        with pytest.raises(InputError, match=r"webcam 0: expected a frame within 0\.1 s, found none"):
            ask(0)
